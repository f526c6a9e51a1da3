"""Evaluators of saved models: columns in, columns out. No gRPC, no protobuf, no asyncio."""
