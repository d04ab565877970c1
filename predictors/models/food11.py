"""MobileNetV2 (width 1.0) with eleven outputs: the network of the food11 example.

Source: "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2. Parameter names follow the
order of the layers. `parameter_shapes` is computed without torch, so that a checkpoint can be checked against
this architecture by whoever has none installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LABELS", "network", "parameter_shapes"]

LABELS = (
    "bread",
    "dairy",
    "dessert",
    "egg",
    "fried food",
    "meat",
    "noodles/pasta",
    "rice",
    "seafood",
    "soup",
    "vegetable/fruit",
)

_STEM = 32
_LAST = 1280
_DROPOUT = 0.5
# expansion, channels, repeats, stride of the first repeat
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def network() -> nn.Module:
    """Build the untrained network: float32 [batch, 3, 224, 224] to logits [batch, 11]."""
    from torch import nn

    class InvertedResidual(nn.Module):
        """Expand, filter by channel, project; added to its input where the shapes allow."""

        def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
            super().__init__()
            self.is_residual = stride == 1 and inputs == outputs
            self.layers = nn.Sequential(*(_layer(*plan) for plan in _block(inputs, outputs, stride, expansion)))

        def forward(self, x):  # type: ignore[no-untyped-def]
            """Shapes: [batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]."""
            return x + self.layers(x) if self.is_residual else self.layers(x)

    blocks = [InvertedResidual(*plan) for plan in _blocks()]
    channels = _STAGES[-1][1]
    model = nn.Sequential(
        _layer(3, _STEM, 3, 2, 1, True),
        *blocks,
        _layer(channels, _LAST, 1, 1, 1, True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(_DROPOUT),
        nn.Linear(_LAST, len(LABELS)),
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return model


def parameter_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, batch normalization's statistics included."""
    shapes = dict(_layer_shapes("0", 3, _STEM, 3, 1))
    number = 1
    for inputs, outputs, stride, expansion in _blocks():
        for layer, (i, o, kernel, _, groups, _) in enumerate(_block(inputs, outputs, stride, expansion)):
            shapes.update(_layer_shapes(f"{number}.layers.{layer}", i, o, kernel, groups))
        number += 1
    shapes.update(_layer_shapes(str(number), _STAGES[-1][1], _LAST, 1, 1))
    head = str(number + 4)
    return shapes | {f"{head}.weight": (len(LABELS), _LAST), f"{head}.bias": (len(LABELS),)}


def _blocks() -> Iterator[tuple[int, int, int, int]]:
    inputs = _STEM
    for expansion, outputs, repeats, stride in _STAGES:
        for repeat in range(repeats):
            yield inputs, outputs, stride if repeat == 0 else 1, expansion
            inputs = outputs


def _block(inputs: int, outputs: int, stride: int, expansion: int) -> list[tuple[int, int, int, int, int, bool]]:
    hidden = inputs * expansion
    expand = [(inputs, hidden, 1, 1, 1, True)] if expansion != 1 else []
    return [*expand, (hidden, hidden, 3, stride, hidden, True), (hidden, outputs, 1, 1, 1, False)]


def _layer(inputs: int, outputs: int, kernel: int, stride: int, groups: int, has_activation: bool) -> nn.Module:
    from torch import nn

    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    activation = [nn.ReLU6(inplace=True)] if has_activation else []
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), *activation)


def _layer_shapes(
    prefix: str, inputs: int, outputs: int, kernel: int, groups: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{prefix}.0.weight", (outputs, inputs // groups, kernel, kernel)
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{prefix}.1.{name}", (outputs,)
