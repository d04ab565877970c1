"""Runs in virtual time: the log tells all, whatever ends a run undoes it, and what was planted is caught."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from podium.chaos.campaign import undo_past
from podium.chaos.driver import Driver
from podium.chaos.faultlog import Begin, End, FaultLog, Over, Past, Skip, Whole, read_log
from podium.chaos.plan import Planned, draw
from podium.chaos.report import ChaosReport, build_report
from podium.chaos.spec import Faults
from podium.cluster.errors import ClusterError, DeadlineError
from tests.chaosworld import BEGAN, URI, World, WorldProber, header

ALL = (
    *("pod-delete", "pod-kill", "process-stop", "memory", "artifact"),
    *("drain", "node-stop", "api-server-stop", "dns-down", "metrics-down"),
)


def asked(*kinds: str | dict[str, object], **changes: object) -> Faults:
    services = [{"name": "pie", "golden": [{"json": "x.json", "largest": 0}]}]
    faults = [kind if isinstance(kind, dict) else {"kind": kind} for kind in kinds]
    content = {"name": "pie", "services": services, "rounds": len(kinds), "faults": faults, **changes}
    return Faults.model_validate(content)


class Run:
    """A run in a world, with its log and what it was told."""

    def __init__(self, folder: Path, spec: Faults, world: World | None = None) -> None:
        self.world = world or World()
        self.prober = WorldProber(self.world)
        self.log = FaultLog(folder / "faults.jsonl")
        self.log.write(header())
        self.spec = spec
        self.said: list[str] = []
        site = self.world.site()
        self.driver = Driver(site, self.prober, self.log, spec, began=BEGAN, say=self.said.append)

    def play(self, planned: tuple[Planned, ...] | None = None) -> ChaosReport:
        seen = self.driver.run(draw(self.spec) if planned is None else planned)
        return build_report(
            self.spec,
            seen,
            self.driver.made,
            self.driver.skipped,
            began=BEGAN,
            folder=self.log.path.parent,
            context="kind-podium",
            namespace="podium",
            command="podium chaos",
        )

    def past(self) -> Past:
        return read_log(self.log.path)

    def is_as_before(self) -> bool:
        world = self.world
        is_cordoned = any(node["spec"].get("unschedulable") for node in world.nodes.values())
        uri = world.service["spec"]["predictor"]["model"]["storageUri"]
        stopped = sum(call.startswith("STOP") for call in world.calls)
        resumed = sum(call.startswith("CONT") for call in world.calls)
        return (
            not is_cordoned
            and uri == URI
            and world.scales == World().scales
            and not world.is_down
            and stopped <= resumed
            and sum(call.startswith("stop ") for call in world.calls)
            <= sum(call.startswith("start ") for call in world.calls)
        )


def test_all_faults_are_made_logged_and_held(tmp_path: Path) -> None:
    run = Run(tmp_path, asked(*ALL))
    report = run.play()
    assert (report.status, report.reasons) == ("HELD", ())
    assert sorted(row.kind for row in report.faults) == sorted(ALL)
    assert all(row.whole_after_s is not None and row.whole_after_s >= 0 for row in report.faults)
    assert (report.probe.lost_inside, report.probe.lost_outside, report.probe.wrong) == (1, 0, 0)
    assert {row.kind: row.lost for row in report.faults if row.lost} == {"pod-kill": 1}
    assert report.probe.planned_outside > 500
    assert report.probe.bound == pytest.approx(3 / report.probe.planned_outside, abs=1e-6)
    assert run.is_as_before()
    assert not run.prober.is_up
    events = run.past().events
    assert [type(one) for one in events] == [*[Begin, End, Whole] * len(ALL), Over]
    times = [one.since_s for one in events if not isinstance(one, Over) and one.since_s is not None]
    assert len(times) == 3 * len(ALL)
    assert times == sorted(times)
    assert len(run.said) == 1 + len(ALL)


def test_a_log_is_played_again_to_the_same_faults(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = Run(tmp_path / "first", asked("pod-kill", "drain", "memory", rounds=7))
    first.play()
    again = Run(tmp_path, asked("pod-kill", "drain", "memory", rounds=7, seed=99))
    again.play(first.past().planned())
    assert again.world.calls == first.world.calls
    assert again.past().planned() == first.past().planned()


def test_a_planted_loss_outside_is_proven_and_one_inside_is_not(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("pod-delete", "drain", pause="20s"))
    run.world.later(2.2, lambda: run.world.lose(2.3))
    report = run.play()
    assert report.status == "LOST"
    assert report.reasons == ("1 request lost outside the marked windows, first pie: 503",)
    assert (report.probe.lost_outside, report.lost[0].verdict, report.lost[0].at_s) == (1, "503", 2.3)
    assert report.probe.bound is None


def test_a_planted_wrong_label_is_proven_even_inside_a_window_and_by_a_late_prober(tmp_path: Path) -> None:
    run = Run(tmp_path, asked({"kind": "process-stop", "for": "30s"}))
    run.prober.late_seconds = 50

    def plant() -> None:
        assert any(call.startswith("STOP") for call in run.world.calls)
        run.world.lose(run.world.time, "wrong: 'apple'")

    run.world.later(35, plant)
    report = run.play()
    assert (report.status, report.probe.wrong, report.probe.lost_outside) == ("LOST", 1, 0)
    assert "1 answer had a wrong label, first pie: wrong: 'apple'" in report.reasons


def test_a_fault_that_may_lose_nothing_is_held_to_it(tmp_path: Path) -> None:
    strict = {"kind": "pod-kill", "mayLose": False}
    assert Run(tmp_path, asked(strict)).play().reasons == ("pod-kill 1 lost 1 request, and may lose none",)


def test_services_that_do_not_come_back_are_proven_and_end_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("pod-delete", "drain", "memory", recovery="20s"))
    run.world.lost_pods = True
    report = run.play()
    assert report.status == "LOST"
    assert len(report.faults) == 1
    assert report.reasons[0].startswith("not whole again in time after")
    assert run.is_as_before()


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        ("late_seconds", "the prober fell behind"),
        ("lags_s", "the prober's log ends before the last window does"),
    ],
)
def test_a_prober_that_cannot_be_trusted_settles_nothing(tmp_path: Path, plant: str, reason: str) -> None:
    run = Run(tmp_path, asked("pod-delete"))
    # Planted once it asks, as what it is later.
    run.world.later(3.2, lambda: setattr(run.prober, plant, 500))
    run.world.later(2.0, lambda: run.world.lose(2.0))
    report = run.play()
    assert report.status == "UNSETTLED"
    assert any(reason in one for one in report.reasons)


def test_a_fault_without_a_target_is_skipped_and_no_fault_at_all_settles_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("dns-down"))
    run.world.scales["kube-system/coredns"] = 0
    report = run.play()
    assert (report.status, report.reasons) == ("UNSETTLED", ("no fault was made",))
    assert report.skipped[0].startswith("dns-down: there is no Deployment")
    assert isinstance(run.past().events[0], Skip)


def test_too_little_quiet_time_settles_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("pod-delete", pause="1s", probe={"rate": 1.0}))
    report = run.play()
    assert report.status == "UNSETTLED"
    assert "ask for a longer pause" in report.reasons[0]


def test_time_ends_a_run_that_has_no_number_of_faults(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("pod-delete", rounds=None, **{"for": "3m"}))
    report = run.play()
    assert 3 < len(report.faults) < 30
    assert all(row.began_s < 180 + 30 for row in report.faults)


def test_services_that_are_not_whole_or_do_not_answer_are_no_place_for_faults(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("pod-kill", recovery="5s"), World(replicas=0))
    with pytest.raises(DeadlineError, match="scaled to zero"):
        run.play()
    deaf = Run(tmp_path, asked("pod-kill"))
    deaf.prober.is_deaf = True
    deaf.world.later(1.0, lambda: deaf.world.lose(1.0, "ConnectionRefusedError"))
    with pytest.raises(ClusterError, match="no answer within 30 s: ConnectionRefusedError"):
        deaf.play()
    assert not deaf.prober.is_up
    assert deaf.world.calls == []


@pytest.mark.parametrize("kind", ALL)
def test_ctrl_c_in_the_middle_of_a_fault_undoes_it(tmp_path: Path, kind: str) -> None:
    run = Run(tmp_path, asked(kind))

    def interrupt() -> None:
        if run.world.calls or run.world.time > 300:
            raise KeyboardInterrupt
        run.world.later(0.1, interrupt)

    run.world.later(0.1, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.play()
    assert run.is_as_before()
    assert not run.prober.is_up
    assert run.past().unfinished() == ()


def test_a_fault_that_is_refused_is_undone_and_told(tmp_path: Path) -> None:
    run = Run(tmp_path, asked("drain"))
    run.world.refused.add("evict")
    with pytest.raises(ClusterError, match=r"evict .* is refused"):
        run.play()
    assert run.is_as_before()
    assert isinstance(run.past().events[-1], End)


@pytest.mark.parametrize("kind", [one for one in ALL if one not in {"pod-delete", "pod-kill", "memory"}])
def test_what_a_kill_without_warning_left_is_undone_from_the_log(tmp_path: Path, kind: str) -> None:
    class KilledError(BaseException):
        pass

    run = Run(tmp_path, asked(kind))
    left: list[tuple[World, bytes]] = []

    def kill() -> None:
        if not run.world.calls:
            run.world.later(0.1, kill)
            return
        # A process that is killed writes nothing more and undoes nothing: this is what others find.
        left.append((copy.deepcopy(run.world), run.log.path.read_bytes()))
        raise KilledError

    run.world.later(0.1, kill)
    with pytest.raises(KilledError):
        run.play()
    run.world = left[0][0]
    run.log.path.write_bytes(left[0][1])
    assert not run.is_as_before()
    done = undo_past(run.past(), run.world.site(), run.log)
    assert len(done) == 1
    assert kind in done[0]
    assert run.is_as_before()
    assert run.past().unfinished() == ()
    assert undo_past(run.past(), run.world.site(), run.log) == []
