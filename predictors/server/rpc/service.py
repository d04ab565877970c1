"""The methods of both services, over the same core, admission and refusals as HTTP.

Messages are read and written here, so that their time is on the request's clock and a message that is none is
refused as any other input. There are no methods to load or unload anything.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from predictors.errors import InputError, NotReadyError, OverloadError
from predictors.server.answer import Call as Understood
from predictors.server.answer import Encoded, Tensors
from predictors.server.configuration import EXTENSIONS, Configuration
from predictors.server.core import Predictor, State
from predictors.server.door import Door
from predictors.server.form import BinaryAnswer
from predictors.server.head import HttpError
from predictors.server.inference import TensorReaders, choose_outputs
from predictors.server.metrics import Metrics
from predictors.server.prediction import Prediction
from predictors.server.replies import OCTETS, request_id
from predictors.server.responder import fault_of
from predictors.server.rpc import messages
from predictors.server.rpc.call import Call, Method, Status, trailers
from predictors.server.rpc.contents import given_tensors, response
from predictors.server.rpc.hpack import header_block
from predictors.server.rpc.known import KnownMessages
from predictors.server.tensors import datatype_of
from predictors.server.timing import POSTPROCESS, SEND, Stopwatch
from predictors.server.v2 import platform_of

__all__ = ["Service", "configured"]

_log = logging.getLogger(__name__)

_PROTOCOL = "v2-grpc"
_MAX_ID = 128
_WATCH_S = 0.2

# What probes ask says at most the name of a service.
_PROBE_BYTES = 1024

# The statuses of the one table of refusals, in gRPC's words; a full queue and no readiness are both 503 there.
_STATUSES = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    404: Status.NOT_FOUND,
    429: Status.RESOURCE_EXHAUSTED,
    503: Status.RESOURCE_EXHAUSTED,
    504: Status.DEADLINE_EXCEEDED,
}


class RpcResponder:
    """Writes and counts the answers of one variant to calls."""

    def __init__(self, identity: str, metrics: Metrics) -> None:
        self._standing = ("x-podium-variant", identity)
        self._good = trailers(Status.OK, more=[self._standing])
        self._metrics = metrics

    def tell(self, call: Call, message: bytes) -> None:
        """Answer a question about the server itself, which is not counted."""
        call.reply(message, self._good)

    def succeed(self, call: Call, protocol: str, encoded: Encoded, watch: Stopwatch) -> None:
        """Answer a prediction and take the rest of its time."""
        headers = call.headers
        block = self._good
        asked = headers.get("x-request-id")
        if asked is not None:
            block += header_block([("x-request-id", asked[:_MAX_ID])])
        watch.mark(POSTPROCESS)
        if headers.get("x-podium-timing") == "1":
            block += header_block([("x-podium-timing", watch.header())])
        call.reply(encoded.body, block)
        watch.mark(SEND)
        self._metrics.answered(protocol, 200, watch)

    def fail(self, call: Call, protocol: str, error: BaseException) -> None:
        """Refuse a prediction; an error that is ours is logged under the id that the client gets."""
        self._metrics.refused(protocol, fault_of(error).status)
        self.refuse(call, error)

    def refuse(self, call: Call, error: BaseException) -> None:
        """Refuse a call without counting it."""
        asked = call.headers.get("x-request-id")
        identity = request_id() if asked is None else asked[:_MAX_ID]
        fault = fault_of(error)
        if fault.status == 500:
            _log.error("request failed", extra={"fields": {"id": identity}}, exc_info=error)
        status = _STATUSES.get(fault.status, Status.INTERNAL)
        if isinstance(error, NotReadyError):
            status = Status.UNAVAILABLE
        more = (self._standing, ("x-podium-code", fault.code), ("x-request-id", identity), *fault.headers)
        call.refuse(status, fault.sentence, more)

    def count_left(self) -> None:
        """Count a client that went before the answer was there."""
        self._metrics.refused(_PROTOCOL, 499)


class Service:
    """Answers the methods of one predictor, and with a door lets in the calls that have a key."""

    def __init__(self, predictor: Predictor, metrics: Metrics, door: Door | None = None) -> None:
        self._predictor = predictor
        model = predictor.model
        self._readers = TensorReaders(model, predictor.images)
        self._known = KnownMessages(model.inputs)
        self._responder = RpcResponder(model.identity, metrics)
        self._metadata = self._described()
        configuration = Configuration.of(model, delay_s=predictor.settings.max_delay_s)
        self._configuration = configured(configuration)
        told: dict[str, Callable[[bytes], bytes]] = {
            f"/{messages.INFERENCE}/ServerLive": self._live,
            f"/{messages.INFERENCE}/ServerReady": self._ready,
            f"/{messages.INFERENCE}/ModelReady": self._model_ready,
            f"/{messages.INFERENCE}/ServerMetadata": _server_metadata,
            f"/{messages.INFERENCE}/ModelMetadata": self._model_metadata,
            f"/{messages.INFERENCE}/ModelConfig": self._model_config,
            f"/{messages.HEALTH}/Check": self._check,
        }
        self._methods: Mapping[str, Method] = {
            **{path: partial(self._tell, tell) for path, tell in told.items()},
            f"/{messages.INFERENCE}/ModelInfer": self._infer,
            f"/{messages.HEALTH}/Watch": self._watch,
        }

        # Not Watch: it stays open, and calls that are open are counted.
        self._open = tuple(
            self._methods[path]
            for path in (
                f"/{messages.INFERENCE}/ServerLive",
                f"/{messages.INFERENCE}/ServerReady",
                f"/{messages.INFERENCE}/ModelReady",
                f"/{messages.HEALTH}/Check",
            )
        )
        self.enter = None if door is None else partial(self._enter, door)

    def find(self, path: str) -> Method | None:
        """Find what answers a path."""
        return self._methods.get(path)

    def _enter(self, door: Door, call: Call) -> bool:
        """Let a call in, or refuse it and tell so; what probes ask needs no key, as long as it is short."""
        if call.head.method in self._open:
            call.most_bytes = _PROBE_BYTES
            return True
        try:
            call.tenant = door.enter(call.headers.get("authorization"))
        except HttpError as error:
            self._responder.fail(call, _PROTOCOL, error)
            return False
        return True

    @property
    def _is_ready(self) -> bool:
        return self._predictor.is_ready

    def _tell(self, tell: Callable[[bytes], bytes], call: Call) -> None:
        try:
            message = tell(call.body)
        except (HttpError, InputError) as error:
            self._responder.refuse(call, error)
            return
        self._responder.tell(call, message)

    def _infer(self, call: Call) -> None:
        limit_ns = int(self._predictor.settings.timeout_s * 1e9)
        timeout_ns = min(call.head.timeout_ns, limit_ns) if call.head.timeout_ns else 0
        prediction = Prediction(self._predictor, self._responder, call, _PROTOCOL)
        try:
            prediction.begin(self._understand, timeout_ns=timeout_ns, is_accepted=True)
        except (HttpError, InputError, NotReadyError, OverloadError) as error:
            self._responder.fail(call, _PROTOCOL, error)
            return
        if call.on_cancel is not None:
            call.on_cancel = partial(self._left, call.on_cancel)

    def _left(self, cancel: Callable[[], None]) -> None:
        """Take the work of a client that has gone out of the queue, and count it."""
        cancel()
        self._responder.count_left()

    def _understand(self, raw: bytes) -> Understood:
        known = self._known.find(raw)
        if known is not None:
            return known
        model = self._predictor.model
        request = _parsed(messages.ModelInferRequest, raw)
        self._check_model(request.model_name, request.model_version)
        names = choose_outputs(model.outputs, [output.name for output in request.outputs])
        is_raw = bool(request.raw_input_contents)

        def write(outputs: Tensors) -> Encoded:
            body = response(
                name=model.name,
                version=model.version,
                identity=request.id,
                outputs=outputs,
                names=names,
                is_raw=is_raw,
            )
            return Encoded(body, OCTETS)

        encode: Callable[[Tensors], Encoded] = write
        if is_raw and len(names) == 1:
            # One output's bytes are the end of the message, as a binary answer has them over HTTP.
            encode = BinaryAnswer(names, write)
        given = given_tensors(request)
        understood = self._readers.call(given, encode, booleans=False)
        self._known.keep(raw, request, given, understood)
        return understood

    def _check_model(self, name: str, version: str) -> None:
        model = self._predictor.model
        if name != model.name or version not in ("", model.version):
            raise HttpError(404, "unknown_model", "no such model or version is served here")

    def _live(self, _raw: bytes) -> bytes:
        return _written(messages.ServerLiveResponse(live=self._predictor.is_live))

    def _ready(self, _raw: bytes) -> bytes:
        return _written(messages.ServerReadyResponse(ready=self._is_ready))

    def _model_ready(self, raw: bytes) -> bytes:
        request = _parsed(messages.ModelReadyRequest, raw)
        self._check_model(request.name, request.version)
        return _written(messages.ModelReadyResponse(ready=self._is_ready))

    def _model_metadata(self, raw: bytes) -> bytes:
        request = _parsed(messages.ModelMetadataRequest, raw)
        self._check_model(request.name, request.version)
        return self._metadata

    def _model_config(self, raw: bytes) -> bytes:
        request = _parsed(messages.ModelConfigRequest, raw)
        self._check_model(request.name, request.version)
        return self._configuration

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

    def _watch(self, call: Call) -> None:
        try:
            is_known = self._knows(_parsed(messages.HealthCheckRequest, call.body).service)
        except InputError as error:
            self._responder.refuse(call, error)
            return
        self._tell_changes(call, is_known, b"")

    def _tell_changes(self, call: Call, is_known: bool, last: bytes) -> None:
        """Tell the health now and whenever it changes, until work is refused: a watcher must not hold up the end."""
        if call.is_over:
            return
        status = self._health() if is_known else _health("SERVICE_UNKNOWN")
        if status != last:
            call.send(status)
        if self._predictor.state is State.REFUSING:
            call.reply(None, trailers(Status.OK))
            return
        asyncio.get_running_loop().call_later(_WATCH_S, self._tell_changes, call, is_known, status)

    def _knows(self, service: str) -> bool:
        return service in ("", messages.INFERENCE, self._predictor.model.name)

    def _health(self) -> bytes:
        return _health("SERVING" if self._is_ready else "NOT_SERVING")


def _health(status: str) -> bytes:
    value = messages.HealthCheckResponse.ServingStatus.Value(status)
    return _written(messages.HealthCheckResponse(status=value))


def configured(told: Configuration) -> bytes:
    """Write a configuration as the answer to ModelConfig."""
    message = messages.ModelConfigResponse()
    config = message.config
    config.name, config.platform, config.backend = told.name, told.platform, told.backend
    config.max_batch_size = told.max_batch_size
    for tensors, listed in ((told.inputs, config.input), (told.outputs, config.output)):
        for tensor in tensors:
            item = listed.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            if tensor.is_scalar:
                item.reshape.SetInParent()
    if told.delay_us is not None:
        config.dynamic_batching.SetInParent()
        config.dynamic_batching.max_queue_delay_microseconds = told.delay_us
    return _written(message)


def _server_metadata(_raw: bytes) -> bytes:
    return _written(messages.ServerMetadataResponse(name="podium", version="2", extensions=EXTENSIONS))


def _written(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _parsed(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise InputError("the message is not what the protocol says", "send a message of the method's type") from error
