"""The digit network of the mnist example: three convolutions and three linear layers, 584,042 parameters.

float32 [batch, 1, 28, 28] to logits [batch, 10], 7,057,152 multiply-accumulates an image; the batch axis is dynamic.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LABELS", "SIDES", "network", "parameter_shapes"]

LABELS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

# Heights and widths that three halvings, rounded down, bring to the 3 that the linear layers take.
SIDES = range(24, 32)

_CHANNELS = (1, 32, 64, 96)
_FEATURES = (864, 512, 128, 10)
# Places of the layers that have parameters, in the order of `network`.
_CONVOLUTIONS = (0, 3, 6)
_LINEARS = (10, 12, 14)


def network() -> nn.Module:
    """Build the untrained network."""
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(_CHANNELS):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for inputs, outputs in pairwise(_FEATURES):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint."""
    shapes: dict[str, tuple[int, ...]] = {}
    for place, inputs, outputs in zip(_CONVOLUTIONS, _CHANNELS, _CHANNELS[1:], strict=False):
        shapes |= {f"{place}.weight": (outputs, inputs, 3, 3), f"{place}.bias": (outputs,)}
    for place, inputs, outputs in zip(_LINEARS, _FEATURES, _FEATURES[1:], strict=False):
        shapes |= {f"{place}.weight": (outputs, inputs), f"{place}.bias": (outputs,)}
    return shapes
