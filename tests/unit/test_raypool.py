"""A worker's own view: it tells whether it sees the same folders, and what its child said; the pool lives with that.

The pool runs against stand-ins for Ray's functions, which plan each worker's answers and its end; the real Ray is in
`tests/contract/test_build_ray.py`.
"""

import importlib.metadata
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from podium import raypool
from podium.errors import MachineError
from podium.fanout import Job, Ledger, Outcome
from podium.raypool import Place, RayPool, Worker
from tests.sources import stripes_source


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "proof").touch()
    return Place(stripes_source(tmp_path / "model", images=1), tmp_path / "store", None, logs=tmp_path / "logs")


def test_a_worker_that_sees_all_tells_its_version(place: Place) -> None:
    assert Worker(place).sees("proof") == importlib.metadata.version("podium")


@pytest.mark.parametrize("name", ["store/proof", "model/model.yaml"])
def test_a_worker_without_the_folders_says_which(place: Place, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    said = Worker(place).sees("proof")
    assert said.startswith("it does not see the ")
    assert str((tmp_path / name).parent) in said


def test_a_refusal_and_the_end_of_a_child_are_answers(place: Place, tmp_path: Path) -> None:
    worker = Worker(place)
    (place.model / "model.onnx").write_bytes(b"nothing")
    refused = worker.do(Job("build:x", "build", "stripes-ort-fp32"), {})
    assert refused.result is None
    assert refused.refusal[0]
    # A variant that no list holds is a mistake of the caller's, and the child ends with it.
    lost = worker.do(Job("build:x", "build", "nothing"), {})
    assert "The builder ended" in lost.lost
    assert worker.do(Job("build:x", "build", "stripes-ort-fp32"), {}).refusal == refused.refusal
    worker.close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_where_no_cluster_is_it_is_said_at_once(place: Place, address: str) -> None:
    with (
        pytest.raises(MachineError, match=f"no Ray cluster at {address}"),
        RayPool(address, place, workers=1, note=lambda _: None),
    ):
        pass


def test_a_list_of_ones_own_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("variants: []")
    assert Place(tmp_path, tmp_path, "mine.yaml", logs=tmp_path).recipes == str(tmp_path / "mine.yaml")
    assert Place(tmp_path, tmp_path, "ray", logs=tmp_path).recipes == "ray"


class Answer:
    """What Ray promises: there already, or never."""

    def __init__(self, value: object = None, *, never: bool = False) -> None:
        self.value, self.never = value, never


class Method:
    """What is called with `remote`, and promises a new answer each time."""

    def __init__(self, planned: Answer) -> None:
        self._planned = planned

    def remote(self, *_: object) -> Answer:
        return Answer(self._planned.value, never=self._planned.never)


class Actor:
    """A worker that answers what was planned for it."""

    def __init__(self, sees: Answer, does: Answer) -> None:
        self.sees, self.do, self.close = Method(sees), Method(does), Method(Answer())


class Hiring:
    def __init__(self, actors: Iterator[Actor]) -> None:
        self._actors = actors

    def remote(self, _: Place) -> Actor:
        return next(self._actors)


class Cluster:
    """Ray's own functions, as far as the pool calls them, over planned workers."""

    def __init__(self, *actors: Actor, cpus: int = 2) -> None:
        self._actors = iter(actors)
        self._cpus = cpus
        self.killed: list[Actor] = []
        self.calls: list[str] = []
        self.fault: Exception | None = None

    def init(self, **_: object) -> None:
        self.calls.append("init")

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self._cpus, "memory": 64 << 30}

    def remote(self, **_: object) -> Callable[[type], Hiring]:
        return lambda _: Hiring(self._actors)

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)
        if self.fault is not None:
            raise self.fault

    def wait(
        self, answers: list[Answer], *, num_returns: int, timeout: float | None = None
    ) -> tuple[list[Answer], list[Answer]]:
        there = [answer for answer in answers if not answer.never][:num_returns]
        assert there or timeout is not None, "the pool waits for an answer that never comes"
        return there, [answer for answer in answers if answer not in there]

    def get(self, asked: Answer | list[Answer], *, timeout: float | None = None) -> object:
        if isinstance(asked, list):
            return [self.get(answer, timeout=timeout) for answer in asked]
        if asked.never:
            assert timeout is not None, "the pool waits for an answer that never comes"
            raise GetTimeoutError
        if isinstance(asked.value, Exception):
            raise asked.value
        return asked.value


SEES = Answer(importlib.metadata.version("podium"))
NEVER = Answer(never=True)
DONE = Answer(Outcome(result={"folder": "x"}))
JOBS = [Job("build:a", "build", "a"), Job("build:b", "build", "b")]


def died() -> Answer:
    return Answer(RayActorError())


