"""Calibration: limits from recorded runs of one environment, kept for its node class, and taken by profiles there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from loadtest.calibration import LIMITS, Derived, derive
from loadtest.profile import Thresholds, load_profile
from loadtest.runrecord import ProofRecord, RunRecord
from loadtest.shot import Endpoint
from podium.bench import run_bench
from podium.benchfile import read_bench
from podium.benchplan import BenchPlan
from podium.calibration import Calibration, calibrated, calibration_folder, read_calibration, write_calibration
from podium.cli import run
from podium.errors import ConfigError
from podium.runseries import find_series
from tests.loads import payloads
from tests.racefolders import write_finished
from tests.simulated import HOLD, SimulatedTarget, profile

# Of so many values the largest bounds 95 % with 95 % confidence: 0.95 ** 59 is below 0.05.
ENOUGH = 59


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run on record, whose proofs the tests plant."""
    root = tmp_path_factory.mktemp("runs")
    write_finished(root / "race")
    (first, *_) = sorted((root / "race").glob("*/local/*-hold.json"))
    return find_series(str(first), root).first


def proof(check: str, value: float, limit: float, *, ok: bool = True) -> ProofRecord:
    return ProofRecord(check=check, ok=ok, value=value, limit=limit, evidence="")


def runs_of(record: RunRecord, values: list[float], *more: ProofRecord) -> list[RunRecord]:
    return [record.model_copy(update={"passport": (proof("inconsistent", value, 0.1), *more)}) for value in values]


def little(found: tuple[Derived, ...]) -> Derived:
    return next(one for one in found if one.limit.name == "little")


def test_a_limit_is_a_little_beyond_the_worst_of_enough_runs(record: RunRecord) -> None:
    values = [0.001 * number for number in range(ENOUGH - 1)]
    found = little(derive(runs_of(record, [*values, 0.088])))
    assert (found.value, found.worst, found.needed) == (0.11, 0.088, 0)
    few = little(derive(runs_of(record, values)))
    assert (few.value, few.runs, few.needed) == (None, ENOUGH - 1, 1)


def test_a_limit_stays_within_what_any_machine_may_have(record: RunRecord) -> None:
    calm = little(derive(runs_of(record, [0.0] * ENOUGH)))
    assert (calm.value, calm.is_cut) == (0.05, False)
    wild = little(derive(runs_of(record, [0.6] * ENOUGH)))
    assert (wild.value, wild.is_cut) == (0.2, True)


def test_a_run_that_fails_only_such_a_limit_counts_and_one_with_a_fault_does_not(record: RunRecord) -> None:
    beyond = [
        record.model_copy(update={"passport": (proof("inconsistent", 0.12, 0.1, ok=False),)}) for _ in range(ENOUGH)
    ]
    assert little(derive(beyond)).value == 0.15
    late = proof("late", 40.0, 10.0, ok=False)
    assert little(derive(runs_of(record, [0.01] * ENOUGH, late))).runs == 0
    # A generator that was throttled has a limit of 0, which is of another kind.
    throttled = proof("generator-limited", 7, 0, ok=False)
    found = derive(runs_of(record, [0.01] * ENOUGH, throttled))
    assert {one.limit.name: one.runs for one in found}["generator_cpu"] == 0


def test_every_limit_is_one_of_a_profile() -> None:
    assert {limit.name for limit in LIMITS} <= set(Thresholds.model_fields)
    default = Thresholds()
    assert all(limit.lowest <= getattr(default, limit.name) <= limit.highest for limit in LIMITS)


MADE: dict[str, Any] = {"node_class": "local", "runs": 60, "made": "2026-01-02T03:04:05+00:00"}


def test_a_profile_takes_limits_in_the_place_of_defaults_there_and_nowhere_else(tmp_path: Path) -> None:
    quick = load_profile("quick")
    options: dict[str, Any] = {"node_class": "local", "folder": tmp_path}
    assert calibrated(quick, fingerprint="4be0643f1d98", **options) is quick
    kept = Calibration(fingerprint="4be0643f1d98", thresholds={"little": 0.15, "throttled": 0.02}, **MADE)
    write_calibration(tmp_path, kept)
    assert read_calibration(tmp_path, "local") == kept
    found = calibrated(quick, fingerprint="4be0643f1d98", **options)
    assert (found.thresholds.little, found.thresholds.throttled) == (0.15, 0.02)
    assert found.thresholds.lateness_p99_s == quick.thresholds.lateness_p99_s
    assert found.digest != quick.digest
    assert calibrated(quick, fingerprint="another", **options) is quick
    assert calibrated(quick, fingerprint="4be0643f1d98", node_class="epyc", folder=tmp_path) is quick
    own = quick.model_copy(update={"thresholds": Thresholds(little=0.3)})
    assert calibrated(own, fingerprint="4be0643f1d98", **options).thresholds.little == 0.3


