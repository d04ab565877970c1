"""The methods of both services, over the same core, admission and refusals as HTTP.

Messages are read and written here and not by the library, so that their time is on the request's clock and
a message that is none is refused as any other input. There are no methods to load or unload anything.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from predictors.errors import InputError, NotReadyError
from predictors.server.answer import Call, Encoded, Tensors
from predictors.server.asking import ask
from predictors.server.core import Predictor, State
from predictors.server.head import HttpError
from predictors.server.images import ImageReader
from predictors.server.inference import TensorReaders, choose_outputs
from predictors.server.metrics import Metrics
from predictors.server.replies import OCTETS, request_id
from predictors.server.responder import fault_of
from predictors.server.rpc import messages
from predictors.server.rpc.contents import given_tensors, response
from predictors.server.tensors import datatype_of
from predictors.server.timing import POSTPROCESS, RECEIVE, SEND, Stopwatch
from predictors.server.v2 import platform_of

__all__ = ["Service"]

_log = logging.getLogger(__name__)

_PROTOCOL = "v2-grpc"
_MAX_ID = 128
_INLINE_BYTES = 64 << 10
_WATCH_S = 0.2

# The statuses of the one table of refusals, in gRPC's words; a full queue and no readiness are both 503 there.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = Any  # grpc.aio.ServicerContext, which has no types
Method = Callable[[bytes, Context], Any]


class Service:
    """Answers the methods of one predictor."""

    def __init__(self, predictor: Predictor, metrics: Metrics) -> None:
        self._predictor = predictor
        self._metrics = metrics
        model = predictor.model
        images = None
        if model.preprocessing is not None:
            images = ImageReader(model.preprocessing, model.variant.inputs[0].name)
        self._readers = TensorReaders(model, images)
        self._standing = ("x-podium-variant", model.identity)
        self._metadata = self._described()

    def handlers(self) -> list[Any]:
        """Give the handlers of both services for a `grpc.aio` server."""
        told: dict[str, Callable[[bytes], bytes]] = {
            "ServerLive": lambda _: _written(messages.ServerLiveResponse(live=self._predictor.is_live)),
            "ServerReady": lambda _: _written(messages.ServerReadyResponse(ready=self._is_ready)),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _: _server_metadata(),
            "ModelMetadata": self._model_metadata,
        }
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(partial(self._tell, tell)) for name, tell in told.items()
        }
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        health = {
            "Check": grpc.unary_unary_rpc_method_handler(partial(self._tell, self._check)),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }
        return [
            grpc.method_handlers_generic_handler(messages.INFERENCE, methods),
            grpc.method_handlers_generic_handler(messages.HEALTH, health),
        ]

    @property
    def _is_ready(self) -> bool:
        return self._predictor.is_ready

    async def _tell(self, tell: Callable[[bytes], bytes], raw: bytes, context: Context) -> bytes:
        """Answer a question about the server, which is not counted."""
        try:
            return tell(raw)
        except (HttpError, InputError) as error:
            await self._abort(context, error, asked=None)

    async def _infer(self, raw: bytes, context: Context) -> bytes:
        watch = Stopwatch(time.monotonic_ns())
        watch.mark(RECEIVE)
        headers = dict(context.invocation_metadata() or ())
        asked = headers.get("x-request-id")
        try:
            answer = await self._answer(raw, watch, context.time_remaining())
        except asyncio.CancelledError:
            self._metrics.refused(_PROTOCOL, 499)
            raise
        # Whatever an engine raises must become an answer that tells nothing of it.
        except Exception as error:
            self._metrics.refused(_PROTOCOL, fault_of(error).status)
            await self._abort(context, error, asked=asked)
        watch.mark(POSTPROCESS)
        trailing = [self._standing]
        if asked is not None:
            trailing.append(("x-request-id", asked[:_MAX_ID]))
        if headers.get("x-podium-timing") == "1":
            trailing.append(("x-podium-timing", watch.header()))
        context.set_trailing_metadata(trailing)
        watch.mark(SEND)
        self._metrics.answered(_PROTOCOL, 200, watch)
        return answer

    async def _answer(self, raw: bytes, watch: Stopwatch, remaining_s: float | None) -> bytes:
        model = self._predictor.model

        def understand() -> Call:
            request = _parsed(messages.ModelInferRequest, raw)
            self._check_model(request.model_name, request.model_version)
            names = choose_outputs(model.outputs, [output.name for output in request.outputs])

            def encode(outputs: Tensors) -> Encoded:
                body = response(
                    name=model.name,
                    version=model.version,
                    identity=request.id,
                    outputs=outputs,
                    names=names,
                    is_raw=bool(request.raw_input_contents),
                )
                return Encoded(body, OCTETS)

            return self._readers.call(given_tensors(request), encode, booleans=False)

        limit_s = self._predictor.settings.timeout_s
        timeout_s = limit_s if remaining_s is None else min(remaining_s, limit_s)
        is_large = len(raw) > _INLINE_BYTES
        call, outputs = await ask(
            self._predictor, understand, watch, timeout_s=timeout_s, is_large=is_large, is_accepted=True
        )
        return call.encode(outputs).body

    async def _abort(self, context: Context, error: Exception, *, asked: str | None) -> NoReturn:
        fault = fault_of(error)
        identity = request_id() if asked is None else asked[:_MAX_ID]
        if fault.status == 500:
            _log.error("request failed", extra={"fields": {"id": identity}}, exc_info=error)
        code = _CODES.get(fault.status, grpc.StatusCode.INTERNAL)
        if isinstance(error, NotReadyError):
            code = grpc.StatusCode.UNAVAILABLE
        trailing = (self._standing, ("x-podium-code", fault.code), ("x-request-id", identity), *fault.headers)
        await context.abort(code, fault.sentence, trailing)
        raise AssertionError("abort raises")

    def _check_model(self, name: str, version: str) -> None:
        model = self._predictor.model
        if name != model.name or version not in ("", model.version):
            raise HttpError(404, "unknown_model", "no such model or version is served here")

    def _model_ready(self, raw: bytes) -> bytes:
        request = _parsed(messages.ModelReadyRequest, raw)
        self._check_model(request.name, request.version)
        return _written(messages.ModelReadyResponse(ready=self._is_ready))

    def _model_metadata(self, raw: bytes) -> bytes:
        request = _parsed(messages.ModelMetadataRequest, raw)
        self._check_model(request.name, request.version)
        return self._metadata

    def _described(self) -> bytes:
        model = self._predictor.model
        message = messages.ModelMetadataResponse(name=model.name, versions=[model.version], platform=platform_of(model))
        for specs, listed in ((model.variant.inputs, message.inputs), (model.variant.outputs, message.outputs)):
            for spec in specs:
                listed.add(name=spec.name, datatype=datatype_of(spec.dtype), shape=spec.shape)
        return _written(message)

    def _check(self, raw: bytes) -> bytes:
        service = _parsed(messages.HealthCheckRequest, raw).service
        if not self._knows(service):
            raise HttpError(404, "unknown_service", "no such service is served here")
        return self._health()

    async def _watch(self, raw: bytes, context: Context) -> AsyncIterator[bytes]:
        """Tell the health now and whenever it changes, until work is refused: a watcher must not hold up the end."""
        del context
        is_known = self._knows(_parsed(messages.HealthCheckRequest, raw).service)
        last = b""
        while True:
            status = self._health() if is_known else _health("SERVICE_UNKNOWN")
            if status != last:
                last = status
                yield status
            if self._predictor.state is State.REFUSING:
                return
            await asyncio.sleep(_WATCH_S)

    def _knows(self, service: str) -> bool:
        return service in ("", messages.INFERENCE, self._predictor.model.name)

    def _health(self) -> bytes:
        return _health("SERVING" if self._is_ready else "NOT_SERVING")


def _health(status: str) -> bytes:
    value = messages.HealthCheckResponse.ServingStatus.Value(status)
    return _written(messages.HealthCheckResponse(status=value))


def _server_metadata() -> bytes:
    return _written(messages.ServerMetadataResponse(name="podium", version="2"))


def _written(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _parsed(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InputError("the message is not what the protocol says", "send a message of the method's type") from error
