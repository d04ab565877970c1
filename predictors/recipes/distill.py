"""Distillation: a network with narrower blocks learns to answer as the source does.

The student has the layers of its teacher and fewer channels inside each block. It begins as a pruned copy, and then
learns the teacher's answers more than the labels: they say what an image resembles as well ("Distilling the Knowledge
in a Neural Network", 2015).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from predictors.models.training import Plan, Stage
from predictors.recipes import export, prune, trained
from predictors.recipes.work import Made, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PLAN", "apply", "begin"]

PLAN = Plan(stages=(Stage(224, 1),), batch=32, peak_rate=3e-4, weight_decay=0.0, smoothing=0.0, frozen=True)


def apply(work: Work) -> Made:
    """Write `model.onnx` from the checkpoint that `podium train FOLDER --recipe distill` made.

    Raises:
        BuildError: There is none, or it was trained from other weights or with other parameters.
    """
    return export.export(work, *trained.network(work, "distill"))


def begin(network: "nn.Module", images: "Tensor", params: Mapping[str, Any]) -> "nn.Module":
    """Make the student of a trained network; changes and returns it.

    Args:
        network: The source.
        images: Some inputs, float32 [n, channels, height, width], to begin with.
        params: `width` is the share of channels that the student has inside its blocks.
    """
    return prune.begin(network, images, {"ratio": 1 - params["width"]})
