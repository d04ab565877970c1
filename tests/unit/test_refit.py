"""Refitting: what a layer lost in inputs it makes up for as well as least squares can."""

import copy

import pytest
import torch
from torch import nn

from predictors.models.refit import refit


def pair(outputs: int = 6) -> tuple[nn.Sequential, nn.Sequential, nn.Conv2d]:
    """A network whose second layer reads eight channels, and one whose second layer reads the first six of them.

    The two that are gone are sums of others, so that nothing has to be lost.
    """
    torch.manual_seed(2)
    first, second = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, outputs, 3, padding=1, bias=False)
    left, refitted = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(6, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        first.weight[6] = first.weight[0] + first.weight[1]
        first.weight[7] = 2 * first.weight[2]
        left.weight.copy_(first.weight[:6])
        refitted.weight.copy_(second.weight[:, :6])
    return nn.Sequential(first, second).eval(), nn.Sequential(left, refitted).eval(), refitted


def error(source: nn.Module, other: nn.Module) -> float:
    images = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(9))
    with torch.inference_mode():
        return float((source(images) - other(images)).abs().max())


def test_what_can_be_made_up_for_is() -> None:
    source, pruned, _ = pair()
    before = error(source, pruned)
    assert refit(pruned, source, torch.randn(16, 3, 12, 12)) == ("1",)
    assert before > 0.1
    assert error(source, pruned) < 0.02 * before


def test_a_network_that_lost_nothing_is_left_alone() -> None:
    source, _, _ = pair()
    same = copy.deepcopy(source)
    assert refit(same, source, torch.randn(4, 3, 12, 12)) == ()
    assert error(source, same) == 0


def test_images_that_show_nothing_change_no_weight() -> None:
    source, pruned, layer = pair()
    before = layer.weight.clone()
    refit(pruned, source, torch.zeros(4, 3, 12, 12))
    assert torch.allclose(layer.weight, before, atol=1e-3)


@pytest.mark.parametrize("width", [4, 7])
def test_linear_layers_and_many_rows(width: int) -> None:
    torch.manual_seed(3)
    source, pruned = nn.Linear(8, 5), nn.Linear(width, 5)

    class First(nn.Module):
        def __init__(self, layer: nn.Module, count: int) -> None:
            super().__init__()
            self.layer, self.count = layer, count

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Give the layer the first inputs only."""
            found: torch.Tensor = self.layer(x[:, : self.count])
            return found

    images = torch.randn(90_000, 8)
    whole, part = First(source, 8).eval(), First(pruned, width).eval()
    refit(part, whole, images)
    with torch.inference_mode():
        left = (whole(images) - part(images)).std() / whole(images).std()
    # Inputs that know nothing of each other: what is gone is gone, and no more than that.
    assert float(left) < 0.9
    assert torch.allclose(pruned.weight, source.weight[:, :width], atol=0.05)
