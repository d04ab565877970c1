"""The variants of a store with their figures, and what may be taken out of it."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from podium import cli
from podium.catalog import list_variants, not_understood, prunable, prune
from predictors.manifest import address_of
from predictors.measured import write_measured
from predictors.store import Store
from tests import artifacts

POINTS = [
    {"threads": 1, "batch": 1, "p50_ms": 3.0, "low": 2.9, "high": 3.1, "items_per_second": 333.0},
    {"threads": 2, "batch": 1, "p50_ms": 2.0, "low": 1.9, "high": 2.5, "items_per_second": 500.0},
    {"threads": 2, "batch": 32, "p50_ms": 40.0, "low": 32.0, "high": 64.0, "items_per_second": 800.0},
]
QUALITY = {"metric": "accuracy", "value": 0.9, "low": 0.85, "high": 0.93, "n": 200, "source_value": 0.91}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with three artifacts of one id; the newest is the one put last."""
    store = Store(tmp_path / "store")
    for work in (0, 2, 3):
        stored = store.put(artifacts.vector_artifact(tmp_path / f"staged-{work}", work=work), None)
        os.utime(stored.folder / "variant.yaml", (1000 + work, 1000 + work))
    return store


def get(store: Store, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.run([*words, "--store", str(store.root)]) == 0
    return capsys.readouterr().out


def test_figures_come_with_their_intervals_and_their_machine(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    newest, *others = store.folders()
    write_measured(newest, "4be0643f1d98", quality=QUALITY, engine=POINTS)
    first, *rest = json.loads(get(store, capsys, "get", "variants", "-o", "json"))["variants"]
    assert (first["id"], first["address"]) == ("tiny-ort-fp32", newest.name)
    assert 0 < first["model_bytes"] < first["size_bytes"]
    assert first["model_bytes"] == (newest / "model.onnx").stat().st_size
    assert (first["quality"]["value"], first["quality"]["fingerprint"]) == (0.9, "4be0643f1d98")
    assert first["latency"] == {
        "batch": 1,
        "threads": 2,
        "p50_ms": 2.0,
        "low": 1.9,
        "high": 2.5,
        "fingerprint": "4be0643f1d98",
    }
    assert first["throughput"] == {
        "batch": 32,
        "threads": 2,
        "items_per_second": 800.0,
        "low": 500.0,
        "high": 1000.0,
        "fingerprint": "4be0643f1d98",
    }
    assert [item["address"] for item in rest] == [folder.name for folder in others]
    assert all(item["quality"] is item["latency"] is item["throughput"] is None for item in rest)
    _, row, bare = get(store, capsys, "get", "variants").splitlines()[:3]
    assert [*row.split()][-4:-1] == ["0.9000", "2", "800"]
    assert len(bare.split()) < len(row.split())


def test_the_newest_figures_count_and_damaged_ones_do_not(store: Store) -> None:
    folder = store.folders()[0]
    for number, mark in enumerate(("aaa", "bbb", "ccc")):
        value = {**QUALITY, "value": 0.86 + number / 100}
        write_measured(folder, mark, quality=value, engine=POINTS[1:2] if mark == "aaa" else POINTS[2:])
        os.utime(folder / "measured" / f"{mark}.json", (1000 + number, 1000 + number))
    (folder / "measured" / "ccc.json").write_text("{", encoding="utf-8")
    item = list_variants(store).items[0]
    assert isinstance(item["quality"], dict)
    assert (item["quality"]["value"], item["quality"]["fingerprint"]) == (0.87, "bbb")
    # The newest engine figures are of a large batch only, which is no latency of one image.
    assert item["latency"] is None


def test_superseded_damaged_and_abandoned_things_may_go_and_nothing_else(store: Store) -> None:
    _, middle, oldest = store.folders()
    assert [(item.folder, item.reason) for item in prunable(store)] == [
        (middle, "superseded"),
        (oldest, "superseded"),
    ]
    assert [item.folder for item in prunable(store, keep=2)] == [oldest]
    assert not prunable(store, keep=3)
    (oldest / "variant.yaml").write_text("{", encoding="utf-8")
    running, dead = store.staging(), store.root / ".staging" / "dead"
    dead.mkdir()
    (dead / "half").write_text("x")
    assert [(item.folder, item.reason) for item in prunable(store, keep=3)] == [
        (oldest, "damaged"),
        (dead, "abandoned"),
    ]
    assert running.is_dir()


def test_pruning_shows_asks_and_then_deletes(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, *others = store.folders()
    listed = json.loads(get(store, capsys, "prune", "--dry-run", "-o", "json"))["prunable"]
    assert [item["address"] for item in listed] == [folder.name for folder in others]
    assert len(store.folders()) == 3
    # Nobody answers.
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.run(["prune", "--store", str(store.root)]) == 130
    assert len(store.folders()) == 3
    capsys.readouterr()
    assert cli.run(["prune", "--yes", "--store", str(store.root)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == ["NAME", "tiny-ort-fp32", "tiny-ort-fp32"]
    assert "freed " in captured.err
    assert store.folders() == [newest]
    assert not any((store.root / ".staging").iterdir())
    assert cli.run(["prune", "--yes", "--store", str(store.root)]) == 0
    assert capsys.readouterr().err == "nothing to prune\n"


def cut(folder: Path) -> None:
    text = (folder / "variant.yaml").read_text(encoding="utf-8")
    (folder / "variant.yaml").write_text(text[: text.index("golden:")], encoding="utf-8")


def no_yaml(folder: Path) -> None:
    (folder / "variant.yaml").write_text("id: [", encoding="utf-8")


def no_text(folder: Path) -> None:
    (folder / "variant.yaml").write_bytes(b"\xff\xfe\x00")


def link(folder: Path) -> None:
    no_yaml(folder)
    (folder / "more").symlink_to("model.onnx")


@pytest.mark.parametrize("damage", [cut, no_yaml, no_text, link])
def test_a_manifest_that_is_no_longer_what_was_put_is_damaged(store: Store, damage: Callable[[Path], None]) -> None:
    folder = store.folders()[0]
    damage(folder)
    assert (folder, "damaged") in [(item.folder, item.reason) for item in prunable(store, keep=3)]
    assert not not_understood(store)


def new_key(text: str) -> str:
    return text + "sparsity: 0.5\n"


def new_schema(text: str) -> str:
    return text.replace("podium.dev/variant/v1", "podium.dev/variant/v2")


def new_type(text: str) -> str:
    return text.replace("dtype: float32", "dtype: bfloat16")


@pytest.mark.parametrize("change", [new_key, new_schema, new_type])
def test_what_a_newer_release_wrote_is_listed_and_kept(
    store: Store, capsys: pytest.CaptureFixture[str], change: Callable[[str], str]
) -> None:
    """Filed under its own address, as that release does."""
    manifest = store.folders()[0] / "variant.yaml"
    changed = change(manifest.read_text(encoding="utf-8"))
    assert changed != manifest.read_text(encoding="utf-8")
    manifest.write_text(changed, encoding="utf-8")
    folder = manifest.parent.rename(manifest.parent.with_name(address_of(manifest.parent)))
    assert get(store, capsys, "prune", "--yes", "--keep", "2").splitlines()[1].endswith("not understood, kept")
    document = json.loads(get(store, capsys, "prune", "--yes", "-o", "json"))
    assert [item["address"] for item in document["kept"]] == [folder.name]
    assert "variant.yaml" in document["kept"][0]["problem"]
    assert folder.name not in [item["address"] for item in document["pruned"]]
    assert folder.is_dir()


def test_what_cannot_be_read_now_is_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The superuser may read everything: what a file system refuses is planted.
    newest = store.folders()[0]
    read_text = Path.read_text

    def refuse(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        if self == newest / "variant.yaml":
            raise PermissionError(13, "Permission denied")
        return read_text(self, encoding, errors)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert cli.run(["prune", "--yes", "--keep", "2", "--store", str(store.root)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].endswith("not understood, kept")
    assert "Permission denied" in captured.err
    assert "nothing to prune" in captured.err
    assert len(store.folders()) == 3


def test_what_goes_meanwhile_is_pruned_too(store: Store) -> None:
    newest, *others = store.folders()
    dead = store.root / ".staging" / "dead"
    dead.mkdir(parents=True)
    items = prunable(store)
    assert len(items) == 3
    for folder in (others[0], dead):
        shutil.rmtree(folder)
    prune(store, items)
    assert store.folders() == [newest]
    assert not any((store.root / ".staging").iterdir())
