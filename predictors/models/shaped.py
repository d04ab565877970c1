"""A family's network with other widths: those that a checkpoint has.

A pruned network and a narrow student have the layers of their source and fewer channels in them. Their checkpoint's
shapes say all of it, so that no architecture has to be written down a second time and no module is unpickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from predictors.errors import SourceError
from predictors.models.architecture import Shapes

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fit"]

_T = TypeVar("_T", bound="nn.Module")


def fit(network: _T, shapes: Shapes) -> _T:
    """Give every convolution, batch normalization and linear layer the widths of `shapes`; changes and returns it.

    What is replaced has new random weights.

    Raises:
        SourceError: A layer of another kind would have to change.
    """
    for name, layer in list(network.named_modules()):
        wanted = shapes.get(f"{name}.weight")
        held = getattr(layer, "weight", None)
        if wanted is None or held is None or tuple(held.shape) == wanted:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, _like(name, layer, wanted))
    return network


def _like(name: str, layer: nn.Module, weight: tuple[int, ...]) -> nn.Module:
    from torch import nn

    if isinstance(layer, nn.Conv2d) and len(weight) == 4:
        is_depthwise = layer.groups > 1 and layer.groups == layer.in_channels
        groups = weight[0] if is_depthwise else layer.groups
        return nn.Conv2d(
            weight[1] * groups,
            weight[0],
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            groups,
            bias=layer.bias is not None,
        )
    if isinstance(layer, nn.BatchNorm2d) and len(weight) == 1:
        return nn.BatchNorm2d(weight[0], layer.eps, layer.momentum)
    if isinstance(layer, nn.Linear) and len(weight) == 2:
        return nn.Linear(weight[1], weight[0], bias=layer.bias is not None)
    raise SourceError(
        f"{name} is {list(weight)} in the checkpoint, and a {type(layer).__name__} cannot be narrowed",
        "train the checkpoint again from this network",
    )