def test_a_damaged_calibration_is_named(tmp_path: Path) -> None:
    (tmp_path / "local.json").write_text('{"schema": "podium.dev/calibration/v1", "runs": 3}')
    with pytest.raises(ConfigError, match=r"local\.json is not a calibration"):
        read_calibration(tmp_path, "local")
    with pytest.raises(ConfigError, match="is no node class"):
        read_calibration(tmp_path, "../x")


def test_a_bench_is_played_with_the_limits_of_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_STORE", str(tmp_path / "store"))

    def played() -> dict[str, Any]:
        plan = BenchPlan(
            endpoint=Endpoint("http://127.0.0.1:1", "v1-image", "model"),
            profile=profile(HOLD),
            payloads=payloads(tmp_path / "photos"),
            rate=40.0,
            slo=None,
            name="mine",
            runners=1,
            seed=5,
            runs=tmp_path / "runs",
            labels=(),
        )
        folder, bench = run_bench(plan, target=SimulatedTarget({"mine": 5.0}))
        limits = {one.check: one.limit for one in find_series(folder.name, tmp_path / "runs").first.passport}
        return {"mark": bench.fingerprint, "limits": limits, "profile": read_bench(folder).profile}

    before = played()
    assert before["limits"]["inconsistent"] == 0.1
    kept = Calibration(fingerprint=before["mark"], thresholds={"little": 0.17}, **(MADE | {"node_class": "url"}))
    write_calibration(calibration_folder(), kept)
    after = played()
    assert after["limits"]["inconsistent"] == 0.17
    assert after["profile"]["thresholds"]["little"] == 0.17


@pytest.fixture
def recorded(tmp_path: Path, record: RunRecord) -> Path:
    """Runs of two environments: many of one, and a newer one of the other."""
    write_finished(tmp_path / "runs" / "race")
    folder = tmp_path / "runs" / "race" / "mine" / "local"
    folder.mkdir(parents=True)
    for number, one in enumerate(runs_of(record, [0.06] * ENOUGH), start=1):
        (folder / f"{number:02d}-hold.json").write_text(one.model_dump_json(by_alias=True))
    other = tmp_path / "runs" / "older" / "mine" / "local"
    other.mkdir(parents=True)
    old = record.model_copy(update={"fingerprint": "0123456789ab", "started": "2020-01-01T00:00:00+00:00"})
    (other / "01-hold.json").write_text(old.model_dump_json(by_alias=True))
    return tmp_path / "runs"


def words(recorded: Path, *more: str) -> list[str]:
    return ["calibrate", *more, "--runs", str(recorded), "--store", str(recorded.parent / "store")]


def test_the_command_keeps_what_it_derives_of_the_newest_environment(
    recorded: Path, record: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words(recorded, "--dry-run", "-o", "json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["fingerprint"], document["kept"]) == (record.fingerprint, False)
    assert not (recorded.parent / "calibration").exists()
    assert run(words(recorded)) == 0
    shown = capsys.readouterr().out
    assert "0.075" in shown
    assert "the default stays" in shown
    kept = read_calibration(recorded.parent / "calibration", "local")
    assert kept is not None
    assert (kept.fingerprint, kept.thresholds) == (record.fingerprint, {"little": 0.075})


def test_runs_of_several_environments_are_refused_by_name(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(recorded, "race", "older")) == 3
    assert "are of 2 environments" in capsys.readouterr().err
    assert run(words(recorded, "older", "-o", "json")) == 0
    assert json.loads(capsys.readouterr().out)["kept"] is False
    assert run(words(recorded, "nothing")) == 2
    assert "no race or bench 'nothing'" in capsys.readouterr().err
    assert run(words(recorded, "--node-class", "epyc")) == 2
    assert "no runs of node class epyc" in capsys.readouterr().err
    shutil.rmtree(recorded)
    assert run(words(recorded)) == 2
