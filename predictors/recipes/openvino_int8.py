"""Post-training quantization to int8 with NNCF, saved as OpenVINO's IR.

Source of the method: "Neural Network Compression Framework for fast model inference" (2020). NNCF does without the
package that sends its usage statistics, which `predictors` hides: a build asks no network anything.
"""

import re
from collections import Counter
from itertools import chain
from typing import Any

from predictors.errors import BuildError
from predictors.manifest import Ops
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
        before = Counter(op.get_type_name() for op in model.get_ops())
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
        _number(quantized)
        openvino.save_model(quantized, work.out / _MODEL, compress_to_fp16=False)
    after = Counter(op.get_type_name() for op in quantized.get_ops())
    if not after["FakeQuantize"]:
        raise BuildError(
            f"{work.card.name}: NNCF found nothing to quantize",
            "leave openvino-int8 out of the model's recipe list",
        )
    ops = Ops(before=dict(sorted(before.items())), after=dict(sorted(after.items())))
    return Made(_MODEL, "CPU", ops=ops)


def _number(model: Any) -> None:
    """Name unnamed operators by their place; OpenVINO counts them by process, and an address must not."""
    for place, op in enumerate(model.get_ordered_ops()):
        if re.fullmatch(rf"{op.get_type_name()}_\d+", op.get_friendly_name()):
            op.set_friendly_name(f"{op.get_type_name()}_{place}")
