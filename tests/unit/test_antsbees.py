"""ResNet18 as written here, at half and at full width, and the weights that are shipped for it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from predictors.card import load_card
from predictors.imaging import preprocessing
from predictors.models.antsbees import LABELS, network, parameter_shapes
from predictors.models.antsbees_images import label_of, picture
from predictors.models.architecture import build

FOLDER = Path(__file__).parents[2] / "examples" / "models" / "antsbees"


@pytest.fixture(scope="module")
def untrained() -> torch.nn.Module:
    # Threads that wait for each other on shared cores cost more than they bring.
    torch.set_num_threads(1)
    torch.manual_seed(3)
    return network().eval()


# 11,689,512 with the paper's 1,000 classes at full width; a class is 513 parameters.
@pytest.mark.parametrize(("width", "parameters"), [(1.0, 11_689_512 - 998 * 513), (0.5, 2_799_394)])
def test_it_has_the_parameters_of_the_paper_with_two_classes(width: float, parameters: int) -> None:
    shapes = {name: shape for name, shape in parameter_shapes(width).items() if "running" not in name}
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == parameters


@pytest.mark.parametrize("width", [0.125, 0.5, 1.0])
def test_the_declared_shapes_are_those_of_the_network(width: float) -> None:
    state = network(width).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert parameter_shapes(width) == shapes


def test_every_stage_has_the_size_of_the_paper_and_half_its_channels(untrained: torch.nn.Module) -> None:
    sizes: list[tuple[int, int]] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: sizes.append((output.shape[1], output.shape[2])))
        for module in list(untrained.children())[:12]
    ]
    with torch.inference_mode():
        untrained(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    stem = [(32, 112)] * 3 + [(32, 56)]
    assert sizes == stem + [stage for stage in ((32, 56), (64, 28), (128, 14), (256, 7)) for _ in range(2)]


def test_one_image_is_answered_as_in_a_batch(untrained: torch.nn.Module) -> None:
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        together = untrained(images)
        alone = untrained(images[1:2])
    assert together.shape == (3, len(LABELS))
    torch.testing.assert_close(alone, together[1:2], rtol=1e-3, atol=1e-4)


def test_the_shipped_weights_are_small_and_those_of_the_record() -> None:
    weights = (FOLDER / "weights.safetensors").read_bytes()
    assert len(weights) <= 6_000_000
    assert hashlib.sha256(weights).hexdigest() in (FOLDER / "PROVENANCE.md").read_text(encoding="utf-8")


def test_the_shipped_weights_tell_ants_from_bees_and_untrained_ones_do_not(untrained: torch.nn.Module) -> None:
    card = load_card(FOLDER)
    contract = preprocessing(card.preprocessing.name, card.preprocessing.params)
    crops = np.stack([contract(Image.fromarray(picture("test", index))) for index in range(32)])
    trained = build(card.module or "", card.network)
    trained.load_state_dict({key: value.float() for key, value in load_file(FOLDER / str(card.weights)).items()})
    right = []
    for one in (trained.eval(), untrained):
        with torch.inference_mode():
            answers = one(torch.from_numpy(crops)).argmax(1).tolist()
        right.append(sum(answer == label_of(index) for index, answer in enumerate(answers)))
    assert right[0] >= 26
    assert right[1] <= 24
