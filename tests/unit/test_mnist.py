"""The digit network: exactly the size that its reference names, with a batch of any length."""

import pytest
import torch

from predictors.models.mnist import LABELS, network, parameter_shapes


@pytest.fixture(scope="module")
def untrained() -> torch.nn.Module:
    # Threads that wait for each other on shared cores cost more than they bring.
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return network().eval()


def test_it_has_584042_parameters(untrained: torch.nn.Module) -> None:
    assert sum(parameter.numel() for parameter in untrained.parameters()) == 584_042


def test_the_declared_shapes_are_those_of_the_network(untrained: torch.nn.Module) -> None:
    assert parameter_shapes() == {name: tuple(tensor.shape) for name, tensor in untrained.state_dict().items()}


def test_an_image_takes_7057152_multiplications() -> None:
    # A 3 x 3 convolution with padding visits every place of its input; the places halve after each.
    places = iter((28 * 28, 14 * 14, 7 * 7))
    total = 0
    for shape in parameter_shapes().values():
        if len(shape) == 4:
            total += torch.Size(shape).numel() * next(places)
        elif len(shape) == 2:
            total += torch.Size(shape).numel()
    assert total == 7_057_152


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_batch_may_be_of_any_length(untrained: torch.nn.Module, count: int) -> None:
    images = torch.rand(count, 1, 28, 28)
    with torch.inference_mode():
        answers = untrained(images)
        last = untrained(images[-1:])
    assert answers.shape == (count, len(LABELS))
    torch.testing.assert_close(last, answers[-1:], rtol=1e-4, atol=1e-5)
