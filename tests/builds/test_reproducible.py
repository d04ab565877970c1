"""Two builds of a variant are the same bytes: in two processes that hash and stage differently.

On the mnist network with random weights, for every recipe of the full list. The control builds with one parameter
changed, so that a comparison that always agrees would be seen.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from predictors.card import load_card
from predictors.recipes.pipelines import plan
from tests.sources import mnist_source

# What is built, and under which key, by a process of its own; a card's recipe list says what.
BUILDS = """
import json, sys
from pathlib import Path
from predictors.build import build, plan
from predictors.card import load_card
from predictors.store import Store
folder, store, recipes = Path(sys.argv[1]), Store(Path(sys.argv[2])), sys.argv[3]
card = load_card(folder)
built = {item.variant_id: build(card, folder, item, store) for item in plan(card, folder, recipes=recipes)}
keys = {path.read_text().strip(): path.name for path in (store.root / card.name / "builds").iterdir()}
print(json.dumps({name: [keys[item.address], item.address] for name, item in built.items()}))
"""


def built(source: Path, store: Path, recipes: str, *, seed: int) -> dict[str, list[str]]:
    """Build a list in a process of its own and return key and address of each variant."""
    staged = store.with_suffix(".tmp")
    staged.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILDS, str(source), str(store), recipes],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "TMPDIR": str(staged), "PODIUM_DATA": str(staged / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(300)
def test_every_recipe_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    source = mnist_source(tmp_path / "model", images=4)
    first = built(source, tmp_path / "a", "full", seed=1)
    second = built(source, tmp_path / "elsewhere", "full", seed=2)
    assert list(first) == [item.variant_id for item in plan(load_card(source), source, recipes="full")]
    assert second == first
    assert len({address for _, address in first.values()}) == len(first)
    other = tmp_path / "other.yaml"
    steps = [{"name": "export"}, {"name": "quantize-static", "params": {"activations": "int8"}}]
    other.write_text(yaml.safe_dump({"variants": [{"steps": steps}]}), encoding="utf-8")
    changed = built(source, tmp_path / "c", str(other), seed=1)
    assert set(changed["mnist-ort-int8"]).isdisjoint(first["mnist-ort-int8"])
