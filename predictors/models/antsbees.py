"""ResNet18 with two outputs: the network of the antsbees example, at half its width unless the card says otherwise.

Source: "Deep Residual Learning for Image Recognition" (2015), table 1. Parameter names follow the order of the layers.
`width` scales every layer's channels: 1.0 is the paper's network, 0.5 has a quarter of its weights and its work.
`parameter_shapes` is computed without torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LABELS", "network", "parameter_shapes"]

LABELS = ("ants", "bees")

_STEM = 64
# channels, blocks, stride of the first block
_STAGES = ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2))
# Channels stay whole numbers, and more than the paper's are no use for two classes.
_EIGHTHS = range(1, 9)


def network(width: float = 0.5) -> nn.Module:
    """Build the untrained network: float32 [batch, 3, 224, 224] to logits [batch, 2].

    Raises:
        ValueError: `width` is no multiple of an eighth up to 1.
    """
    import torch
    from torch import nn

    class Residual(nn.Module):
        """Two convolutions, added to the input; a third one brings the input to their shape where that differs."""

        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                *_layer(inputs, outputs, 3, stride), nn.ReLU(inplace=True), *_layer(outputs, outputs, 3, 1)
            )
            self.shortcut = nn.Sequential(*(_layer(inputs, outputs, 1, stride) if _changes(inputs, outputs) else ()))

        def forward(self, x):  # type: ignore[no-untyped-def]
            """Shapes: [batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]."""
            return torch.relu(self.layers(x) + self.shortcut(x))

    *_, (_, last, _) = _blocks(width)
    model = nn.Sequential(
        *_layer(3, _channels(_STEM, width), 7, 2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        *(Residual(*block) for block in _blocks(width)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last, len(LABELS)),
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def parameter_shapes(width: float = 0.5) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, batch normalization's statistics included.

    Raises:
        ValueError: `width` is no multiple of an eighth up to 1.
    """
    shapes = dict(_layer_shapes("{}", 0, 3, _channels(_STEM, width), 7))
    # After the stem's convolution, normalization, activation and pooling.
    number = 4
    for inputs, outputs, _ in _blocks(width):
        shapes.update(_layer_shapes(f"{number}.layers.{{}}", 0, inputs, outputs, 3))
        shapes.update(_layer_shapes(f"{number}.layers.{{}}", 3, outputs, outputs, 3))
        if _changes(inputs, outputs):
            shapes.update(_layer_shapes(f"{number}.shortcut.{{}}", 0, inputs, outputs, 1))
        last, number = outputs, number + 1
    # After the pooling and the flattening.
    head = str(number + 2)
    return shapes | {f"{head}.weight": (len(LABELS), last), f"{head}.bias": (len(LABELS),)}


def _channels(full: int, width: float) -> int:
    if width * 8 not in _EIGHTHS:
        raise ValueError(f"width is {width}, and must be an eighth, a quarter, ... up to 1")
    return int(full * width)


def _blocks(width: float) -> Iterator[tuple[int, int, int]]:
    """Inputs, outputs and stride of every block."""
    inputs = _channels(_STEM, width)
    for full, blocks, stride in _STAGES:
        outputs = _channels(full, width)
        for block in range(blocks):
            yield inputs, outputs, stride if block == 0 else 1
            inputs = outputs


def _changes(inputs: int, outputs: int) -> bool:
    # Where the stride is 2 the channels double.
    return inputs != outputs


def _layer(inputs: int, outputs: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    from torch import nn

    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs)


def _layer_shapes(
    place: str, number: int, inputs: int, outputs: int, kernel: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{place.format(number)}.weight", (outputs, inputs, kernel, kernel)
    for name in ("weight", "bias", "running_mean", "running_var"):
        yield f"{place.format(number + 1)}.{name}", (outputs,)
