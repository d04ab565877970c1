"""Post-training quantization to int8 with NNCF, saved as OpenVINO's IR.

Source of the method: "Neural Network Compression Framework for fast model inference" (2020). NNCF does without the
package that sends its usage statistics, which `predictors` hides: a build asks no network anything.
"""

from itertools import chain

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import openvino_graph
from predictors.recipes.work import Made, Work, quiet

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
    return Made(_MODEL, "CPU", ops=Ops(before=before, after=after))
