"""The gate: what it lets through, what it stops, what it cannot tell, and what it refuses to compare."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from loadtest.shot import Endpoint, Outcome, Shot
from loadtest.slo import parse_slo
from podium.bench import run_bench
from podium.benchplan import BenchPlan
from podium.cli import run
from podium.comparability import NotComparableError
from podium.entry import Capacity
from podium.errors import ConfigError, UsageError
from podium.gateside import read_side
from podium.junit import junit_text
from podium.racefile import read_race
from podium.regression import Case, Gate, GateSide, Subject, gate
from tests import racefolders, races
from tests.loads import payloads
from tests.simulated import SimulatedTarget, profile, with_samples

HOLD = "{kind: hold, blocks: 5, block: 60s, restart: false}"
NOISE = 0.03


def play(root: Path, name: str, service_ms: float, *, level: str = "standard", seed: int = 5, noise: int = 0) -> str:
    """Play a bench against a queue; `noise` seeds how the answers of a block differ from another's."""

    def noisy(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        random = np.random.default_rng([noise, shot.seed])
        factor = random.lognormal(0, NOISE) * random.lognormal(0, 0.1, len(outcome.samples))
        took = (outcome.samples.latency_actual_ns * factor).astype(np.int64)
        return with_samples(outcome, end_ns=outcome.samples.start_ns + took)

    target = SimulatedTarget({name: service_ms})
    target.change = noisy
    plan = BenchPlan(
        endpoint=Endpoint("http://127.0.0.1:1", "v1-image", "model"),
        profile=profile(HOLD, level=level),
        payloads=payloads(root / "photos"),
        rate=40.0,
        slo=parse_slo("p99<=30ms, rate>=40/s"),
        name=name,
        runners=1,
        seed=seed,
        runs=root / "runs",
        labels=(),
    )
    return run_bench(plan, target=target)[0].name


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gate")
    for name, service_ms, noise in (("old", 5.0, 1), ("same", 5.0, 2), ("slow", 8.0, 3), ("slowest", 16.0, 4)):
        play(root, name, service_ms, noise=noise)
    play(root, "unpaired", 8.0, seed=900)
    play(root, "quick", 5.0, level="quick")
    return root / "runs"


def name_of(runs: Path, name: str) -> str:
    (found,) = runs.glob(f"bench-{name}-*")
    return found.name


def gated(runs: Path, new: str, baseline: str, tolerance: float = 0.1) -> Gate:
    return gate(read_side(name_of(runs, new), runs), read_side(name_of(runs, baseline), runs), tolerance=tolerance)


def outcomes(found: Gate) -> dict[str, str]:
    return {case.figure: case.outcome for case in found.cases}


def test_the_same_passes_and_says_what_would_have_shown(played: Path) -> None:
    found = gated(played, "same", "old")
    assert (set(outcomes(found).values()), found.exit_code) == ({"ok"}, 0)
    assert any("or more would show" in case.sentence for case in found.cases)


@pytest.mark.parametrize("new", ["slow", "unpaired"])
def test_much_slower_is_a_regression_paired_or_not(played: Path, new: str) -> None:
    found = gated(played, new, "old")
    assert (outcomes(found)["p50"], outcomes(found)["verdict"], found.exit_code) == ("regression", "ok", 5)
    assert bool(found.notes) == (new == "unpaired")
    faster = gated(played, "old", new)
    assert (set(outcomes(faster).values()), faster.exit_code) == ({"ok"}, 0)


def test_what_the_tolerance_covers_is_no_regression(played: Path) -> None:
    assert gated(played, "slow", "old", tolerance=0.95).exit_code == 0


def test_an_objective_that_held_and_fails_now_is_a_regression(played: Path) -> None:
    found = gated(played, "slowest", "old", tolerance=0.9)
    verdict = found.cases[0]
    assert (verdict.figure, verdict.outcome) == ("verdict", "regression")
    assert verdict.sentence.startswith("PASS before, FAIL now")


def test_identical_servers_are_never_a_regression(tmp_path: Path) -> None:
    names = [play(tmp_path, f"a{noise}", 5.0, noise=noise) for noise in range(5)]
    sides = [read_side(name, tmp_path / "runs") for name in names]
    codes = [gate(new, old, tolerance=0.1).exit_code for new in sides for old in sides if new is not old]
    assert len(codes) == 20
    assert 5 not in codes


def test_nothing_below_level_standard_is_taken(played: Path) -> None:
    for pair in (("quick", "old"), ("old", "quick")):
        with pytest.raises(ConfigError, match="is of level quick, and a gate takes nothing below standard"):
            gated(played, *pair)


def test_another_environment_is_refused(played: Path, tmp_path: Path) -> None:
    other = play(tmp_path, "other", 5.0)
    for path in (tmp_path / "runs").glob("*/*/url/*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "f" * 12}))
    with pytest.raises(NotComparableError, match="environment differs"):
        gate(read_side(other, tmp_path / "runs"), read_side(name_of(played, "old"), played), tolerance=0.1)


def test_one_run_is_no_proof_and_a_variant_is(played: Path) -> None:
    old = name_of(played, "old")
    with pytest.raises(ConfigError, match="one run proves no regression"):
        read_side(f"{old}/old/url/01-hold", played)
    assert list(read_side(f"{old}/old", played).subjects) == ["old on url"]
    with pytest.raises(UsageError, match="there is no run and no race"):
        read_side("nothing", played)


@pytest.fixture
def two_races(tmp_path: Path) -> Callable[..., Gate]:
    """Two races of several variants; the second may be changed."""
    for name in ("one", "two"):
        racefolders.write_finished(tmp_path / name, *races.unloaded())
        racefolders.change(tmp_path / name, level="standard", race_id=name)

    def compared(**fields: dict[str, Any]) -> Gate:
        entries = [
            entry.model_copy(update=fields.get(entry.id.replace("-", "_"), {}))
            for entry in read_race(tmp_path / "two").variants
        ]
        racefolders.change(tmp_path / "two", variants=[one.model_dump() for one in entries], winner=None)
        return gate(read_side("two", tmp_path), read_side("one", tmp_path), tolerance=0.1)

    return compared


def test_all_variants_of_two_races_are_compared(two_races: Callable[..., Gate]) -> None:
    found = two_races()
    assert {case.subject for case in found.cases} >= {"food11-ort-int8 on local", "food11-torch-fp32 on local"}
    assert [case for case in found.cases if case.outcome == "regression"] == []
    # One variant is skipped in both.
    assert found.exit_code == 6


def test_a_variant_that_is_rejected_now_is_a_regression(two_races: Callable[..., Gate]) -> None:
    found = two_races(food11_ort_int8={"status": "REJECTED", "reasons": ("accuracy 70 %",), "rank": None})
    (worse,) = [case for case in found.cases if case.outcome == "regression"]
    assert (worse.subject, worse.figure) == ("food11-ort-int8 on local", "verdict")
    assert worse.sentence == "PASS before, REJECTED now: accuracy 70 %"


def test_a_void_variant_cannot_be_told(two_races: Callable[..., Gate]) -> None:
    found = two_races(food11_ort_int8={"status": "VOID", "reasons": ("late",), "rank": None})
    assert "regression" not in {case.outcome for case in found.cases}
    verdict = next(case for case in found.cases if case.subject == "food11-ort-int8 on local")
    assert (verdict.outcome, found.exit_code) == ("not judged", 6)


def subject(name: str, status: str = "PASS", capacity: tuple[float, float] | None = None) -> Subject:
    found = None if capacity is None else Capacity(value=sum(capacity) / 2, low=capacity[0], high=capacity[1])
    return Subject(name, status, (), None, found)  # type: ignore[arg-type]


def side(*subjects: Subject) -> GateSide:
    return GateSide("race", "standard", {one.name: one for one in subjects})


@pytest.mark.parametrize(
    ("now", "outcome"), [((95, 110), "ok"), ((85, 89), "regression"), ((85, 91), "ok"), ((200, 220), "ok")]
)
def test_a_smaller_largest_rate_is_a_regression_where_the_intervals_are_apart(
    now: tuple[float, float], outcome: str
) -> None:
    found = gate(side(subject("a", capacity=now)), side(subject("a", capacity=(100, 120))), tolerance=0.1)
    assert outcomes(found)["server_max_rps"] == outcome


def test_a_subject_that_is_gone_cannot_be_told_and_a_new_one_is_noted() -> None:
    found = gate(side(subject("a"), subject("c")), side(subject("a"), subject("b")), tolerance=0.1)
    assert found.notes == ("c is not in the baseline",)
    gone = next(case for case in found.cases if case.subject == "b")
    assert (gone.outcome, found.exit_code) == ("not judged", 6)
    with pytest.raises(ConfigError, match="no variant in common"):
        gate(side(subject("a"), subject("b")), side(subject("c")), tolerance=0.1)


def test_blocks_that_disagree_prove_nothing(tmp_path: Path) -> None:
    old = play(tmp_path, "old", 5.0)
    new = play(tmp_path, "new", 9.0)
    for number, path in enumerate(sorted((tmp_path / "runs" / new).rglob("*.samples"))):
        data = np.frombuffer(path.read_bytes()[16:], dtype=np.dtype("<i8,<i8,<i8,<i8,<i4,?,V1,<u2")).copy()
        data["f3"] = data["f2"] + (data["f3"] - data["f2"]) * (1 + number)
        path.write_bytes(path.read_bytes()[:16] + data.tobytes())
    found = gate(read_side(new, tmp_path / "runs"), read_side(old, tmp_path / "runs"), tolerance=0.0)
    assert "regression" not in {case.outcome for case in found.cases if case.figure != "verdict"}


def test_junit_tells_failures_from_what_cannot_be_told() -> None:
    cases = (
        Case("a on b", "p50", "regression", "1.3 times <&> \x1b[31m"),
        Case("a on b", "p99", "not judged", "the blocks disagree"),
        Case("a on b", "verdict", "ok", "PASS before, PASS now"),
    )
    suite = ET.fromstring(junit_text(Gate("new", "old", 0.1, cases, ("a note",))))  # noqa: S314
    assert suite.attrib["failures"] == "1"
    assert suite.attrib["skipped"] == "1"
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.attrib["message"] == "1.3 times <&> \\x1b[31m"
    assert suite.findtext("system-out") == "a note"


def test_the_command_writes_junit_and_ends_with_the_code(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {name: name_of(played, name) for name in ("old", "same", "slow")}
    words = ["--baseline", names["old"], "--runs", str(played)]
    assert run(["gate", names["same"], *words]) == 0
    assert "no regression is proven" in capsys.readouterr().out
    assert run(["gate", names["slow"], *words, "--junit", str(tmp_path / "gate.xml"), "-o", "json"]) == 5
    assert json.loads(capsys.readouterr().out)["exit_code"] == 5
    assert ET.parse(tmp_path / "gate.xml").getroot().attrib["failures"] != "0"  # noqa: S314
    assert run(["gate", names["same"], *words, "--tolerance", "ten"]) == 2
    assert run(["gate", names["same"], *words, "--tolerance", "200%"]) == 2
