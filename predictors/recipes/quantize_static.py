"""Static quantization to int8 for ONNX Runtime, calibrated on held-out images.

Weights get one scale a channel, activations one a tensor: depthwise convolutions lose most of their accuracy
with one scale for all channels (Krishnamoorthi, "Quantizing deep convolutional networks for efficient
inference", 2018, section 3). Nothing is left to chance: a result without quantized operators is an error. The QDQ form
marks what may be computed in eight bits and leaves the choice to the engine; QOperator names the integer operators.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.work import Images, Made, Work, check_calibrated, quiet

__all__ = ["Reader", "apply", "check_quantized", "input_range", "prepare", "quantize"]

_MODEL = "model.onnx"
_BATCH = 10
_METHODS = {
    "minmax": quantization.CalibrationMethod.MinMax,
    "entropy": quantization.CalibrationMethod.Entropy,
    "percentile": quantization.CalibrationMethod.Percentile,
}
_FORMATS = {"QDQ": quantization.QuantFormat.QDQ, "QOperator": quantization.QuantFormat.QOperator}
_TYPES = {"uint8": quantization.QuantType.QUInt8, "int8": quantization.QuantType.QInt8}


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The calibration images, in strides of one batch.

    Between strides the calibrator reduces what it has seen to ranges or histograms; without them it would
    keep every activation of every image. `seen` is the smallest and the largest value so far, zero being one of them;
    what the scales express later says less, because percentile and entropy cut off outliers on purpose.
    """

    def __init__(self, name: str, images: Iterator[Images], batches: int) -> None:
        self._name = name
        self._images = images
        self._batches = batches
        self._left = 0
        self.seen: tuple[float, float] | None = None

    def __len__(self) -> int:
        return self._batches

    def set_range(self, start_index: int, end_index: int) -> None:
        """Open the next stride."""
        self._left = end_index - start_index

    def get_next(self) -> dict[str, Images] | None:
        """Return the next batch by input name, or None at the end of the stride."""
        if self._left == 0:
            return None
        self._left -= 1
        images = next(self._images)
        low, high = self.seen or (0.0, 0.0)
        self.seen = (min(low, float(images.min())), max(high, float(images.max())))
        return {self._name: images}


def apply(work: Work) -> Made:
    """Write the quantized `model.onnx`.

    Raises:
        BuildError: Nothing was quantized, or the calibration images are not the model's.
    """
    if work.parent is None:
        raise BuildError("quantize-static needs the graph of `export` before it")
    before = graph.operators(work.parent)
    with tempfile.TemporaryDirectory(dir=work.out.parent) as scratch, quiet():
        prepared = prepare(work.parent, Path(scratch))
        reader = Reader(work.card.inputs[0].name, work.calibration(_BATCH), -(-work.calibration_images // _BATCH))
        model = quantize(work.params, prepared, reader)
    graph.save(model, work.out / _MODEL)
    after = graph.operators(work.out / _MODEL)
    check_quantized(work, after)
    check_calibrated(work, reader.seen)
    return Made(_MODEL, "CPUExecutionProvider", ops=Ops(before=before, after=after))


def prepare(parent: Path, scratch: Path) -> Path:
    """Return the graph with its shapes noted and its constants folded, as the quantizer wants it."""
    prepared = scratch / "prepared.onnx"
    quant_pre_process(parent, prepared, skip_symbolic_shape=True)
    return prepared


def quantize(params: Mapping[str, Any], prepared: Path, reader: Reader, **choice: Any) -> onnx.ModelProto:
    """Return the quantized graph; `choice` goes to the quantizer: which nodes, and a file that keeps the ranges."""
    quantized = prepared.with_name("quantized.onnx")
    quantization.quantize_static(
        prepared,
        quantized,
        reader,
        quant_format=_FORMATS[params["format"]],
        per_channel=params["perChannel"],
        reduce_range=params["reduceRange"],
        activation_type=_TYPES[params["activations"]],
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=_METHODS[params["method"]],
        extra_options=_options(params),
        **choice,
    )
    return onnx.load(quantized)


def check_quantized(work: Work, after: dict[str, int]) -> None:
    """Refuse a graph that was saved under the name of a quantized one."""
    is_same = work.parent is not None and (work.out / _MODEL).read_bytes() == work.parent.read_bytes()
    if is_same or not after.get("QuantizeLinear"):
        raise BuildError(
            f"{work.card.name}: static quantization found nothing to quantize",
            "leave quantize-static out of the model's recipe list",
        )


def input_range(model: onnx.ModelProto, name: str) -> tuple[float, float] | None:
    """Return the smallest and largest input that its first scale can express; None where it has none."""
    first = next((n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == name), None)
    if first is None:
        return None
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scale, zero = float(held[first.input[1]]), held[first.input[2]]
    limits = np.iinfo(zero.dtype)
    return scale * (int(limits.min) - int(zero)), scale * (int(limits.max) - int(zero))


def _options(params: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"ActivationSymmetric": False, "WeightSymmetric": True, "CalibStridedMinMax": 1}
    if params["method"] == "percentile":
        options["CalibPercentile"] = params["percentile"]
    return options
