"""Quantization on the shipped food11 weights: the shipped recipe keeps the accuracy, a careless one visibly loses it.

A gate that lets everything through would pass the first half. So the negative control is the mistake that people make:
one scale for a whole weight tensor, and ranges from a single calibration image.
"""

import shutil
from pathlib import Path

import pytest
import yaml

from predictors.build import build, plan
from predictors.card import load_card
from predictors.evaluate import Predictions, evaluate
from predictors.models import food_images
from predictors.models.food11 import LABELS
from predictors.quality import compare
from predictors.store import Store

SOURCE = Path(__file__).parents[2] / "examples" / "models" / "food11"
COUNTS = {"calibration": 55, "test": 330}
CARELESS = {"name": "quantize-static", "params": {"perChannel": False}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model with a part of its images as a person's own data."""
    folder = tmp_path_factory.mktemp("food11")
    shutil.copy(SOURCE / "weights.safetensors", folder)
    for split, count in COUNTS.items():
        for index in range(count):
            place = folder / "data" / split / str(food_images.label_of(index))
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{index:04d}.jpg").write_bytes(food_images.jpeg(split, index))
    return folder


def answers(folder: Path, store: Store, variant: str, *, step: object = None, images: int | None = None) -> Predictions:
    """Build one variant, by the shipped list or with one other last step, and predict the test images."""
    card = yaml.safe_load((SOURCE / "model.yaml").read_text(encoding="utf-8"))
    card["data"] = {"loader": "predictors.models.folder_data", "source": "data", "calibration": images}
    if step is not None:
        listed = {"variants": [{"change": "careless", "steps": [{"name": "export"}, step]}]}
        (folder / "list.yaml").write_text(yaml.safe_dump(listed), encoding="utf-8")
        card["recipes"] = "list.yaml"
    (folder / "model.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    read = load_card(folder)
    (wanted,) = plan(read, folder, [variant])
    return evaluate(build(read, folder, wanted, store).folder, read, folder, threads=2)


@pytest.mark.timeout(300)
def test_the_shipped_recipe_keeps_what_a_careless_one_loses(folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    source = answers(folder, store, "ort-fp32")
    shipped = answers(folder, store, "ort-int8")
    careless = answers(folder, store, "ort-int8-careless", step=CARELESS, images=1)
    kept = compare(source.labels, shipped.predicted, source.predicted, LABELS)
    lost = compare(source.labels, careless.predicted, source.predicted, LABELS)
    assert kept.n == COUNTS["test"]
    assert kept.source_value > 0.9
    assert kept.source_value - kept.value <= 0.01
    assert lost.source_value - lost.value >= 0.03
    assert lost.p_value < 0.01
