"""The runtime in front of Ray Serve without a Ray: what it leaves when a start fails, and how long it holds an exit.

The handle here stands in for Ray's own; that Ray starts, answers and ends is tested with a server.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import RayError

from predictors.errors import ArtifactError
from predictors.localray import LocalRay
from predictors.manifest import RuntimeSpec, Variant, read_variant
from predictors.runtimes import ray as runtime
from predictors.runtimes.ray_replica import Introduction
from tests.artifacts import vector_artifact

MISSING = 2**22 + 1  # no process has this id


class Handle:
    """What Ray gives to ask an application with: every call waits for the answer that `introduce` gives."""

    def __init__(self, introduce: Callable[[float], Introduction]) -> None:
        self._introduce = introduce
        self.introduce = self

    def remote(self) -> "Handle":
        return self

    def result(self, timeout_s: float) -> Introduction:
        return self._introduce(timeout_s)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The CPUs of each start and a 0 for each end."""
    found: list[int] = []
    monkeypatch.setattr(LocalRay, "_start", found.append)
    monkeypatch.setattr(LocalRay, "_stop", lambda: found.append(0))
    return found


def variant_of(folder: Path) -> Variant:
    spec = RuntimeSpec(name="ray", provider="CPUExecutionProvider")
    return read_variant(folder).model_copy(update={"runtime": spec})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path / "artifact")


def fail(error: BaseException) -> Callable[[float], Introduction]:
    def introduce(_: float) -> Introduction:
        raise error

    return introduce


@pytest.mark.parametrize(
    ("introduce", "expected"),
    [
        (fail(RayError("gone")), ArtifactError),
        (fail(TimeoutError()), ArtifactError),
        (fail(KeyboardInterrupt()), KeyboardInterrupt),
        (lambda _: Introduction(1, (), ("it is damaged", "rebuild it")), ArtifactError),
    ],
    ids=["ray", "time", "interrupt", "refusal"],
)
def test_a_start_that_fails_leaves_ray_once(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    ends: list[int],
    introduce: Callable[[float], Introduction],
    expected: type[BaseException],
) -> None:
    monkeypatch.setattr(runtime, "_deploy", lambda *_: Handle(introduce))
    for _ in range(2):
        with pytest.raises(expected):
            runtime.load(folder, variant_of(folder), threads=3)
    # The second start is one again, with the same CPUs.
    assert ends == [3, 0, 3, 0]


async def test_a_guard_that_is_ended_holds_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch, folder: Path, ends: list[int]
) -> None:
    waits: list[float] = []
    asked = threading.Semaphore(0)
    first = Introduction(MISSING, (), None)

    def introduce(timeout_s: float) -> Introduction:
        waits.append(timeout_s)
        if len(waits) == 1:
            return first
        asked.release()
        raise TimeoutError

    monkeypatch.setattr(runtime, "_deploy", lambda *_: Handle(introduce))
    monkeypatch.setattr(runtime, "_AGAIN_S", 0.0)
    engine = runtime.load(folder, variant_of(folder), threads=1)
    guard = asyncio.create_task(engine.guard())
    for _ in range(3):
        assert await asyncio.to_thread(asked.acquire, timeout=60)
    assert engine.outage_s > 0
    guard.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guard
    engine.close()
    assert waits[0] > 60, "a first start may take long"
    assert max(waits[1:]) <= 5
    assert ends == [1, 0]
