"""The gate: what it lets through, what it stops, what it cannot tell, and what it refuses to compare."""

import json
from collections.abc import Callable, Sequence
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
from podium.errors import ConfigError, UsageError
from podium.gateside import read_side
from podium.racefile import read_race
from podium.regression import JUDGED, Gate, gate
from tests import racefolders, races
from tests.loads import payloads
from tests.simulated import SimulatedTarget, profile, with_samples

HOLD = "{kind: hold, blocks: 5, block: 60s, restart: false}"
NOISE = 0.03


def play(
    root: Path,
    name: str,
    service_ms: float,
    *,
    level: str = "standard",
    seed: int = 5,
    noise: int = 0,
    slo: str | None = "p99<=30ms, rate>=40/s",
) -> str:
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
        slo=None if slo is None else parse_slo(slo),
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


@pytest.mark.parametrize("slo", ["p99<=2ms, rate>=40/s", None])
def test_another_slo_is_refused_and_proves_no_regression(played: Path, tmp_path: Path, slo: str | None) -> None:
    other = play(tmp_path, "other", 5.0, slo=slo)
    with pytest.raises(NotComparableError, match=r"SLO: p99<=30ms.* and (p99<=2ms|none)"):
        gate(read_side(other, tmp_path / "runs"), read_side(name_of(played, "old"), played), tolerance=0.1)


def strip_holds(runs: Path, name: str) -> None:
    """Void all runs of a bench: its result is left, and nothing to compare in pairs."""
    for path in (runs / name).glob("*/url/*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "void": "late"}))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"fingerprint": "f" * 12, "environment": {"node_class": "moon"}},
            "environment differs .node_class url and moon",
        ),
        ({"rate": 41.0}, "rate: 40/s and 41/s"),
        ({"payloads": {"sha256": "f" * 64, "files": 1, "sizes": {}}}, "payloads: [0-9a-f]{12} and f{12}"),
        ({}, None),
    ],
)
def test_a_verdict_of_another_machine_is_refused_though_no_hold_is_left(
    played: Path, tmp_path: Path, fields: dict[str, Any], told: str | None
) -> None:
    other = play(tmp_path, "other", 16.0)
    strip_holds(tmp_path / "runs", other)
    path = tmp_path / "runs" / other / "bench.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    sides = read_side(other, tmp_path / "runs"), read_side(name_of(played, "old"), played)
    assert next(iter(sides[0].subjects.values())).series is None
    if told is None:
        assert outcomes(gate(*sides, tolerance=0.1))["verdict"] == "regression"
        return
    with pytest.raises(NotComparableError, match=told):
        gate(*sides, tolerance=0.1)


@pytest.mark.parametrize("shared", [0, 1, 4])
def test_blocks_without_enough_partners_are_compared_unpaired(played: Path, tmp_path: Path, shared: int) -> None:
    """Only the first blocks of the new bench are of the baseline's schedule; those alone are three times slower."""
    new = play(tmp_path, "new", 5.0, seed=900)
    donor = play(tmp_path, "donor", 16.0)
    for number in range(1, shared + 1):
        for path in (tmp_path / "runs" / donor / "donor" / "url").glob(f"{number:02d}-hold*"):
            (tmp_path / "runs" / new / "new" / "url" / path.name).write_bytes(path.read_bytes())
    found = gate(read_side(new, tmp_path / "runs"), read_side(name_of(played, "old"), played), tolerance=0.1)
    assert any("unpaired" in note for note in found.notes)
    assert not any("within one run" in note or "left out" in note for note in found.notes)
    assert "regression" not in {found for figure, found in outcomes(found).items() if figure != "verdict"}
    assert found.exit_code == (0 if shared == 0 else 6)


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
        asked = fields.pop("race", {})
        entries = [
            entry.model_copy(update=fields.get(entry.id.replace("-", "_"), {}))
            for entry in read_race(tmp_path / "two").variants
        ]
        racefolders.change(tmp_path / "two", variants=[one.model_dump() for one in entries], winner=None, **asked)
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


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"quality": "accuracy>=0.99"}, r"quality: accuracy>=0\.85, drop<=0\.01 and accuracy>=0\.99"),
        ({"slo": "p99<=1ms, rate>=40/s"}, "SLO: .* and p99<=1ms, rate>=40/s"),
        ({"fingerprints": {"local": "f" * 12}}, "of one and .* of two cannot be compared: the environment differs"),
    ],
)
def test_races_that_asked_something_else_are_refused(
    two_races: Callable[..., Gate], asked: dict[str, Any], told: str
) -> None:
    with pytest.raises(NotComparableError, match=told):
        two_races(race=asked)


