"""Post-training quantization to int8 with NNCF, saved as OpenVINO's IR.

Source of the method: "Neural Network Compression Framework for fast model inference" (2020). NNCF does without the
package that sends its usage statistics, which `predictors` hides: a build asks no network anything.
"""

from itertools import chain
from typing import Any

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import openvino_graph
from predictors.recipes.work import Made, Work, check_calibrated, quiet

__all__ = ["apply"]

_MODEL = "model.xml"
_BATCH = 50


def apply(work: Work) -> Made:
    """Write `model.xml` and `model.bin`.

    Raises:
        BuildError: Nothing was quantized.
    """
    if work.parent is None:
        raise BuildError("openvino-int8 needs the graph of `export` before it")
    with quiet():
        import nncf
        import openvino

        nncf.set_log_level(40)
        model = openvino.Core().read_model(work.parent)
        before = openvino_graph.operators(model)
        images = list(chain.from_iterable(work.calibration(_BATCH)))
        name = work.card.inputs[0].name
        data = nncf.Dataset(images, lambda image: {name: image[None]})
        preset = nncf.QuantizationPreset.MIXED
        if work.params["preset"] == "performance":
            preset = nncf.QuantizationPreset.PERFORMANCE
        quantized = nncf.quantize(
            model,
            data,
            preset=preset,
            subset_size=len(images),
            fast_bias_correction=work.params["biasCorrection"] == "fast",
            target_device=nncf.TargetDevice.CPU,
        )
        openvino_graph.save(quantized, work.out / _MODEL)
    after = openvino_graph.operators(quantized)
    if not after.get("FakeQuantize"):
        raise BuildError(
            f"{work.card.name}: NNCF found nothing to quantize",
            "leave openvino-int8 out of the model's recipe list",
        )
    check_calibrated(work, input_range(quantized))
    return Made(_MODEL, "CPU", ops=Ops(before=before, after=after))


def input_range(model: Any) -> tuple[float, float] | None:
    """Return the smallest and largest input that the first scales can express; None where there are none."""
    for port in model.inputs[0].get_node().output(0).get_target_inputs():
        node = port.get_node()
        if node.get_type_name() == "FakeQuantize":
            low, high = (node.input_value(place).get_node().get_data() for place in (1, 2))
            return float(low.min()), float(high.max())
    return None
