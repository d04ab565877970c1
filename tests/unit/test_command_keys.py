"""`podium keys new`: the line for whoever reads, the key for one person alone."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.cli import run
from predictors.server.keys import read_keys

pytestmark = pytest.mark.unit


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_line_is_printed_and_the_key_goes_to_its_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--key-file", "vision.key", "--rate", "50/s", "--in-flight", "8", "--not-after", "2027-06-30T00:00:00Z"]
    assert run(["keys", "new", "vision", *words]) == 0
    printed = capsys.readouterr()
    key = Path("vision.key").read_text().strip()
    found = read_keys(printed.out.encode()).find(key)
    assert found is not None
    assert (found.tenant, found.not_after) == ("vision", 1814313600.0)
    assert printed.out.split()[2:] == ["rate=50/s", "in-flight=8", "not-after=2027-06-30T00:00:00Z"]
    assert key not in printed.out + printed.err


def test_without_a_terminal_a_key_is_not_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "new", "vision"]) == 2
    printed = capsys.readouterr()
    assert "podium_" not in printed.out + printed.err
    assert "--key-file" in printed.err


def test_on_a_terminal_it_is_shown_once_and_never_as_data(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run(["keys", "new", "vision"]) == 0
    printed = capsys.readouterr()
    (key,) = (word for word in printed.err.split() if word.startswith("podium_"))
    assert read_keys(printed.out.encode()).find(key) is not None
    assert key not in printed.out


def test_keys_are_added_to_a_file_and_make_a_secret(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        assert run(["keys", "new", "vision", "--key-file", f"{number}.key", "-f", "keys"]) == 0
    lines = Path("keys").read_text()
    assert capsys.readouterr().out == lines
    ring = read_keys(lines.encode())
    assert all(ring.find(Path(f"{number}.key").read_text().strip()) for number in (1, 2))
    words = ["--key-file", "3.key", "-f", "keys", "--secret", "food11-keys", "-o", "yaml"]
    assert run(["keys", "new", "kitchen", *words]) == 0
    made: Any = yaml.safe_load(capsys.readouterr().out)
    assert (made["kind"], made["metadata"]) == ("Secret", {"name": "food11-keys"})
    assert made["stringData"] == {"keys": Path("keys").read_text()}
    assert list(read_keys(made["stringData"]["keys"].encode()).tenants) == ["vision", "kitchen"]
    assert run(["keys", "new", "kitchen", "--key-file", "4.key", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["line"].startswith("kitchen sha256:")
    assert told["key_file"] == "4.key"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["Vision"], 3),
        (["vision", "--rate", "50"], 3),
        (["vision", "--not-after", "soon"], 3),
        (["vision", "--in-flight", "0"], 2),
        (["vision", "-f", "broken"], 3),
        (["vision", "-f", "other", "--rate", "2/s"], 3),
    ],
)
def test_what_is_refused_leaves_nothing(
    place: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken").write_text("vision\n")
    Path("other").write_text(f"vision sha256:{'0f' * 32} rate=1/s\n")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    assert run(["keys", "new", *words, "--key-file", "a.key"]) == code
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert capsys.readouterr().out == ""


def test_a_key_file_is_not_written_over_and_no_line_is_left(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.key").write_text("mine")
    assert run(["keys", "new", "vision", "--key-file", "a.key", "-f", "keys"]) == 2
    assert Path("a.key").read_text() == "mine"
    assert not Path("keys").exists()
    assert capsys.readouterr().out == ""
