"""Recipes that train: a checkpoint is made once, says what it is of, and is refused where it is of something else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from predictors.build import Built, build, plan
from predictors.card import load_card
from predictors.errors import BuildError, SourceError
from predictors.manifest import read_variant
from predictors.recipes.trained import train
from predictors.store import Store
from tests.sources import mnist_source, stripes_source


@pytest.fixture(scope="module", params=["prune", "distill"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[str]]:
    """A recipe, a model folder with its checkpoint, and what was said of the training."""
    recipe: str = request.param
    folder = mnist_source(tmp_path_factory.mktemp(recipe), images=40)
    shutil.copytree(folder / "data" / "calibration", folder / "data" / "train")
    said: list[str] = []
    made = train(folder, recipe, subset=None, threads=1, checkpoint=folder / "kept" / "epoch.pt", progress=said.append)
    assert made.path.parent == folder
    assert made.images == 120
    assert 0.1 < made.share < 0.8
    return recipe, folder, said


def variant_of(recipe: str) -> str:
    return {"prune": "mnist-ort-fp32-pruned", "distill": "mnist-ort-fp32-student"}[recipe]


def checkpoint_of(recipe: str) -> str:
    return {"prune": "pruned.safetensors", "distill": "student.safetensors"}[recipe]


def build_one(folder: Path, name: str, store: Path) -> Built:
    card = load_card(folder)
    chosen = next(item for item in plan(card, folder, recipes="trained") if item.variant_id == name)
    return build(card, folder, chosen, Store(store))


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def test_a_training_says_how_much_is_left_and_learns(trained: tuple[str, Path, list[str]]) -> None:
    recipe, folder, said = trained
    assert said[0] == "preparing the training images"
    assert f"{recipe}: " in said[2]
    assert "weights are left" in said[2]
    epochs = [line for line in said if line.startswith("epoch ")]
    losses = [float(line.rsplit(" ", 1)[1]) for line in epochs]
    assert len(losses) == 1 or losses[-1] < losses[0]
    # A network of fixed size learns at that size only.
    assert all(" at 28 px" in line for line in epochs)
    with safe_open(folder / checkpoint_of(recipe), "np") as file:
        facts = file.metadata()
    assert (facts["recipe"], facts["images"]) == (recipe, "120")
    assert "flips=False" in facts["plan"]


def test_the_checkpoint_is_float16_and_smaller(trained: tuple[str, Path, list[str]]) -> None:
    recipe, folder, _ = trained
    tensors = load_file(folder / checkpoint_of(recipe))
    assert all(array.dtype == np.float16 for array in tensors.values())
    assert (folder / checkpoint_of(recipe)).stat().st_size < (folder / "weights.safetensors").stat().st_size


def test_what_is_built_is_dense_and_bears_its_own_name(trained: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    recipe, folder, _ = trained
    name = variant_of(recipe)
    built = build_one(folder, name, tmp_path / "store")
    source = build_one(folder, "mnist-ort-fp32", tmp_path / "store")
    variant = read_variant(built.folder)
    assert "of the source's 584,042 weights are left" in variant.notes[0]
    assert (built.folder / "model.onnx").stat().st_size < 0.8 * (source.folder / "model.onnx").stat().st_size
    assert variant.ops.after == read_variant(source.folder).ops.after


def test_eight_bits_on_top_leave_the_sources_name_alone(trained: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    recipe, folder, _ = trained
    store = tmp_path / "store"
    name = variant_of(recipe).replace("fp32", "int8")
    built = build_one(folder, name, store)
    assert [step.name for step in read_variant(built.folder).recipe] == [recipe, "quantize-static"]
    # What it was made from is in the store under its own id, never under the source's.
    assert {item.id for item in Store(store).list()} == {name, variant_of(recipe)}


def test_another_checkpoint_is_another_build(trained: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    recipe, folder, _ = trained
    folder, name = copied(folder, tmp_path / "model"), variant_of(recipe)
    first = build_one(folder, name, tmp_path / "store")
    assert build_one(folder, name, tmp_path / "store").cached
    path = folder / checkpoint_of(recipe)
    with safe_open(path, "np") as file:
        facts = file.metadata()
    tensors = load_file(path)
    last = list(tensors)[-1]
    save_file(tensors | {last: tensors[last] * np.float16(0.5)}, path, metadata=facts)
    again = build_one(folder, name, tmp_path / "store")
    assert (again.cached, again.address == first.address) == (False, False)


def _gone(folder: Path, path: Path) -> str:
    path.unlink()
    return "needs a trained checkpoint, and .* is missing"


def _damaged(folder: Path, path: Path) -> str:
    path.write_bytes(path.read_bytes()[:100])
    return "is no safetensors file, or it is damaged"


def _of_other_weights(folder: Path, path: Path) -> str:
    weights = load_file(folder / "weights.safetensors")
    save_file({name: array * np.float16(1.5) for name, array in weights.items()}, folder / "weights.safetensors")
    return "was trained from other weights than weights.safetensors"


def _of_other_parameters(folder: Path, path: Path) -> str:
    with safe_open(path, "np") as file:
        facts = file.metadata()
    save_file(load_file(path), path, metadata=facts | {"params": json.dumps({"ratio": 0.9})})
    return r"was trained by .*0\.9"


def _of_another_network(folder: Path, path: Path) -> str:
    with safe_open(path, "np") as file:
        facts = file.metadata()
    save_file({"nothing.weight": np.zeros((2, 2), dtype=np.float16)}, path, metadata=facts)
    return "is no checkpoint of predictors.models.mnist"


@pytest.mark.parametrize("plant", [_gone, _damaged, _of_other_weights, _of_other_parameters, _of_another_network])
def test_a_checkpoint_of_something_else_is_refused_with_the_remedy(
    trained: tuple[str, Path, list[str]],
    tmp_path: Path,
    plant: Callable[[Path, Path], str],
) -> None:
    recipe, folder, _ = trained
    folder = copied(folder, tmp_path / "model")
    build_one(folder, variant_of(recipe), tmp_path / "control")
    words = plant(folder, folder / checkpoint_of(recipe))
    with pytest.raises(BuildError, match=words) as caught:
        build_one(folder, variant_of(recipe), tmp_path / "store")
    assert f"podium train {folder} --recipe {recipe}" in caught.value.hint
    assert not Store(tmp_path / "store").list()


def test_training_for_eight_bits_keeps_the_network_and_changes_its_weights(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path / "mnist", images=40)
    shutil.copytree(folder / "data" / "calibration", folder / "data" / "train")
    said: list[str] = []
    made = train(folder, "qat", subset=None, threads=1, checkpoint=tmp_path / "epoch.pt", progress=said.append)
    assert (made.share, said[2]) == (1, "qat: the same weights")
    before, after = load_file(folder / "weights.safetensors"), load_file(made.path)
    assert {name: array.shape for name, array in after.items()} == {name: a.shape for name, a in before.items()}
    assert any((after[name] != before[name].astype(np.float16)).any() for name in before)
    built = build_one(folder, "mnist-ort-int8-qat", tmp_path / "store")
    variant = read_variant(built.folder)
    assert [step.name for step in variant.recipe] == ["qat", "quantize-static"]
    assert "QuantizeLinear" in variant.ops.after


def test_only_recipes_that_train_and_networks_can_be_trained(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path / "mnist")
    with pytest.raises(SourceError, match="no recipe 'export' that trains") as caught:
        train(folder, "export", subset=None, threads=1, checkpoint=tmp_path / "c.pt")
    assert "prune, distill, qat" in caught.value.hint
    graph = stripes_source(tmp_path / "stripes")
    with pytest.raises(SourceError, match="is an ONNX graph"):
        train(graph, "prune", subset=None, threads=1, checkpoint=tmp_path / "c.pt")


def test_a_checkpoint_lies_beside_the_card(tmp_path: Path) -> None:
    folder = mnist_source(tmp_path)
    steps = [{"name": "prune", "params": {"weights": "../other.safetensors"}}]
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump({"variants": [{"steps": steps}]}), encoding="utf-8")
    with pytest.raises(BuildError, match="must be a path inside the model's folder"):
        plan(load_card(folder), folder, recipes=str(path))
