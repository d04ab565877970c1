"""The same core as a model of KServe's Python SDK, for where the SDK is the interface.

`podium serve` speaks KServe's protocols itself and much faster. This adapter is for what only the SDK has: a
transformer or several models in one process, an InferenceGraph that expects its server, code of one's own in
`preprocess` and `postprocess`. Queue, batching, checks of tensors, deadlines and what readiness means are the
core's; bodies, connections and the drain are the SDK's, which limits none of them. One worker only: the
engine and its queue live in this process.

    model = KServeModel("food", "food11-ort-int8", cpus=1)
    model.load()
    kserve.ModelServer().start([model])
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson
from fastapi import HTTPException
from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InferenceError, InvalidInput

from predictors.errors import InputError, NotReadyError, PredictorError, WorkerError
from predictors.server.answer import Call, Encoded, Tensors, no_finite_answer
from predictors.server.asking import ask
from predictors.server.core import Predictor, State
from predictors.server.inference import GivenTensor, TensorReaders, choose_outputs
from predictors.server.loading import Engine
from predictors.server.model import ServedModel
from predictors.server.origin import find_origin
from predictors.server.responder import fault_of
from predictors.server.settings import NO_KEYS, effective
from predictors.server.tensors import datatype_of
from predictors.server.timing import POSTPROCESS, Stopwatch
from predictors.server.v1 import V1

__all__ = ["KServeModel"]

_GRPC_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    503: StatusCode.RESOURCE_EXHAUSTED,
    504: StatusCode.DEADLINE_EXCEEDED,
}


class KServeModel(Model):  # type: ignore[misc]
    """A variant, or a bare model file, under `kserve.ModelServer`."""

    def __init__(self, name: str, variant: str, **settings: Any) -> None:
        """Take the model's name, what to serve as `podium serve` takes it, and settings by field."""
        super().__init__(name, return_response_headers=True)
        flags = {"variant": variant, "model_name": name, **settings}
        self._settings = effective(flags, os.environ)
        if self._settings.keys != NO_KEYS:
            # Said and not left out: it would look as if the door were shut.
            raise PredictorError("the SDK's server asks for no keys", "serve with podium serve, or set keys to none")
        self._predictor: Predictor | None = None
        self._engine: Engine | None = None
        self._readers: TensorReaders | None = None
        self._v1: V1 | None = None

    def load(self) -> bool:
        """Check digests and golden answers and warm every batch shape; only then is the model ready.

        Raises:
            ArtifactError: The model is refused.
            WorkerError: No decoder comes up; none is left.
        """
        if self._predictor is None:
            origin = find_origin(self._settings)
            model = origin.open()
            self._engine = origin.load()
            predictor = Predictor(origin, self._settings)
            if predictor.images is not None:
                predictor.images.decoder.open()
                try:
                    predictor.images.decoder.wait()
                except WorkerError:
                    predictor.close()
                    raise
            self._readers = TensorReaders(model, predictor.images)
            self._v1 = V1(model, predictor.images)
            self._predictor = predictor
        self.ready = True
        return True

    async def healthy(self) -> bool:
        """Whether new work is welcome."""
        return bool(self.ready) and self._started().is_ready

    def stop(self) -> None:
        """Take no work any more and let the engine's threads end."""
        super().stop()
        predictor, self._predictor = self._predictor, None
        if predictor is not None:
            predictor.refuse()
            predictor.close()

    async def predict(
        self,
        payload: dict[str, Any] | bytes | InferRequest,
        headers: Mapping[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer one request: V1 as a dict or an encoded image, V2 as the SDK's own request."""
        watch = Stopwatch(time.monotonic_ns())
        is_grpc = isinstance(payload, InferRequest) and payload.from_grpc is True
        try:
            predictor = self._started()
            if isinstance(payload, InferRequest):
                answer: dict[str, Any] | InferResponse = await self._infer(predictor, payload, watch)
            else:
                answer = await self._predict(predictor, payload, watch)
        except PredictorError as error:
            _refuse(error, is_grpc=is_grpc)
        watch.mark(POSTPROCESS)
        if response_headers is not None:
            response_headers["x-podium-variant"] = predictor.model.identity
            if headers is not None and headers.get("x-podium-timing") == "1":
                response_headers["x-podium-timing"] = watch.header()
        return answer

    def get_input_types(self) -> list[dict[str, Any]]:
        """Describe the inputs for the SDK's metadata."""
        return _described(self._model().variant.inputs)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Describe the outputs for the SDK's metadata."""
        return _described(self._model().variant.outputs)

    def _model(self) -> ServedModel:
        if self._predictor is None:
            raise NotReadyError("the model is not loaded", "call load() before the server starts")
        return self._predictor.model

    def _started(self) -> Predictor:
        """Give the predictor, its queue bound to the server's event loop at the first call."""
        predictor, engine = self._predictor, self._engine
        if predictor is None or engine is None:
            raise NotReadyError("the model is not loaded", "call load() before the server starts")
        if predictor.state is State.LOADING:
            predictor.start(engine)
        return predictor

    async def _predict(self, predictor: Predictor, payload: dict[str, Any] | bytes, watch: Stopwatch) -> dict[str, Any]:
        v1 = self._v1
        if v1 is None:
            raise NotReadyError("the model is not loaded")

        def understand() -> Call:
            if predictor.model.is_bare:
                raise InputError("a model without a manifest is asked over V2 only")
            if isinstance(payload, bytes):
                return v1.image(payload)
            return v1.document(payload, booleans=True)

        call, outputs = await ask(predictor, understand, watch)
        answer: dict[str, Any] = orjson.loads(call.encode(outputs).body)
        return answer

    async def _infer(self, predictor: Predictor, request: InferRequest, watch: Stopwatch) -> InferResponse:
        readers, model = self._readers, predictor.model
        if readers is None:
            raise NotReadyError("the model is not loaded")
        asked = [output.name for output in request.request_outputs or ()]
        names = choose_outputs(model.outputs, asked)

        def understand() -> Call:
            return readers.call([_given(item) for item in request.inputs or ()], _unused, booleans=True)

        _, outputs = await ask(predictor, understand, watch)
        is_binary = bool(request.use_binary_outputs)
        if not is_binary and not all(_is_finite(outputs[name]) for name in names):
            raise no_finite_answer()
        return InferResponse(
            response_id=request.id or "",
            model_name=model.name,
            model_version=model.version,
            infer_outputs=[_output(name, outputs[name], is_binary) for name in names],
            use_binary_outputs=is_binary,
            requested_outputs=None if request.from_grpc else request.request_outputs,
        )


def _given(item: InferInput) -> GivenTensor:
    # The SDK tells raw contents apart only in this attribute; its own reading of them fails with a 500.
    raw = item._raw_data
    return GivenTensor(item.name, item.datatype, item.shape, raw, item.data)


def _output(name: str, values: np.ndarray[Any, Any], is_binary: bool) -> InferOutput:
    output = InferOutput(name, list(values.shape), datatype_of(values.dtype.name))
    output.set_data_from_numpy(values, binary_data=is_binary)
    return output


def _is_finite(values: np.ndarray[Any, Any]) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _described(specs: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": list(spec.shape)} for spec in specs]


def _unused(_outputs: Tensors) -> Encoded:
    raise NotImplementedError("the SDK writes the answer")


def _refuse(error: PredictorError, *, is_grpc: bool) -> NoReturn:
    """Raise what the SDK turns into the status that our own front ends give."""
    fault = fault_of(error)
    if is_grpc:
        code = _GRPC_CODES.get(fault.status, StatusCode.INTERNAL)
        if isinstance(error, NotReadyError):
            code = StatusCode.UNAVAILABLE
        raise GrpcException(status_code=code, details=fault.sentence) from error
    if fault.status == 400:
        raise InvalidInput(fault.sentence) from error
    if fault.status == 500:
        raise InferenceError(fault.sentence) from error
    raise HTTPException(fault.status, fault.sentence, dict(fault.headers)) from error
