"""Secrets planted around a race: in its environment and in the variables of its submission; nothing of it has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.race.racing import RACE_S, Place, Workshop
from tests.planted import hits, plant

pytestmark = pytest.mark.timeout(RACE_S)
_MODEL = "      modelFormat: {name: onnx}\n"


def secretive(place: Place, folder: Path, line: str) -> Place:
    """Return the place with one more line in its submission, beside the former one."""
    text = place.submission.read_text(encoding="utf-8")
    assert text.count(_MODEL) == 1
    path = place.submission.with_name("secretive.yaml")
    path.write_text(text.replace(_MODEL, f"{_MODEL}{line}\n"), encoding="utf-8")
    return Place(path, folder / "runs", place.store, place.data)


@pytest.mark.row("S19", "a secret in a race's environment and its submission's variables: in nothing that it leaves")
@pytest.mark.control("S19")
def test_nothing_that_a_race_leaves_has_a_secret_of_its_environment_or_its_variables(
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    mark, environment = plant()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    whole = workshop.place(tmp_path, variants="ort-fp32")
    place = secretive(whole, tmp_path, f"      env: [{{name: HF_TOKEN, value: {mark}}}]")
    ended = place.run(place.race_words("-o", "json"))
    assert ended.code in {0, 5, 6}, ended.err
    # The search looks at what there is: records, histograms, logs, the race and its report.
    found = {path.name for path in place.folder.rglob("*") if path.is_file()}
    assert found >= {"race.json", "report.html", "server.log", "build.log"}
    assert len(list(place.folder.glob("*/*/*.hdr"))) >= 2
    assert hits(mark, place.runs, place.store, ended.out, ended.err) == []
    record_property("S19", f"0 hits in {len(found)} kinds of files, the store and what was printed")
    kept = json.loads((place.folder / "race.json").read_text())["submission"]["text"]
    assert "HF_TOKEN" in kept
    again = place.run(place.words("report", "latest"))
    shown = place.run(place.words("describe", "race", "latest"))
    assert hits(mark, place.runs, again.out, again.err, shown.out, shown.err) == []

    # The control: the same text where it is no value of a variable is kept, and found in what is passed on.
    control = secretive(whole, tmp_path / "control", f"      # {mark}")
    ended = control.run(control.race_words("-o", "json"))
    assert ended.code in {0, 5, 6}, ended.err
    names = {Path(path).name for path in hits(mark, control.runs)}
    assert names >= {"race.json", "report.html"}
    assert hits(mark, ended.out) == ["text 0"]
