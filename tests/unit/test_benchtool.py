"""Which generator a bench takes: what vegeta cannot play is one sentence with phase and remedy, before any load."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.benchplan import BenchPlan, plan_bench
from podium.cli import run
from podium.errors import UsageError
from tests.loads import payloads

# Nobody listens there: whatever is refused below is refused without asking.
URL = "http://127.0.0.1:9"
TEXT = "name: own\nlevel: quick\ntimeout: 1s\nbudget: 1m\nconfidence: 0.95\n"
HOLD = "{kind: hold, arrivals: constant, blocks: 2, block: 1s}"
SEARCH = "{kind: search, arrivals: constant, precision: 10%, probe: 5s}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    payloads(tmp_path / "photos")
    return tmp_path / "photos"


def plan(photos: Path, **options: Any) -> BenchPlan:
    chosen: dict[str, Any] = {"profile": "constant", "model": "food11", "rate": 40.0, "tool": "vegeta"} | options
    return plan_bench(URL, payloads=photos, **chosen)


def own(photos: Path, text: str) -> str:
    path = photos.parent / "own.yaml"
    path.write_text(TEXT + text)
    return str(path)


def test_the_shipped_constant_profile_is_played_by_either(photos: Path) -> None:
    found = plan(photos)
    assert found.tool == "vegeta"
    assert any(label.startswith("vegeta: answers are counted by their status") for label in found.labels)
    other = plan(photos, tool="k6")
    assert (other.tool, other.seed) == ("k6", found.seed)
    assert not any("vegeta" in label for label in other.labels)
    # An own profile of constant phases is played as well, with its warm-up.
    mine = own(photos, f"phases: [{{kind: warmup, atMost: 5s}}, {HOLD}, {SEARCH}]\n")
    assert plan(photos, profile=mine).tool == "vegeta"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"phases: [{HOLD.replace('constant', 'poisson')}]\n", "own: hold (Poisson arrivals)"),
        (f"phases: [{HOLD}, {SEARCH.replace('constant', 'poisson')}]\n", "own: search (Poisson arrivals)"),
        (f"phases: [{{kind: single-stream, requests: 5}}, {HOLD}]\n", "own: single-stream (users wait for their"),
        (f"phases: [{HOLD}, {{kind: offline, for: 5s}}]\n", "own: offline (users wait for their answers)"),
        ("phases: [{kind: warmup, atMost: 5s}]\nstages: [{rate: 100%, for: 5s}]\n", "the stages of profile own"),
        (f"phases: [{HOLD}]\nprotocol: grpc\n", "sends gRPC in its phases (hold)"),
    ],
)
def test_what_vegeta_cannot_play_is_named_with_a_remedy_and_k6_plays_it(photos: Path, text: str, named: str) -> None:
    for path in photos.iterdir():
        path.write_text('{"inputs": [{"shape": [1, 4]}]}')
    mine = own(photos, text)
    with pytest.raises(UsageError) as refused:
        plan(photos, profile=mine)
    assert named in str(refused.value)
    assert "leave out --tool vegeta" in refused.value.hint
    assert plan(photos, profile=mine, tool="k6").tool == "k6"


def test_several_runners_are_k6s(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"--runners 2 would divide the phases of profile constant \(warmup, hold\)"):
        plan(photos, runners=2)
    assert plan(photos, runners=2, tool="k6").runners == 2


def test_another_tool_is_no_tool(photos: Path) -> None:
    with pytest.raises(UsageError, match="--tool 'vegetta' is not known") as refused:
        plan(photos, tool="vegetta")
    assert "vegeta" in refused.value.hint


def test_the_command_refuses_before_it_looks_for_the_server(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", URL, "--model", "pie", "--payloads", str(photos), "--rate", "40", "--tool", "vegeta"]
    assert run([*words, "--profile", "quick"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    for phase in ("single-stream", "offline", "hold", "search"):
        assert f"{phase} (" in said
    assert "--profile constant" in said
    assert run([*words, "--profile", "constant", "--dry-run", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["tool"] == "vegeta"
