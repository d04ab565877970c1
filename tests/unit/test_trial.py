"""Trials of a change with simulated servers: in turns on one schedule, and what is told of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loadtest.shot import Outcome, Shot
from podium import trial
from podium.change import Elsewhere
from podium.cli import run
from podium.errors import ConfigError, UnsettledError, UsageError
from podium.serving import Serving
from podium.slowness import Finding, Symptoms, diagnose
from podium.symptoms import read_symptoms
from podium.trial import AsItWas, Trial, as_it_was, plan_change, trial_profile
from podium.verification import apply_change
from predictors.store import Store
from tests.artifacts import vector_artifact
from tests.benches import bench_played
from tests.simulated import HOLD, SINGLE, WARMUP, SimulatedTarget, profile, with_samples

PROFILE = profile(WARMUP, SINGLE, HOLD.replace("blocks: 5", "blocks: 3"))
# What a server with a delay says of itself.
STATE: dict[str, Any] = {"threads": 1, "cpu_limit": 1.0, "cores": [0], "max_delay_s": 0.02, "gather": 4}
GROWTH: dict[str, dict[str, float]] = {
    "stages": {"answers": 100.0, "decode": 0.1, "compute": 0.5, "queue": 2.0},
    "batches": {"1": 100},
}


class Sides(SimulatedTarget):
    """The target of a trial whose servers are queues; as it was is slower than with the change."""

    made: ClassVar["list[Sides]"] = []
    times: ClassVar[dict[str, float]] = {"before": 12.0, "after": 6.0}
    interrupt_at: int | None = None

    def __init__(self, sides: Mapping[str, Serving], *, first_port: int, folder: Path, race_id: str) -> None:
        super().__init__(self.times)
        self.sides = dict(sides)
        self.race_id = race_id
        self.cleaned = 0
        Sides.made.append(self)

    def load(self, *arguments: Any, **options: Any) -> Outcome:
        if self.interrupt_at is not None and len(self.measured()) >= self.interrupt_at:
            raise KeyboardInterrupt
        return super().load(*arguments, **options)

    def cleanup(self) -> list[str]:
        self.cleaned += 1
        return list(super().cleanup())


@pytest.fixture(autouse=True)
def sides(monkeypatch: pytest.MonkeyPatch) -> list[Sides]:
    """The targets that trials made."""
    monkeypatch.setattr(trial, "TrialTarget", Sides)
    monkeypatch.setattr(Sides, "made", [])
    # The servers are arithmetic, and the machine's cores are not theirs.
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(4)))
    return Sides.made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.put(vector_artifact(tmp_path / "artifact"))
    return store


def played(root: Path, store: Store, state: dict[str, Any] = STATE) -> str:
    """Play a bench of the variant of the store, and return its name."""
    target = SimulatedTarget({"mine": 12.0})
    target.protocol = "v2-binary"
    target.state = {"address": store.list()[0].address, **state}
    target.growth = GROWTH
    return bench_played(root, target, "v2-binary", "tiny")


def applied(root: Path, store: Store, name: str, **options: Any) -> Trial | Elsewhere:
    seen = read_symptoms(name, runs=root / "runs", store=store)
    chosen: dict[str, Any] = {"number": None, "profile": str(profile_file(root)), "rate": None} | options
    found = apply_change(
        name,
        seen,
        diagnose(seen),
        first_port=18080,
        runs=root / "runs",
        store=store,
        say=lambda _text: None,
        **chosen,
    )
    return found.result


def profile_file(root: Path) -> Path:
    path = root / "brief.yaml"
    phases = "\n".join(f"  - {phase}" for phase in (WARMUP, HOLD.replace("blocks: 5", "blocks: 3")))
    head = "name: brief\nlevel: quick\nprotocol: v2-binary\ntimeout: 2s\nbudget: 10m\nconfidence: 0.95\n"
    path.write_text(f"{head}phases:\n{phases}\n")
    return path


def test_both_sides_are_played_in_turns_on_one_schedule(tmp_path: Path, store: Store, sides: list[Sides]) -> None:
    found = applied(tmp_path, store, played(tmp_path, store))
    assert isinstance(found, Trial)
    (target,) = sides
    shots = target.measured()
    assert [side for side, _ in shots] == ["before", "after", "after", "before", "before", "after"]
    seeds = [shot.seed for _, shot in shots]
    # The seeds are those of the runs that were looked at.
    assert seeds == [5, 5, 6, 6, 7, 7]
    assert (target.sides["before"].max_delay_s, target.sides["after"].max_delay_s) == (0.02, 0.0)
    assert found.rate == 40.0
    assert found.outcome == "helped"
    assert found.figure.name == "p50"
    assert found.figure.ratio is not None
    assert found.figure.ratio.high < 1
    assert found.sentence.startswith("podium serve --max-delay 0s: helped; p50 ")
    assert sorted(path.parts[-3] for path in found.folder.glob("*/local/*.json")) == ["after"] * 3 + ["before"] * 3
    assert not (found.folder / "work").exists()
    assert target.cleaned


@pytest.mark.parametrize(
    ("times", "outcome"), [((6.0, 12.0), "made it worse"), ((6.0, 6.0), "no difference"), ((12.0, 6.0), "helped")]
)
def test_a_change_is_told_by_what_it_brought(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, times: tuple[float, float], outcome: str
) -> None:
    monkeypatch.setattr(Sides, "times", dict(zip(("before", "after"), times, strict=True)))
    found = applied(tmp_path, store, played(tmp_path, store))
    assert isinstance(found, Trial)
    assert found.outcome == outcome


def test_what_voids_the_runs_of_a_cause_does_not_void_its_trial(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Sides.__init__

    def with_threads(self: Sides, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options)
        self.state["threads"] = 8

    monkeypatch.setattr(Sides, "__init__", with_threads)
    found = applied(tmp_path, store, played(tmp_path, store, STATE | {"threads": 8, "max_delay_s": 0.0}))
    assert isinstance(found, Trial)
    assert found.change.number == 4
    assert {run.record.void for run in found.comparison.first.runs} == {"thread-mismatch"}


def test_new_batch_sizes_are_met_by_new_servers_that_nobody_warmed(
    tmp_path: Path, store: Store, sides: list[Sides]
) -> None:
    runs = {"3": {"warm": False, "ms": [50.8, 7.0, 7.1, 7.2]}}
    found = applied(tmp_path, store, played(tmp_path, store, STATE | {"max_delay_s": 0.0, "first_runs": runs}))
    assert isinstance(found, Trial)
    (target,) = sides
    assert (found.change.number, found.figure.name) == (10, "p99")
    assert dict(target.starts) == {"before": 3, "after": 3}
    assert len(target.shots) == len(target.measured())
    assert {run.record.codes["200"] > 0 for run in found.comparison.second.runs} == {True}


def test_an_interrupted_trial_leaves_nothing(
    tmp_path: Path, store: Store, sides: list[Sides], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = played(tmp_path, store)
    monkeypatch.setattr(Sides, "interrupt_at", 3)
    with pytest.raises(KeyboardInterrupt):
        applied(tmp_path, store, name)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    assert sides[0].cleaned


def test_a_variant_without_runs_is_played_at_a_rate_that_leaves_it_idle(tmp_path: Path, store: Store) -> None:
    was = as_it_was("tiny-ort-fp32", runs=tmp_path / "runs", store=store)
    assert (was.rate, was.serving.threads) == (None, 1)
    cause = Finding(9, "batcher", "cause", "it waits", "podium serve --max-delay 0")
    change = plan_change(cause, Symptoms("tiny-ort-fp32"), was, store=store)
    assert not isinstance(change, Elsewhere)
    options: dict[str, Any] = {"name": "tiny", "runs": tmp_path / "runs", "first_port": 18080}
    found = trial.play_trial(change, was, profile=trial_profile(PROFILE, change), **options)
    # Two users of a server of 12 ms wait 24 ms each.
    assert found.rate == pytest.approx(0.4 / 0.024, rel=0.1)
    with pytest.raises(UsageError, match="at which rate"):
        trial.play_trial(change, was, profile=trial_profile(profile(HOLD), change), **options)


def test_what_ran_elsewhere_is_changed_there(tmp_path: Path, store: Store) -> None:
    was = AsItWas(as_it_was("tiny-ort-fp32", runs=tmp_path, store=store).serving, node_class="a100")
    found = plan_change(Finding(9, "batcher", "cause", "", ""), Symptoms("x"), was, store=store)
    assert isinstance(found, Elsewhere)
    assert found.sentence == "it ran on node class a100: make the change there, and race again"


def test_a_profile_needs_blocks_in_pairs(tmp_path: Path, store: Store) -> None:
    name = played(tmp_path, store)
    path = profile_file(tmp_path)
    for change, told in (("blocks: 3", "has one block"), ("kind: hold", "has no hold")):
        text = path.read_text()
        other = tmp_path / "other.yaml"
        if told == "has no hold":
            text = "\n".join(line for line in text.splitlines() if change not in line)
        other.write_text(text.replace("blocks: 3", "blocks: 1"))
        with pytest.raises(ConfigError, match=told):
            applied(tmp_path, store, name, profile=str(other))


def test_an_artifact_that_is_not_in_the_store_is_asked_for(tmp_path: Path, store: Store) -> None:
    name = played(tmp_path, store)
    with pytest.raises(UsageError, match="is not in the store") as refused:
        as_it_was(name, runs=tmp_path / "runs", store=Store(tmp_path / "empty"))
    assert "--store" in refused.value.hint


def test_a_cause_is_chosen_by_its_number(tmp_path: Path, store: Store) -> None:
    name = played(tmp_path, store)
    with pytest.raises(UsageError, match="check 4 found no cause") as refused:
        applied(tmp_path, store, name, number=4)
    assert refused.value.hint == "causes that were found: 9 (batcher waits for nobody)"


def test_the_command_plays_and_tells(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = played(tmp_path, store)
    words = ["diagnose", name, "--apply", "--profile", str(profile_file(tmp_path))]
    words += ["--runs", str(tmp_path / "runs"), "--store", str(store.root)]
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "podium serve --max-delay 0s: helped; p50" in shown
    assert "with the change, check 9 says" in shown
    assert run([*words, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)["apply"]
    assert (document["number"], document["outcome"], document["figure"]) == (9, "helped", "p50")
    assert document["comparison"]["compared"] == "3 pairs of blocks"
    monkeypatch.setattr("podium.trial.HERE", frozenset())
    assert run(words) == 0
    assert "check 9 cannot be applied here: it ran on node class url" in capsys.readouterr().out
    assert run([*words, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["apply"]["outcome"] == "not here"


def test_a_healthy_variant_has_nothing_to_apply(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = played(tmp_path, store, STATE | {"max_delay_s": 0.0})
    words = ["diagnose", name, "--apply", "--runs", str(tmp_path / "runs"), "--store", str(store.root)]
    assert run(words) == 0
    assert "no cause was found" in capsys.readouterr().out


def test_a_void_block_costs_its_pair_and_a_side_without_blocks_the_trial(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = played(tmp_path, store)
    made = Sides.__init__

    def late_from(block: int) -> None:
        def with_late(self: Sides, *arguments: Any, **options: Any) -> None:
            made(self, *arguments, **options)

            def change(variant: str, shot: Shot, outcome: Outcome) -> Outcome:
                if variant == "after" and shot.seed >= block and shot.kind == "open":
                    start = outcome.samples.intended_ns + 50_000_000
                    return with_samples(outcome, start_ns=start, end_ns=start + 6_000_000)
                return outcome

            self.change = change

        monkeypatch.setattr(Sides, "__init__", with_late)

    late_from(7)
    found = applied(tmp_path, store, name)
    assert isinstance(found, Trial)
    assert found.comparison.what == "2 pairs of blocks"
    assert any("have no partner" in note for note in found.comparison.notes)
    late_from(5)
    with pytest.raises(UnsettledError, match="all blocks after the change are void, last as late"):
        applied(tmp_path, store, name)
