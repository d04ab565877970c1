"""The messages of both gRPC services, in a descriptor pool of their own.

KServe's SDK and Triton's client each register messages of the same full names in the process's default pool,
where a second file of such names is refused; ours must be importable beside either.
"""

from typing import Any

from google.protobuf import descriptor_pool, message_factory

from predictors.server.rpc.descriptors import FILES

__all__ = [
    "HEALTH",
    "INFERENCE",
    "HealthCheckRequest",
    "HealthCheckResponse",
    "ModelConfigRequest",
    "ModelConfigResponse",
    "ModelInferRequest",
    "ModelInferResponse",
    "ModelMetadataRequest",
    "ModelMetadataResponse",
    "ModelReadyRequest",
    "ModelReadyResponse",
    "ServerLiveResponse",
    "ServerMetadataResponse",
    "ServerReadyResponse",
]

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

_POOL = descriptor_pool.DescriptorPool()
for _file in FILES:
    _POOL.AddSerializedFile(_file)


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


HealthCheckRequest = _message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = _message("grpc.health.v1.HealthCheckResponse")
ModelConfigRequest = _message("inference.ModelConfigRequest")
ModelConfigResponse = _message("inference.ModelConfigResponse")
ModelInferRequest = _message("inference.ModelInferRequest")
ModelInferResponse = _message("inference.ModelInferResponse")
ModelMetadataRequest = _message("inference.ModelMetadataRequest")
ModelMetadataResponse = _message("inference.ModelMetadataResponse")
ModelReadyRequest = _message("inference.ModelReadyRequest")
ModelReadyResponse = _message("inference.ModelReadyResponse")
ServerLiveResponse = _message("inference.ServerLiveResponse")
ServerMetadataResponse = _message("inference.ServerMetadataResponse")
ServerReadyResponse = _message("inference.ServerReadyResponse")
