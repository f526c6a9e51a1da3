"""What clients and stages send, as columns and back: JSON rows, protobuf tables, gRPC messages."""
