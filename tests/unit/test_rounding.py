"""Rounded layers: what they compute is what eight bits can hold, what they learn is what rounding costs least."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from predictors.models.rounding import round_layers


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def pair(layer: nn.Module, images: Tensor) -> tuple[nn.Module, nn.Module]:
    source = nn.Sequential(layer).eval()
    rounded = copy.deepcopy(source)
    assert round_layers(rounded, images) == ("0",)
    return source, rounded


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1), (4, 3, 12, 12)),
        (lambda: nn.Conv2d(6, 6, 3, groups=6, bias=False), (4, 6, 12, 12)),
        (lambda: nn.Linear(20, 5), (16, 20)),
    ],
)
def test_a_rounded_layer_is_off_by_little_and_not_by_nothing(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    images = torch.randn(shape)
    source, rounded = pair(make(), images)
    off = (source(images) - rounded(images)).norm() / source(images).norm()
    assert 1e-4 < off < 0.03


def test_weights_take_the_levels_of_their_own_channel() -> None:
    layer = nn.Linear(50, 2, bias=False)
    with torch.no_grad():
        layer.weight[1] *= 100
    _, rounded = pair(layer, torch.eye(50))
    answers = rounded(torch.eye(50)).T
    for row, held in zip(layer.weight, answers, strict=True):
        step = row.abs().max() / 127
        assert torch.allclose(held / step, (held / step).round(), atol=1e-3)
        assert (held - row).abs().max() <= 0.51 * step


def test_an_input_beyond_what_the_images_gave_is_cut_off() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    _, rounded = pair(layer, torch.tensor([[-1.0], [3.0]]))
    assert rounded(torch.tensor([[2.0], [9.0], [-5.0]])).flatten().tolist() == pytest.approx([2, 3, -1], abs=0.02)


def test_a_constant_network_of_zeros_is_not_divided_by_nothing() -> None:
    layer = nn.Linear(4, 2)
    nn.init.zeros_(layer.weight)
    _, rounded = pair(layer, torch.zeros(3, 4))
    assert torch.equal(rounded(torch.zeros(3, 4)), layer.bias.expand(3, 2))


def test_training_with_rounding_lowers_what_rounding_costs() -> None:
    images, held_out = torch.randn(2, 256, 6)
    images[:, 0] = held_out[:, 0] = 0
    source = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 4)).eval().requires_grad_(False)
    # One weight a channel that is far from the others, and of no use, leaves them few levels.
    source.get_parameter("0.weight")[:, 0] = 60
    rounded = copy.deepcopy(source).requires_grad_(True)
    round_layers(rounded, images)

    def cost() -> float:
        with torch.no_grad():
            return float((rounded(held_out) - source(held_out)).norm())

    before = cost()
    for _ in range(60):
        rounded.zero_grad()
        ((rounded(images) - source(images)) ** 2).mean().backward()
        with torch.no_grad():
            for weight in rounded.parameters():
                assert weight.grad is not None
                weight.sub_(weight.grad, alpha=0.1)
    assert 0 < cost() < 0.8 * before


def test_the_checkpoint_is_one_of_the_network_that_it_was() -> None:
    source = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3)).eval()
    rounded = copy.deepcopy(source)
    assert round_layers(rounded, torch.randn(2, 3, 12, 12)) == ("0", "4")
    assert {name: value.shape for name, value in rounded.state_dict().items()} == {
        name: value.shape for name, value in source.state_dict().items()
    }
    source.load_state_dict(rounded.state_dict())
