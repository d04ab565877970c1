"""Training from scratch: it learns, it can be interrupted, and it ends with weights that can be shipped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load_file

from predictors.imaging import Preprocessing, preprocessing
from predictors.models import food_images, mnist
from predictors.models.dataset import Dataset
from predictors.models.mnist_data import prepare
from predictors.models.training import (
    Plan,
    Stage,
    Teacher,
    accuracy,
    answers,
    pixels_of,
    save_float16,
    teach,
    train,
)

_MNIST = "predictors.models.mnist"
_FOOD = "predictors.models.food11"
DIGITS = preprocessing("mnist-28")
PLAN = Plan(stages=(Stage(28, 4),), batch=24, peak_rate=2e-3, flips=False, threads=1)

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pixels, Labels]:
    """Real handwritten digits: 384 to learn from."""
    found = prepare("train", tmp_path_factory.mktemp("data")).first(384)
    return pixels_of(found, DIGITS), found.labels


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pixels, Labels]:
    """Digits of the test split."""
    found = prepare("test", tmp_path_factory.mktemp("data")).first(200)
    return pixels_of(found, DIGITS), found.labels


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_small_subset_is_enough_to_read_unseen_digits(
    digits: tuple[Pixels, Labels], unseen: tuple[Pixels, Labels]
) -> None:
    said: list[str] = []
    result = train(_MNIST, *digits, DIGITS, PLAN, progress=said.append)
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert accuracy(result.network, *unseen, DIGITS) > 0.75
    assert [line.split(":")[0] for line in said] == [f"epoch {number}/4 at 28 px" for number in range(1, 5)]


def test_an_untrained_network_only_guesses(unseen: tuple[Pixels, Labels]) -> None:
    torch.manual_seed(0)
    assert accuracy(mnist.network(), *unseen, DIGITS) < 0.3


def test_shuffled_labels_cannot_be_learned(digits: tuple[Pixels, Labels], unseen: tuple[Pixels, Labels]) -> None:
    pixels, labels = digits
    shuffled = np.random.default_rng(4).permutation(labels)
    result = train(_MNIST, pixels, shuffled, DIGITS, replace(PLAN, stages=(Stage(28, 2),)))
    assert accuracy(result.network, *unseen, DIGITS) < 0.35


def test_the_food_network_learns_at_growing_resolutions() -> None:
    pixels = np.stack([food_images.picture("train", index) for index in range(66)])
    labels = np.array([food_images.label_of(index) for index in range(66)], dtype=np.int64)
    said: list[str] = []
    plan = Plan(stages=(Stage(32, 4), Stage(48, 1)), batch=22, peak_rate=2e-3, threads=1)
    result = train(_FOOD, pixels, labels, preprocessing("imagenet-center-crop"), plan, progress=said.append)
    assert result.losses[3] < result.losses[0]
    assert [line.split(":")[0][-5:] for line in said] == ["32 px"] * 4 + ["48 px"]
    assert not result.network.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(digits: tuple[Pixels, Labels]) -> None:
    plan = replace(PLAN, stages=(Stage(28, 1),))
    pixels, labels = digits[0][:128], digits[1][:128]
    first, again = (weights(train(_MNIST, pixels, labels, DIGITS, plan).network) for _ in range(2))
    other = weights(train(_MNIST, pixels, labels, DIGITS, replace(plan, seed=1)).network)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_an_interrupted_training_ends_as_an_undisturbed_one(digits: tuple[Pixels, Labels], tmp_path: Path) -> None:
    plan = replace(PLAN, stages=(Stage(28, 2), Stage(28, 1)))
    pixels, labels = digits[0][:128], digits[1][:128]
    undisturbed = train(_MNIST, pixels, labels, DIGITS, plan)

    def interrupt(text: str) -> None:
        if text.startswith("epoch 2/"):
            raise KeyboardInterrupt

    kept = tmp_path / "kept" / "mnist.pt"
    with pytest.raises(KeyboardInterrupt):
        train(_MNIST, pixels, labels, DIGITS, plan, checkpoint=kept, progress=interrupt)
    said: list[str] = []
    resumed = train(_MNIST, pixels, labels, DIGITS, plan, checkpoint=kept, progress=said.append)
    assert [line[:9] for line in said] == ["epoch 3/3"]
    assert resumed.losses == pytest.approx(undisturbed.losses)
    ended, expected = weights(resumed.network), weights(undisturbed.network)
    assert all(torch.allclose(ended[name], expected[name], atol=1e-6) for name in expected)
    assert [path.name for path in kept.parent.iterdir()] == ["mnist.pt"]


Change = Callable[[Pixels, Labels], tuple[Pixels, Labels, Preprocessing, Plan]]
ONE_EPOCH = replace(PLAN, stages=(Stage(28, 1),))
CHANGES: dict[str, Change] = {
    "plan": lambda pixels, labels: (pixels, labels, DIGITS, replace(ONE_EPOCH, seed=9)),
    "images": lambda pixels, labels: (255 - pixels, labels, DIGITS, ONE_EPOCH),
    "subset": lambda pixels, labels: (pixels[:48], labels[:48], DIGITS, ONE_EPOCH),
    "labels": lambda pixels, labels: (pixels, labels[::-1], DIGITS, ONE_EPOCH),
    "preprocessing": lambda pixels, labels: (pixels, labels, preprocessing("mnist-28", {"mean": [0.5]}), ONE_EPOCH),
}


@pytest.mark.parametrize("change", [*CHANGES, "none", "damage"])
def test_only_a_checkpoint_of_the_same_training_is_continued(
    digits: tuple[Pixels, Labels], tmp_path: Path, change: str
) -> None:
    pixels, labels = digits[0][:64], digits[1][:64]
    kept = tmp_path / "mnist.pt"
    train(_MNIST, pixels, labels, DIGITS, ONE_EPOCH, checkpoint=kept)
    if change == "damage":
        kept.write_bytes(kept.read_bytes()[:1000])
    other = CHANGES[change](pixels, labels) if change in CHANGES else (pixels, labels, DIGITS, ONE_EPOCH)
    said: list[str] = []
    train(_MNIST, *other, checkpoint=kept, progress=said.append)
    began = [f"starting anew: {kept} is of another training, or damaged", "epoch 1/1 at 28 px"]
    assert [line.split(": loss")[0] for line in said] == ([] if change == "none" else began)


def test_shipped_weights_are_half_as_large_and_answer_nearly_the_same(
    digits: tuple[Pixels, Labels], tmp_path: Path
) -> None:
    torch.manual_seed(2)
    network = mnist.network()
    path = tmp_path / "folder" / "weights.safetensors"
    save_float16(network, path, {"family": "mnist"})
    stored = load_file(path)
    assert {name: tensor.shape for name, tensor in stored.items()} == mnist.parameter_shapes()
    assert all(tensor.dtype == np.float16 for tensor in stored.values())
    assert path.stat().st_size < 2.02 * 584_042
    upcast = mnist.network()
    upcast.load_state_dict({name: torch.from_numpy(tensor.astype(np.float32)) for name, tensor in stored.items()})
    images = torch.from_numpy(DIGITS.normalize(digits[0][:16]))
    with torch.inference_mode():
        torch.testing.assert_close(upcast(images), network(images), rtol=0.01, atol=0.01)


def test_weights_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"the former ones")

    def cut(tensors: object, place: Path, metadata: object) -> None:
        place.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", cut)
    with pytest.raises(KeyboardInterrupt):
        save_float16(mnist.network(), path, {})
    assert path.read_bytes() == b"the former ones"


def test_files_become_the_pixels_that_serving_sees(tmp_path: Path) -> None:
    files = []
    for index in range(3):
        path = tmp_path / f"{index}.jpg"
        path.write_bytes(food_images.jpeg("test", index))
        files.append(path)
    food = preprocessing("imagenet-center-crop")
    pixels = pixels_of(Dataset(tmp_path, tuple(files), np.arange(3)), food)
    assert pixels.shape == (3, 224, 224, 3)
    for row, path in zip(pixels, files, strict=True):
        np.testing.assert_array_equal(food.normalize(row), food.decode(path.read_bytes()))


def test_a_teacher_is_followed_against_wrong_labels(
    digits: tuple[Pixels, Labels], unseen: tuple[Pixels, Labels]
) -> None:
    """The control learns the shuffled labels instead, and knows no digit."""
    pixels, labels = digits
    known = train(_MNIST, pixels, labels, DIGITS, PLAN).network
    shuffled = np.random.default_rng(4).permutation(labels)
    plan = replace(PLAN, stages=(Stage(28, 3),))
    found = {}
    for share in (1.0, 0.0):
        torch.manual_seed(1)
        lesson = Teacher(answers(known, pixels, DIGITS), share=share)
        learned = teach(mnist.network(), lesson, pixels, shuffled, DIGITS, plan)
        found[share] = accuracy(learned.network, *unseen, DIGITS)
    assert found[1.0] > 0.6
    assert found[0.0] < 0.35


def test_a_lesson_is_continued_only_if_it_is_the_same(digits: tuple[Pixels, Labels], tmp_path: Path) -> None:
    pixels, labels = digits
    kept, plan = tmp_path / "kept.pt", replace(PLAN, stages=(Stage(28, 1),))
    lesson = Teacher(np.zeros((len(pixels), 10), dtype=np.float32))

    def lines(teacher: Teacher, seed: int = 1) -> list[str]:
        said: list[str] = []
        torch.manual_seed(seed)
        teach(mnist.network(), teacher, pixels, labels, DIGITS, plan, checkpoint=kept, progress=said.append)
        return said

    assert len(lines(lesson)) == 1
    assert not lines(lesson)
    for other in (replace(lesson, share=0.5), Teacher(lesson.logits + 1)):
        assert "starting anew" in lines(other)[0]
    assert "starting anew" in lines(Teacher(lesson.logits + 1), seed=2)[0]
