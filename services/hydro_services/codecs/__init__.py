"""What clients and stages send, to columns and back: JSON rows, protobuf tables, gRPC frames."""
