"""Least squares after pruning: layers that lost inputs learn in one pass to give what they gave before.

A layer is linear in its weights, so the best ones for what is left of its inputs are the solution of a linear system
and need no gradient ("Channel Pruning for Accelerating Very Deep Neural Networks", 2017, section 3.1). Layers are
refitted in the order in which they compute, each with the inputs that those before it give now: it makes up for their
errors as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["refit"]

# Weight of staying what they are, against the images: enough for inputs that hardly vary.
_RIDGE = 1e-3
# Positions of early layers are many and alike; so many rows a weight are plenty.
_ROWS = 40_000


def refit(pruned: nn.Module, source: nn.Module, images: torch.Tensor) -> tuple[str, ...]:
    """Refit every convolution and linear layer that has fewer inputs than in the source; returns their names.

    Args:
        pruned: The network without some channels; changed.
        source: The network that it was; layers have the same names. A layer that lost inputs has kept all outputs.
        images: Inputs of both, float32 [n, channels, height, width].
    """
    import torch

    before, after = dict(source.named_modules()), dict(pruned.named_modules())
    names = tuple(name for name, layer in after.items() if _lost_inputs(layer, before.get(name)))
    wanted: dict[str, torch.Tensor] = {}
    watches = [before[name].register_forward_hook(_keep(name, wanted)) for name in names]
    solving = [after[name].register_forward_pre_hook(_solve(name, wanted)) for name in names]
    try:
        with torch.inference_mode():
            source(images)
        with torch.no_grad():
            pruned(images)
    finally:
        for handle in (*watches, *solving):
            handle.remove()
    return names


def _lost_inputs(layer: Any, source: Any) -> bool:
    from torch import nn

    is_mixing = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    return bool(is_mixing and layer.weight.shape[1] < source.weight.shape[1])


def _keep(name: str, wanted: dict[str, torch.Tensor]) -> Any:
    def hook(_layer: Any, _inputs: Any, output: torch.Tensor) -> None:
        wanted[name] = output

    return hook


def _solve(name: str, wanted: Mapping[str, torch.Tensor]) -> Any:
    def hook(layer: Any, inputs: tuple[torch.Tensor]) -> None:
        import torch

        with torch.no_grad():
            rows, targets = _rows(layer, inputs[0]), _columns(wanted[name])
            if layer.bias is not None:
                targets = targets - layer.bias
            step = -(-len(rows) // _ROWS)
            rows, targets = rows[::step].double(), targets[::step].double()
            now = layer.weight.reshape(len(layer.weight), -1).T.double()
            square = rows.T @ rows
            keep = _RIDGE * square.diagonal().mean().clamp(min=1e-12)
            square.diagonal().add_(keep)
            found = torch.linalg.solve(square, rows.T @ targets + keep * now)
            layer.weight.copy_(found.T.reshape(layer.weight.shape).to(layer.weight.dtype))

    return hook


def _rows(layer: Any, values: torch.Tensor) -> torch.Tensor:
    """Return the layer's inputs as [positions, weights of one output]."""
    import torch
    from torch import nn

    if isinstance(layer, nn.Linear):
        return values.reshape(-1, values.shape[-1])
    patches = torch.nn.functional.unfold(values, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _columns(outputs: torch.Tensor) -> torch.Tensor:
    """Return a layer's outputs as [positions, outputs]."""
    if outputs.ndim == 4:
        return outputs.permute(0, 2, 3, 1).reshape(-1, outputs.shape[1])
    return outputs.reshape(-1, outputs.shape[-1])
