"""The checked-in schemas: what the code says, and what the files that people and programs write must fit."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml

from podium import schema_export
from podium.schema_export import SCHEMAS, differing, main, text_of
from tests import artifacts, races
from tests.unit.test_inventory import record

ROOT = Path(__file__).parents[2]


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((ROOT / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schema_is_valid_checked_in_and_closed(name: str) -> None:
    schema = json.loads((ROOT / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert (ROOT / name).read_text(encoding="utf-8") == text_of(name)


def test_the_check_of_the_gate_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "podium.schema_export", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_drift_is_found_named_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], tmp_path) == 0
    capsys.readouterr()
    assert differing(tmp_path) == ()
    changed, missing, unknown = (
        "podium/schemas/race.json",
        "loadtest/schemas/run.json",
        "podium/schemas/old.json",
    )
    (tmp_path / changed).write_text("{}")
    (tmp_path / missing).unlink()
    (tmp_path / unknown).write_text("{}")
    assert differing(tmp_path) == tuple(sorted((changed, missing, unknown)))
    assert main(["--check"], tmp_path) == 1
    text = capsys.readouterr().err
    assert all(name in text for name in (changed, missing, unknown))
    assert "python -m podium.schema_export" in text
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert not (tmp_path / unknown).exists()


def test_a_field_that_the_code_gains_is_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main([], tmp_path) == 0
    grown: Mapping[str, object] = {**SCHEMAS["podium/schemas/submission.json"](), "maxProperties": 9}
    monkeypatch.setattr(schema_export, "SCHEMAS", {**SCHEMAS, "podium/schemas/submission.json": lambda: grown})
    assert differing(tmp_path) == ("podium/schemas/submission.json",)


def test_other_arguments_are_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chekc"], tmp_path) == 2
    assert "unknown arguments" in capsys.readouterr().err


def test_what_programs_write_fits_its_schema(tmp_path: Path) -> None:
    race = races.race(races.unloaded()).model_dump(mode="json", by_alias=True)
    validator("podium/schemas/race.json").validate(race)
    run = record("02-hold", None).model_dump(mode="json", by_alias=True)
    validator("loadtest/schemas/run.json").validate(run)
    folder = artifacts.vector_artifact(tmp_path / "tiny")
    manifest = yaml.safe_load((folder / "variant.yaml").read_text(encoding="utf-8"))
    validator("predictors/schemas/variant.json").validate(manifest)
    for name, document in (("podium/schemas/race.json", race), ("loadtest/schemas/run.json", run)):
        assert not validator(name).is_valid(document | {"unknown": 1})