def test_a_race_in_which_nothing_was_loaded_is_judged_whatever_its_fingerprint(tmp_path: Path) -> None:
    for name in ("one", "two"):
        racefolders.write_finished(tmp_path / name)
        racefolders.change(tmp_path / name, level="standard", race_id=name)
    entries = [
        {**entry.model_dump(), "status": "REJECTED", "rank": None, "runs": (), "hold": None, "server_max_rps": None}
        for entry in read_race(tmp_path / "two").variants
    ]
    racefolders.change(tmp_path / "two", variants=entries, winner=None, fingerprints={"local": "f" * 12})
    for path in (tmp_path / "two").rglob("*-hold.*"):
        path.unlink()
    assert gate(read_side("two", tmp_path), read_side("one", tmp_path), tolerance=0.1).exit_code == 5


def test_an_emulated_variant_is_never_gated(tmp_path: Path) -> None:
    race = racefolders.write_finished(tmp_path / "one")
    entries = [
        {**entry.model_dump(), "emulated": entry.id == "food11-ort-int8"}
        for entry in read_race(tmp_path / "one").variants
    ]
    racefolders.change(tmp_path / "one", variants=entries, winner=race.winner)
    with pytest.raises(ConfigError, match=r"food11-ort-int8 on local of .* is emulated, never gated"):
        read_side("one/food11-ort-int8", tmp_path)
    assert list(read_side("one/food11-ort-fp32", tmp_path).subjects) == ["food11-ort-fp32 on local"]


def test_a_void_variant_cannot_be_told(two_races: Callable[..., Gate]) -> None:
    found = two_races(food11_ort_int8={"status": "VOID", "reasons": ("late",), "rank": None})
    assert "regression" not in {case.outcome for case in found.cases}
    verdict = next(case for case in found.cases if case.subject == "food11-ort-int8 on local")
    assert (verdict.outcome, found.exit_code) == ("not judged", 6)


def stretch(runs: Path, name: str, factors: Sequence[float]) -> None:
    """Let the answers of each block of a bench take so many times as long."""
    for path, factor in zip(sorted((runs / name).rglob("*.samples")), factors, strict=True):
        content = path.read_bytes()
        data = np.frombuffer(content[16:], dtype=np.dtype("<i8,<i8,<i8,<i8,<i4,?,V1,<u2")).copy()
        data["f3"] = data["f2"] + ((data["f3"] - data["f2"]) * factor).astype(np.int64)
        path.write_bytes(content[:16] + data.tobytes())


@pytest.mark.parametrize("factors", [(1, 2, 3, 4, 5), (1 / 3, 1 / 2, 1, 2, 3)])
def test_blocks_that_disagree_prove_nothing_and_let_nothing_through(tmp_path: Path, factors: Sequence[float]) -> None:
    old, new = play(tmp_path, "old", 5.0), play(tmp_path, "new", 5.0)
    stretch(tmp_path / "runs", new, factors)
    found = gate(read_side(new, tmp_path / "runs"), read_side(old, tmp_path / "runs"), tolerance=0.0)
    assert {outcomes(found)[figure] for figure in JUDGED} == {"not judged"}
    assert all("the blocks disagree" in case.sentence for case in found.cases if case.figure in JUDGED)
    assert (outcomes(found)["verdict"], found.exit_code) == ("ok", 6)


def test_a_schedule_that_varies_is_no_disagreement_of_pairs(tmp_path: Path) -> None:
    servers = (("old", 5.0), ("new", 5.0), ("bad", 7.0))
    names = [play(tmp_path, name, service_ms, noise=1) for name, service_ms in servers]
    for name in names:
        stretch(tmp_path / "runs", name, range(1, 6))
    old, new, bad = (read_side(name, tmp_path / "runs") for name in names)
    assert gate(new, old, tolerance=0.1).exit_code == 0
    assert outcomes(gate(bad, old, tolerance=0.1))["p50"] == "regression"


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


def test_a_former_file_does_not_stand_for_sides_that_cannot_be_compared(played: Path, tmp_path: Path) -> None:
    words = [
        "gate",
        name_of(played, "same"),
        "--runs",
        str(played),
        "--junit",
        str(tmp_path / "gate.xml"),
        "--baseline",
    ]
    assert run([*words, name_of(played, "old")]) == 0
    assert (tmp_path / "gate.xml").is_file()
    assert run([*words, name_of(played, "quick")]) == 3
    assert not (tmp_path / "gate.xml").exists()
    (tmp_path / "gate.xml").mkdir()
    assert run([*words, name_of(played, "old")]) == 4
