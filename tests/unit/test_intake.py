"""Taking in a model: the good one becomes a folder that can be raced, and twenty broken ones a sentence each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from podium import cli
from predictors import inspection
from predictors.card import CARD, check_data, check_source, load_card
from predictors.errors import CardError, SourceError
from predictors.recipes.pipelines import plan
from tests.broken_models import SEED, Broken, broken_models
from tests.sources import card_text, stripes_data, stripes_graph
from tests.submissions import write_submission

BROKEN = list(broken_models())
HOSTILE = BROKEN[-2:]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a good model, its card and its data."""
    stripes_data(tmp_path / "data", 1)
    return written(tmp_path, stripes_graph().SerializeToString(), card_text())


def written(place: Path, model: bytes, card: str) -> Path:
    (place / "theirs.onnx").write_bytes(model)
    (place / "card.yaml").write_text(card, encoding="utf-8")
    return place


def command(place: Path, *more: str) -> list[str]:
    return ["import", str(place / "theirs.onnx"), "--card", str(place / "card.yaml"), "--to", str(place / "m"), *more]


def test_a_good_model_becomes_a_folder_that_can_be_built(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "own.yaml").write_text("variants: [{steps: [{name: export}, {name: fp16}]}]", encoding="utf-8")
    (place / "card.yaml").write_text(card_text(recipes="own.yaml", onnx="another.onnx"), encoding="utf-8")
    assert cli.run(command(place, "-o", "json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["opset"], found["operators"]) == ("stripes", 20, 5)
    assert found["variants"] == ["stripes-ort-fp16"]
    folder = place / "m"
    assert {path.name for path in folder.iterdir()} == {CARD, "model.onnx", "recipes.yaml"}
    card = load_card(folder)
    assert len(check_source(folder, card)) == 64
    check_data(folder, card)
    assert [item.variant_id for item in plan(card, folder)] == ["stripes-ort-fp16"]
    # Nothing else is left beside it.
    assert {path.name for path in place.iterdir()} == {"theirs.onnx", "card.yaml", "own.yaml", "data", "m"}
    assert cli.run(command(place)) == 3
    assert "is there already" in capsys.readouterr().err


def test_what_was_imported_can_be_raced(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(command(place)) == 0
    changes = (
        ("name: food11", "name: stripes"),
        ("name: pytorch", "name: onnx"),
        ("file://models/food11", "file://m"),
        ("epyc,a100", "local"),
    )
    submission = write_submission(place, *changes)
    capsys.readouterr()
    assert cli.run(["race", "-f", str(submission), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("stripes-ort-fp32", "stripes-ort-int8", "stripes-openvino-int8"))


def test_the_table_says_what_was_found_and_what_comes_next(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(command(place)) == 0
    captured = capsys.readouterr()
    head, row = captured.out.splitlines()
    assert head.split() == ["MODEL", "OPSET", "OPERATORS", "SIZE", "VARIANTS", "FOLDER"]
    assert row.split()[:3] == ["stripes", "20", "5"]
    assert captured.err == f"next: podium build {place / 'm'}\n"


def test_there_are_twenty_broken_models_and_a_seed_gives_the_same_again() -> None:
    assert len(BROKEN) == len({item.name for item in BROKEN}) == 20
    assert [item.model for item in broken_models(SEED)] == [item.model for item in BROKEN]


@pytest.mark.parametrize("broken", BROKEN[:-2], ids=lambda item: item.name.replace(" ", "-"))
def test_a_broken_model_is_refused_with_its_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch, broken: Broken
) -> None:
    """In this process, for which the limits are none; the tier `builds` does it as people do."""
    monkeypatch.setattr(inspection, "_limit", lambda _: None)
    (place / CARD).write_text(broken.card, encoding="utf-8")
    (place / "model.onnx").write_bytes(broken.model)
    with pytest.raises((CardError, SourceError), match=broken.words) as caught:
        inspection.inspect(place)
    assert caught.value.hint


def test_the_good_model_passes_the_same_inspection(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_limit", lambda _: None)
    (place / CARD).write_text(card_text(), encoding="utf-8")
    (place / "theirs.onnx").rename(place / "model.onnx")
    assert inspection.inspect(place)["operators"] == 5


def test_a_refusal_names_the_file_that_was_given_and_leaves_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = next(item for item in BROKEN if item.name == "truncated")
    written(place, broken.model, broken.card)
    assert cli.run(command(place)) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    sentence, hint = captured.err.splitlines()
    assert sentence == f"error: {place / 'theirs.onnx'} is no ONNX file, or it is damaged"
    assert hint.strip().startswith("→")
    assert {path.name for path in place.iterdir()} == {"theirs.onnx", "card.yaml", "data"}


def cost(place: Path, code: int, words: str) -> tuple[float, int]:
    """Run the whole command; return its seconds of processor time and KiB with what it started, by the kernel."""
    with (place / "said").open("w+") as said:
        process = subprocess.Popen([sys.executable, "-m", "podium", *command(place)], stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == code
    assert words in (place / "said").read_text()
    return used.ru_utime + used.ru_stime, used.ru_maxrss


def test_a_hostile_model_costs_little_more_than_a_good_one(place: Path) -> None:
    """The good one is the measure, because what starting Python and the engines costs is the machine's affair."""
    good_s, good_kib = cost(place, 0, "next: podium build")
    shutil.rmtree(place / "m")
    for hostile in HOSTILE:
        assert len(hostile.model) < 400
        written(place, hostile.model, hostile.card)
        hostile_s, hostile_kib = cost(place, 3, hostile.words)
        # The limit is in whole seconds beyond what was used, and one more until the process is killed.
        assert hostile_s < 1.5 * good_s + inspection.SECONDS + 1
        assert hostile_kib < good_kib + ((inspection.MEMORY_MIB + 64) << 10)


def test_the_engine_is_there_before_anything_is_limited(place: Path) -> None:
    """A process of its own, because in this one it is there already."""
    (place / CARD).write_text(card_text(), encoding="utf-8")
    (place / "theirs.onnx").rename(place / "model.onnx")
    lines = (
        "import sys; from pathlib import Path; from predictors import inspection",
        "inspection._limit = lambda _: print('onnxruntime' in sys.modules)",
        "inspection.inspect(Path(sys.argv[1]))",
    )
    words = [sys.executable, "-W", "ignore", "-c", "\n".join(lines), str(place)]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_model_that_takes_long_may_be_heavy_for_the_machine(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = place / "python"
    program.write_text("#!/bin/sh\nkill -XCPU $$\n")
    program.chmod(0o755)
    monkeypatch.setattr("podium.intake.sys.executable", str(program))
    assert cli.run(command(place)) == 3
    assert "it may never end, or it is heavy for this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "No"}, "name: "),
        ({"data": {"loader": "predictors.models.folder_data", "source": "none"}}, "none is missing"),
        ({"recipes": "none.yaml"}, "none.yaml, which is not a file"),
        ({"module": "predictors.models.mnist"}, "give either module"),
    ],
)
def test_a_card_that_does_not_hold_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object], words: str
) -> None:
    (place / "card.yaml").write_text(card_text(**change), encoding="utf-8")
    assert cli.run(command(place)) == 3
    assert words in capsys.readouterr().err
    assert not (place / "m").exists()


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("kill -ABRT $$", 3, "theirs.onnx breaks the library that reads it (signal SIGABRT)"),
        ("exit 7", 4, "The inspection of the model ended with exit code 7"),
        ("exec tail -f /dev/null", 3, "theirs.onnx was not read in 0 s"),
    ],
    ids=["dies", "fails", "waits"],
)
def test_an_inspection_that_ends_badly_is_a_sentence(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    code: int,
    words: str,
) -> None:
    program = place / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("podium.intake.sys.executable", str(program))
    monkeypatch.setattr("podium.intake._LONGEST_S", 0.2 if "tail" in script else 60.0)
    assert cli.run(command(place)) == code
    assert words in capsys.readouterr().err
    assert not (place / "m").exists()


def test_files_that_are_not_there_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "theirs.onnx").unlink()
    assert cli.run(command(place)) == 3
    assert "theirs.onnx is not a file" in capsys.readouterr().err


def test_the_data_of_a_card_are_found_from_the_new_folder(place: Path) -> None:
    deep = place / "a" / "b"
    words = command(place)
    words[words.index("--to") + 1] = str(deep)
    assert cli.run(words) == 0
    source = yaml.safe_load((deep / CARD).read_text(encoding="utf-8"))["data"]["source"]
    assert not Path(source).is_absolute()
    assert (deep / source).resolve() == (place / "data").resolve()