def task_error() -> Answer:
    fault = OSError(28, "No space left on device")
    trace = f"ray::Worker.do() (pid=1)\n  File worker.py, line 1\nOSError: {fault}"
    error: Any = RayTaskError
    return Answer(error("do", trace, fault, proctitle="x", pid=1, ip="127.0.0.1").as_instanceof_cause())


@pytest.fixture
def cluster_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Cluster], str]]:
    """Put a cluster in Ray's place and return the address of something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def put(cluster: Cluster) -> str:
            monkeypatch.setattr(raypool, "ray", cluster)
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield put


CreateCluster = Callable[[Cluster], str]


def worked(address: str, place: Place, jobs: list[Job]) -> tuple[Ledger, list[str]]:
    ledger, said = Ledger(jobs), list[str]()
    with RayPool(address, place, workers=2, note=said.append) as pool:
        pool.work(ledger)
    return ledger, said


def test_a_worker_that_died_is_replaced(place: Place, cluster_at: CreateCluster) -> None:
    cluster = Cluster(Actor(SEES, died()), Actor(SEES, DONE), Actor(SEES, DONE))
    ledger, said = worked(cluster_at(cluster), place, JOBS)
    assert set(ledger.done) == {"build:a", "build:b"}
    assert sum("its process was killed); another one tries" in line for line in said) == 1
    assert cluster.calls == ["init", "shutdown"]
    assert len(set(cluster.killed)) == 3
    assert [path.name for path in place.store.iterdir()] == ["proof"]


def test_a_worker_that_is_never_placed_again_is_let_go_and_the_other_goes_on(
    place: Place, cluster_at: CreateCluster
) -> None:
    nowhere = Actor(NEVER, DONE)
    cluster = Cluster(Actor(SEES, DONE), Actor(SEES, died()), nowhere)
    ledger, said = worked(cluster_at(cluster), place, JOBS)
    assert set(ledger.done) == {"build:a", "build:b"}
    assert any("no successor; workers left: 1. The Ray cluster gave no worker within 120 s." in line for line in said)
    assert nowhere in cluster.killed


def test_without_any_worker_left_the_build_ends_with_the_reason(place: Place, cluster_at: CreateCluster) -> None:
    cluster = Cluster(Actor(SEES, died()), Actor(NEVER, DONE), cpus=1)
    address = cluster_at(cluster)
    with pytest.raises(MachineError, match="gave no worker within 120 s"):
        worked(address, place, JOBS)
    assert cluster.calls == ["init", "shutdown"]


def test_a_fault_inside_a_worker_is_a_lost_job_and_no_trace(place: Place, cluster_at: CreateCluster) -> None:
    cluster = Cluster(*(Actor(SEES, task_error()) for _ in range(3)), cpus=1)
    ledger, said = worked(cluster_at(cluster), place, JOBS[:1])
    sentence, _ = ledger.failed["build:a"]
    assert sentence == "its worker ended 3 times: OSError: [Errno 28] No space left on device"
    assert sum("another one tries" in line for line in said) == 2
    # What the child of such a worker was at is unknown, so that none of them had a second job.
    assert len(set(cluster.killed)) == 3


@pytest.mark.parametrize(
    ("sees", "sentence"),
    [
        (NEVER, "The Ray cluster gave no worker within 120 s."),
        (task_error(), "A Ray worker failed before it had a job: OSError: [Errno 28] No space left on device."),
        (Answer("0.0.1"), "A Ray worker cannot build here: it has podium 0.0.1, not "),
    ],
    ids=["never placed", "fault", "version"],
)
def test_each_reason_why_there_is_no_worker_has_its_sentence(
    place: Place, cluster_at: CreateCluster, sees: Answer, sentence: str
) -> None:
    cluster = Cluster(Actor(SEES, DONE), Actor(sees, DONE))
    address = cluster_at(cluster)
    with pytest.raises(MachineError) as caught:
        worked(address, place, JOBS)
    assert str(caught.value).startswith(sentence)
    assert len(cluster.killed) == 2
    assert cluster.calls == ["init", "shutdown"]


@pytest.mark.parametrize("fault", [RayError("no cluster any more"), ValueError("no actor")])
def test_a_worker_that_cannot_be_ended_keeps_nothing_from_being_undone(
    place: Place, cluster_at: CreateCluster, fault: Exception
) -> None:
    cluster = Cluster(Actor(SEES, DONE), Actor(SEES, DONE))
    address, before = cluster_at(cluster), sys.stdout
    pool = RayPool(address, place, workers=2, note=lambda _: None)
    with nullcontext() if isinstance(fault, RayError) else pytest.raises(ValueError, match="no actor"), pool:
        assert sys.stdout is sys.stderr
        cluster.fault = fault
    assert cluster.calls == ["init", "shutdown"]
    assert sys.stdout is before
