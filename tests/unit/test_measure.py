"""Single shots of a race: warm-ups that settle or do not, runs on record, what is kept and what is gone."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import JsonValue

from loadtest.histogram import read_log
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile
from loadtest.runrecord import RunRecord
from loadtest.settled import disagreement
from loadtest.shot import Outcome, Shot
from podium.measure import CandidateGoneError, Course, Measurement, VoidError, is_kept
from podium.runbook import RunBook
from podium.targets.target import Deployment, Planned
from predictors.fingerprint import cpu_facts
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    SINGLE,
    WARMUP,
    SimulatedTarget,
    candidate,
    measurement,
    profile,
    with_samples,
)

STEADY = HOLD.replace("stopWhenOversaturated: true", "stopWhenOversaturated: false")


def begin(target: SimulatedTarget, folder: Path, chosen: Profile) -> tuple[Measurement, Course]:
    shared = measurement(target, folder, chosen)
    return shared, Course(target.deploy(candidate("a", folder)), RunBook(folder, "a", "local"))


def test_a_warm_up_ends_when_two_windows_agree(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(WARMUP))
    shared.warm_up(course)
    assert course.warmup is not None
    assert len(course.warmup) == 2
    assert disagreement(*course.warmup) <= 0.1
    (shot,) = (shot for _, shot in target.shots)
    assert (shot.kind, shot.users, shot.seconds) == ("closed", 2, 2.2)
    assert course.book.runs == []


def test_a_warm_up_is_not_played_twice_for_one_server(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(WARMUP))
    shared.warm_up(course)
    shared.warm_up(course)
    assert len(target.shots) == 1


@pytest.mark.parametrize(("at_least", "windows"), [(1, 2), (9, 2), (10, 3), (15, 4)])
def test_a_warm_up_goes_on_until_enough_answers_came(tmp_path: Path, at_least: int, windows: int) -> None:
    # Two users, an answer each 202 ms: 4 answers in the first window, 5 in each later one.
    target = SimulatedTarget({"a": 101})
    shared, course = begin(target, tmp_path, profile(WARMUP.replace("20", str(at_least))))
    shared.warm_up(course)
    assert course.warmup is not None
    assert len(course.warmup) == windows
    assert sum(window.answers for window in course.warmup) >= at_least


def test_batching_is_asked_for_where_requests_come_together(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.batch = 1
    shared, course = begin(target, tmp_path, profile(SINGLE, OFFLINE, STEADY))
    shared.single_stream(course)
    shared.hold_block(course, rate=40, block=0)
    with pytest.raises(VoidError) as refused:
        shared.offline(course)
    assert refused.value.void == "unbatched"


@pytest.mark.parametrize("change", [{}, {"cpu_model": "Another CPU"}, {"cpu_features": ["sve"]}])
def test_on_another_cpu_the_classes_that_are_found_here_are_no_right_answers(
    tmp_path: Path, change: dict[str, JsonValue], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[tuple[object, ...]] = []

    def load(self: SimulatedTarget, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        expected.append(payloads.answers)
        return played(self, deployment, shot, payloads, workdir)

    played = SimulatedTarget.load
    monkeypatch.setattr(SimulatedTarget, "load", load)
    target = SimulatedTarget({"a": 5})
    here: dict[str, Any] = {**cpu_facts()}
    target.state = {**here, **change}
    shared = measurement(target, tmp_path, profile(STEADY))
    answers = ((0, "zero"),) * len(shared.payloads.files)
    known = replace(candidate("a", tmp_path), planned=Planned(answers=answers))
    run = shared.hold_block(Course(target.deploy(known), RunBook(tmp_path, "a", "local")), rate=40, block=0)
    (proof,) = (one for one in run.record.passport if one.check == "wrong-answers")
    assert proof.ok
    assert expected == [() if change else answers]
    assert ("the test data was evaluated on another CPU" in proof.evidence) is bool(change)
    assert ("Another CPU" in proof.evidence) is ("cpu_model" in change)


def test_a_server_that_does_not_settle_is_loaded_until_the_time_is_over_and_its_runs_are_void(tmp_path: Path) -> None:
    def slower(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.kind == "open":
            return outcome
        # Each answer takes a thousandth longer than the one before it, without end.
        drift = 1.002 ** np.arange(len(outcome.samples))
        return with_samples(outcome, end_ns=(outcome.samples.end_ns * drift).astype(np.int64))

    target = SimulatedTarget({"a": 5})
    target.change = slower
    shared, course = begin(target, tmp_path, profile(WARMUP.replace("5s", "100ms"), STEADY))
    shared.warm_up(course)
    assert len(target.shots) >= 2
    with pytest.raises(VoidError, match="as not-warm") as refused:
        shared.hold_block(course, rate=40, block=0)
    assert refused.value.void == "not-warm"


def test_a_run_that_was_not_warm_is_played_again_after_another_warm_up(tmp_path: Path) -> None:
    held: list[Shot] = []

    def silent_at_first(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        if shot.kind == "open":
            held.append(shot)
        count = len(outcome.samples)
        silence = with_samples(outcome, status=np.zeros(count, dtype=np.int64), ok=np.zeros(count, dtype=np.bool_))
        return outcome if held else silence

    target = SimulatedTarget({"a": 5})
    target.change = silent_at_first
    shared, course = begin(target, tmp_path, profile(WARMUP.replace("5s", "1ms"), STEADY))
    shared.warm_up(course)
    assert shared.hold_block(course, rate=40, block=0).record.void is None
    assert [run.record.void for run in course.book.runs] == ["not-warm", None]


def test_a_server_without_answers_has_not_warmed_up(tmp_path: Path) -> None:
    def silent(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        count = len(outcome.samples)
        return with_samples(outcome, status=np.zeros(count, dtype=np.int64), ok=np.zeros(count, dtype=np.bool_))

    target = SimulatedTarget({"a": 5})
    target.change = silent
    shared, course = begin(target, tmp_path, profile(WARMUP.replace("5s", "10ms")))
    shared.warm_up(course)
    assert course.warmup == ()


def test_phases_that_the_profile_lacks_are_not_played(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(STEADY))
    shared.warm_up(course)
    assert course.warmup is None
    assert shared.single_stream(course) is None
    assert shared.offline(course) is None
    with pytest.raises(ValueError, match="no search"):
        shared.probe(course, rate=40, number=0)
    without, other = begin(target, tmp_path, profile(SINGLE))
    with pytest.raises(ValueError, match="no hold"):
        without.hold_block(other, rate=40, block=0)
    assert target.shots == []


def test_each_phase_plays_what_the_profile_says(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(SINGLE, OFFLINE, STEADY, SEARCH))
    shared.single_stream(course)
    shared.offline(course)
    shared.hold_block(course, rate=40, block=2)
    shared.probe(course, rate=10, number=3)
    single, offline, block, probe = (shot for _, shot in target.shots)
    assert (single.kind, single.users, single.requests, single.seconds) == ("closed", 1, 60, None)
    assert (offline.kind, offline.users, offline.requests, offline.seconds) == ("closed", 16, None, 4)
    assert (block.seed, block.seconds, block.stop_when_oversaturated) == (13, 11.2, False)
    assert (probe.seed, probe.seconds, probe.stop_when_oversaturated) == (11 + 1000 + 3, 10, True)
    assert (block.users, probe.users) == (96, 36)
    assert all(shot.timeout_s == 2 for shot in (single, offline, block, probe))
    assert [run.path.name for run in course.book.runs] == [
        "01-single-stream.json",
        "02-offline.json",
        "03-hold.json",
        "04-search.json",
    ]


def test_constant_arrivals_are_evenly_spaced(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    hold, search = (phase.replace("{kind: ", "{arrivals: constant, kind: ") for phase in (STEADY, SEARCH))
    shared, course = begin(target, tmp_path, profile(hold, search))
    shared.hold_block(course, rate=40, block=0)
    shared.probe(course, rate=50, number=0)
    for (_, shot), gap in zip(target.shots, (25_000_000, 20_000_000), strict=True):
        assert shot.schedule is not None
        assert set(np.diff(shot.schedule).tolist()) == {gap}


def test_a_run_is_on_record_with_what_it_was_about_and_its_files(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(STEADY))
    run = shared.hold_block(course, rate=40, block=0)
    record = run.record
    assert run.path == tmp_path / "a" / "local" / "01-hold.json"
    assert (record.id, record.race, record.variant) == ("a/local/01-hold", "race", "a")
    assert (record.node_class, record.phase, record.level) == ("local", "hold", "quick")
    assert (record.address, record.profile_digest) == (course.deployment.candidate.address, shared.profile.digest)
    assert (record.fingerprint, record.generator.node, record.schedule_seed) == ("4be0643f1d98", "local", 11)
    assert (record.planned.rate, record.void, record.stopped) == (40, None, None)
    assert set(record.server) == {"before", "after"}
    before, after = record.server["before"], record.server["after"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert (before["batches"], after["batches"]) == ({}, {"1": record.sent % 2, "2": record.sent // 2})
    log = read_log(run.path.with_name(record.latency.file))
    assert log["intended"].count == record.sent == len(run.samples)
    assert record.latency.file == "01-hold.hdr"
    unmeasured = {proof.check for proof in record.passport if proof.ok is None}
    assert unmeasured == {"not-warm", "unexplained-time", "misplaced", "provider-fallback"}


@pytest.mark.parametrize(
    ("state", "void"), [({"address": "f" * 64}, "wrong-artifact"), ({"preprocessing_hash": "0" * 48}, "skew")]
)
def test_a_growing_queue_excuses_no_other_fault(tmp_path: Path, state: dict[str, str], void: str) -> None:
    target = SimulatedTarget({"a": 30})
    shared, course = begin(target, tmp_path, profile(STEADY))
    kept = shared.hold_block(course, rate=40, block=0)
    assert kept.record.void == "growing-queue"
    target.state.update(state)
    with pytest.raises(VoidError, match="as growing-queue"):
        shared.hold_block(course, rate=40, block=1)
    failed = {proof.check for proof in course.book.runs[-1].record.passport if proof.ok is False}
    assert any(void in check for check in failed)


def test_a_server_that_ends_under_a_growing_queue_is_gone(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 30})
    target.ends_in = {"a": 1}
    shared, course = begin(target, tmp_path, profile(STEADY))
    with pytest.raises(CandidateGoneError, match="signal SIGKILL"):
        shared.hold_block(course, rate=40, block=0)
    assert len(target.shots) == 1


def test_a_server_that_was_replaced_while_it_was_loaded_is_gone(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(STEADY))

    def replaced(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        target.remove(course.deployment.candidate)
        target.deploy(course.deployment.candidate)
        return outcome

    target.change = replaced
    with pytest.raises(CandidateGoneError, match="a ended during hold"):
        shared.hold_block(course, rate=40, block=0)


def test_payloads_other_than_those_of_the_race_make_every_run_void(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(STEADY))
    with pytest.raises(VoidError, match="as payload-drift"):
        replace(shared, payload_digest="0" * 64).hold_block(course, rate=40, block=0)


def test_payloads_that_cannot_be_read_after_a_run_void_it_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(STEADY))
    assert shared.hold_block(course, rate=40, block=0).record.void is None
    read_bytes = Path.read_bytes

    def damaged(path: Path) -> bytes:
        if path == shared.payloads.files[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", damaged)
    with pytest.raises(VoidError, match="as payload-drift"):
        shared.hold_block(course, rate=40, block=1)
    assert [run.record.void for run in course.book.runs] == [None, "payload-drift", "payload-drift"]


def test_a_server_that_is_throttled_makes_the_run_void(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    shared, course = begin(target, tmp_path, profile(OFFLINE, HOLD))

    def throttle(_variant: str, _shot: Shot, outcome: Outcome) -> Outcome:
        target.state["cgroup"] = {"nr_periods": 200 + 100 * len(target.shots), "nr_throttled": 50 * len(target.shots)}
        return outcome

    target.change = throttle
    with pytest.raises(VoidError) as refused:
        shared.hold_block(course, rate=40, block=0)
    assert refused.value.void == "throttled"
    # Offline it is given all it can take, and its share is what is measured.
    assert shared.offline(course) is not None


def test_what_a_run_is_about_does_not_void_it_and_everything_else_does(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.state["threads"] = 8
    shared, course = begin(target, tmp_path, profile(STEADY))
    excused = replace(shared, excused=frozenset({"thread-mismatch"}))
    kept = excused.hold_block(course, rate=40, block=0)
    assert kept.record.void == "thread-mismatch"
    # It is on record, and is not played again.
    assert excused.hold_block(course, rate=40, block=0) is kept
    with pytest.raises(VoidError, match="as thread-mismatch"):
        shared.hold_block(course, rate=40, block=1)
    other = replace(excused, payload_digest="0" * 64)
    with pytest.raises(VoidError, match="as payload-drift"):
        other.hold_block(course, rate=40, block=2)


def test_a_queue_that_grows_counts_beside_what_is_excused(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 30})
    target.state["threads"] = 8
    shared, course = begin(target, tmp_path, profile(STEADY))
    kept = replace(shared, excused=frozenset({"thread-mismatch"})).hold_block(course, rate=40, block=0)
    failed = {proof.check for proof in kept.record.passport if proof.ok is False}
    assert failed >= {"thread-mismatch", "growing-queue"}


def test_time_that_no_stage_counts_is_no_excuse_for_a_queue_that_grows(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 30})
    shared, course = begin(target, tmp_path, profile(STEADY))
    record = shared.hold_block(course, rate=40, block=0).record

    def also(name: str) -> RunRecord:
        passport = [one.model_copy(update={"ok": False}) if one.check == name else one for one in record.passport]
        return record.model_copy(update={"passport": tuple(passport)})

    assert record.void == "growing-queue"
    assert is_kept(also("unexplained-time"))
    assert not is_kept(also("throttled"))
    alone = [one.model_copy(update={"ok": one.check != "unexplained-time"}) for one in record.passport]
    assert not is_kept(record.model_copy(update={"passport": tuple(alone), "void": "unexplained-time"}))
