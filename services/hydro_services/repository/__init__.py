"""The repository service: model folders, their metadata and files, over gRPC."""
