"""Quantization-aware training: the network learns to answer as before while its weights and inputs are rounded.

What is written is the same network with other weights, in float32; `quantize-static` on top of it rounds them as they
were rounded in the training.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from predictors.models.training import Plan, Stage
from predictors.recipes import export, trained
from predictors.recipes.work import Made, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PLAN", "apply", "begin"]

PLAN = Plan(stages=(Stage(224, 1),), batch=32, peak_rate=3e-5, weight_decay=0.0, smoothing=0.0, frozen=True)


def apply(work: Work) -> Made:
    """Write `model.onnx` from the checkpoint that `podium train FOLDER --recipe qat` made.

    Raises:
        BuildError: There is none, or it was trained from other weights or with other parameters.
    """
    return export.export(work, *trained.network(work, "qat"))


def begin(network: "nn.Module", images: "Tensor", _params: Mapping[str, Any]) -> "nn.Module":
    """Round what a trained network computes with; changes and returns it.

    Args:
        network: The source.
        images: Some inputs, float32 [n, channels, height, width], that give the ranges.
        _params: None that decide the training.
    """
    from predictors.models.rounding import round_layers

    round_layers(network, images)
    return network
