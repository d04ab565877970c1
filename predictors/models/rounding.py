"""Training that feels eight bits: weights and inputs are rounded on the way forward, and not on the way back.

Rounding has no slope, so the gradient passes it as if it were not there, and not at all where a value is cut off
("Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, section 3). The
scheme is the one that static quantization uses afterwards: weights symmetric with a scale an output channel, inputs
asymmetric with a scale a tensor. A scale a channel absorbs what batch normalization multiplies it with, so the weights
need not be folded for it.
"""

import torch
from torch import Tensor, nn

__all__ = ["round_layers"]

_LEVELS = 255
_LARGEST = 127
# The scale of a tensor that is always zero.
_LEAST = 1e-8


class _RoundedConvolution(nn.Conv2d):
    inputs: tuple[float, int]

    def _conv_forward(self, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        made: Tensor = super()._conv_forward(_rounded(values, *self.inputs), _rounded_channels(weight), bias)
        return made


class _RoundedLinear(nn.Linear):
    inputs: tuple[float, int]

    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.linear(_rounded(values, *self.inputs), _rounded_channels(self.weight), self.bias)


_ROUNDED: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: _RoundedConvolution, nn.Linear: _RoundedLinear}


def round_layers(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Let every convolution and linear layer compute with rounded weights and inputs; returns their names.

    The ranges of the inputs are those that `images` give, and stay: a training that is continued has the same. Names
    and shapes of the parameters stay too, so that what is trained is a checkpoint of the network that it was.

    Args:
        network: A trained network; changed.
        images: Some of its inputs, float32 [n, channels, height, width].
    """
    layers = {name: layer for name, layer in network.named_modules() if type(layer) in _ROUNDED}
    ranges: dict[str, tuple[float, float]] = {}

    def note(name: str, values: Tensor) -> None:
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))

    watches = [
        layer.register_forward_pre_hook(lambda _, values, name=name: note(name, values[0]))
        for name, layer in layers.items()
    ]
    try:
        with torch.inference_mode():
            network.eval()(images)
    finally:
        for watch in watches:
            watch.remove()
    for name, (low, high) in ranges.items():
        layer = layers[name]
        layer.__class__ = _ROUNDED[type(layer)]
        scale = max((high - low) / _LEVELS, _LEAST)
        layer.inputs = (scale, round(-low / scale))
    return tuple(ranges)


def _rounded(values: Tensor, scale: float, zero: int) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, _LEVELS)


def _rounded_channels(weight: Tensor) -> Tensor:
    scales = weight.detach().abs().flatten(1).amax(1).clamp(min=_LEAST) / _LARGEST
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -_LARGEST, _LARGEST)
