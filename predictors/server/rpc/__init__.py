"""V2 over gRPC, and gRPC's health service; imported only where `protobuf` is installed and gRPC is wanted."""

__all__: list[str] = []
