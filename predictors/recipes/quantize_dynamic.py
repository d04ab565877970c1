"""Dynamic quantization to int8 for ONNX Runtime: weights once, activations anew at every call.

Meant for networks of matrix products. In a convolutional one every layer has to find the range of its input before it
can begin, which costs more than eight bits save; it is built so that the figures can show that.
"""

import tempfile
from pathlib import Path

import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.work import Made, Work, quiet

__all__ = ["apply"]

_MODEL = "model.onnx"


def apply(work: Work) -> Made:
    """Write the quantized `model.onnx`.

    Raises:
        BuildError: Nothing was quantized.
    """
    if work.parent is None:
        raise BuildError("quantize-dynamic needs the graph of `export` before it")
    before = graph.operators(work.parent)
    with tempfile.TemporaryDirectory(dir=work.out.parent) as scratch, quiet():
        prepared, quantized = Path(scratch) / "prepared.onnx", Path(scratch) / "quantized.onnx"
        quant_pre_process(work.parent, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        # The quantizer turns some weights round, and what is noted of their shapes would contradict it.
        model.graph.ClearField("value_info")
        onnx.save(model, prepared)
        # ONNX Runtime's integer convolution takes unsigned weights only.
        quantization.quantize_dynamic(
            prepared,
            quantized,
            reduce_range=work.params["reduceRange"],
            weight_type=quantization.QuantType.QUInt8,
        )
        made = onnx.load(quantized)
    graph.save(made, work.out / _MODEL)
    after = graph.operators(work.out / _MODEL)
    if not after.get("DynamicQuantizeLinear"):
        raise BuildError(
            f"{work.card.name}: dynamic quantization found nothing to quantize",
            "leave quantize-dynamic out of the model's recipe list",
        )
    return Made(_MODEL, "CPUExecutionProvider", ops=Ops(before=before, after=after))
