"""MobileNetV2 as written here: its size, its shapes, and that parameter names need no torch."""

import subprocess
import sys

import pytest
import torch

from predictors.models.food11 import LABELS, network, parameter_shapes


@pytest.fixture(scope="module")
def untrained() -> torch.nn.Module:
    # Threads that wait for each other on shared cores cost more than they bring.
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return network().eval()


def test_it_has_the_parameters_of_the_paper_with_eleven_classes(untrained: torch.nn.Module) -> None:
    # 3,504,872 with the paper's 1,000 classes; a class more is 1,281 parameters more.
    assert sum(parameter.numel() for parameter in untrained.parameters()) == 3_504_872 - 989 * 1281


def test_the_declared_shapes_are_those_of_the_network(untrained: torch.nn.Module) -> None:
    state = {
        name: tuple(tensor.shape)
        for name, tensor in untrained.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert parameter_shapes() == state


def test_a_checkpoint_in_float16_is_below_five_megabytes() -> None:
    elements = sum(torch.Size(shape).numel() for shape in parameter_shapes().values())
    assert elements * 2 < 5_000_000


def test_one_image_is_answered_as_in_a_batch(untrained: torch.nn.Module) -> None:
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        together = untrained(images)
        alone = untrained(images[1:2])
    assert together.shape == (3, len(LABELS))
    torch.testing.assert_close(alone, together[1:2], rtol=1e-3, atol=1e-4)


def test_every_stage_has_the_channels_and_the_size_of_the_paper(untrained: torch.nn.Module) -> None:
    sizes: list[tuple[int, int]] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: sizes.append((output.shape[1], output.shape[2])))
        for module in list(untrained.children())[:19]
    ]
    with torch.inference_mode():
        untrained(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    stages = [(32, 112), (16, 112), (24, 56), (32, 28), (64, 14), (96, 14), (160, 7), (320, 7), (1280, 7)]
    repeats = [1, 1, 2, 3, 4, 3, 3, 1, 1]
    assert sizes == [stage for stage, times in zip(stages, repeats, strict=True) for _ in range(times)]


def test_only_training_lets_chance_in(untrained: torch.nn.Module) -> None:
    images = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(untrained(images), untrained(images))
        training = network().train()
        assert not torch.equal(training(images), training(images))


def test_names_and_shapes_are_known_without_torch() -> None:
    script = (
        "import sys\nfrom predictors.models import food11, mnist\n"
        "assert food11.parameter_shapes() and mnist.parameter_shapes()\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
