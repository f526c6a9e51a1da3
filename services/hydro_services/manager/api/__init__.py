"""The gRPC services of the manager."""
