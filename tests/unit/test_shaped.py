"""Networks of other widths: a checkpoint's shapes make the network that has them."""

import pytest
import torch
from torch import nn

from predictors.errors import SourceError
from predictors.models import food11, mnist
from predictors.models.shaped import fit

PARTS = ("weight", "bias", "running_mean", "running_var")
NARROW = {"0.weight": (8, 1, 3, 3), "0.bias": (8,), "3.weight": (64, 8, 3, 3)}


def test_a_narrow_network_takes_the_same_images_and_gives_the_same_classes() -> None:
    network = fit(mnist.network(), mnist.parameter_shapes() | NARROW).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    held = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert held == mnist.parameter_shapes() | NARROW


def test_depthwise_layers_and_normalizations_follow() -> None:
    shapes = food11.parameter_shapes()
    block = "2.layers"
    thin = {
        f"{block}.0.0.weight": (48, 16, 1, 1),
        f"{block}.1.0.weight": (48, 1, 3, 3),
        f"{block}.2.0.weight": (24, 48, 1, 1),
        **{
            f"{block}.{n}.1.{part}": (48,) for n in (0, 1) for part in ("weight", "bias", "running_mean", "running_var")
        },
    }
    network = fit(food11.network(), shapes | thin).eval()
    depthwise = network.get_submodule(f"{block}.1.0")
    assert isinstance(depthwise, nn.Conv2d)
    assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == 48
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 11)


def test_equal_widths_change_nothing() -> None:
    network = food11.network()
    layers = dict(network.named_modules())
    assert dict(fit(network, food11.parameter_shapes()).named_modules()) == layers


def test_a_layer_that_has_no_width_is_refused() -> None:
    network = nn.Sequential(nn.Conv1d(2, 4, 3))
    with pytest.raises(SourceError, match="Conv1d cannot be narrowed") as caught:
        fit(network, {"0.weight": (2, 2, 3)})
    assert caught.value.hint
