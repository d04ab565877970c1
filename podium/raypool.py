"""Workers on a Ray cluster for `podium build --ray`: each an actor with the same child process that a race builds with.

The child keeps the engines out of Ray's process, so that what is built is what is built anywhere, and ends with its
actor. There are as many workers as processors and memory allow at 2 GiB each. Store and model folder must be the same
folders everywhere, which is checked before anything is begun; Ray carries jobs and answers, never artifacts.
"""

import contextlib
import importlib.metadata
import os
import socket
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from podium.builder import BUILDING_S, Builder, RefusedError
from podium.errors import MachineError
from podium.fanout import Job, Ledger, Outcome
from predictors.localray import LocalRay

__all__ = ["Place", "RayPool", "Worker"]

_WORKER_BYTES = 2 << 30
_CHECK_S = 120.0
_CLOSE_S = BUILDING_S + 2.0
_CONNECT_S = 5.0


class Place:
    """Where the work is: folders that every worker sees at the same path.

    Attributes:
        model: The model's folder.
        store: The artifact store.
        recipes: Name or file of the recipe list; None for the card's.
        source: Variant that others are judged against; empty for none.
        mark: Fingerprint that qualities are kept under.
        logs: Folder that each worker writes a log to, on its own node.
    """

    def __init__(
        self, model: Path, store: Path, recipes: str | None, *, logs: Path, source: str = "", mark: str = ""
    ) -> None:
        self.model, self.store = model.resolve(), store.resolve()
        file = Path(recipes) if recipes is not None else None
        self.recipes = str(file.resolve()) if file is not None and file.is_file() else recipes
        self.source, self.mark = source, mark
        self.logs = logs


class Worker:
    """One worker; the methods run in its own process, wherever Ray puts it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._notes: list[str] = []
        self._log = place.logs / f"{os.getpid()}.log"
        self._builder = self._child()

    def sees(self, proof: str) -> str:
        """Return what is not as it is where the command was given; empty if all is."""
        version = importlib.metadata.version("podium")
        if not (self._place.store / proof).is_file():
            return f"it does not see the store {self._place.store}"
        if not (self._place.model / "model.yaml").is_file():
            return f"it does not see the model folder {self._place.model}"
        return version

    def do(self, job: Job, folders: dict[str, str]) -> Outcome:
        """Do one job; `folders` names the artifacts that there are, by variant. A child that ends is replaced."""
        self._notes.clear()
        try:
            return Outcome(result=self._done(job, folders), notes=tuple(self._notes))
        except RefusedError as error:
            return Outcome(refusal=(str(error), error.hint), notes=tuple(self._notes))
        except MachineError as error:
            self.close()
            self._builder = self._child()
            return Outcome(lost=str(error), notes=tuple(self._notes))

    def close(self) -> None:
        """End the child, also one that is building, which takes its draft out of the store."""
        self._builder.stop(grace_s=BUILDING_S)

    def _done(self, job: Job, folders: dict[str, str]) -> dict[str, Any]:
        place = self._place
        if job.kind == "build":
            return self._builder.build(
                model_folder=place.model, variant_id=job.variant_id, store=place.store, recipes=place.recipes
            )
        if job.kind == "payloads":
            return {"folder": str(self._builder.payloads(model_folder=place.model))}
        quality = self._builder.quality(
            model_folder=place.model,
            artifact=Path(folders[job.variant_id]),
            source=Path(folders[place.source]),
            fingerprint=place.mark,
        )
        return quality.model_dump(mode="json")

    def _child(self) -> Builder:
        return Builder(log=self._log, progress=self._notes.append)


class RayPool:
    """Workers on a cluster at an address, or on one of this process's own where the address is empty."""

    def __init__(self, address: str, place: Place, *, workers: int, note: Callable[[str], None]) -> None:
        self._address, self._place, self._most, self._note = address, place, workers, note
        self._idle: list[Any] = []
        self._all: list[Any] = []
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._join()
        # From here on all is undone, whatever fails, also while it is undone.
        with contextlib.ExitStack() as undo:
            # Ray says on standard output that a worker died, where a person wants JSON.
            undo.enter_context(contextlib.redirect_stdout(sys.stderr))
            undo.callback(ray.shutdown if self._address else LocalRay.leave)
            undo.callback(self._dismiss)
            self._hire()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def _join(self) -> None:
        if self._address:
            try:
                # Ray itself would try for minutes.
                host, _, port = self._address.removeprefix("ray://").rpartition(":")
                socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
                ray.init(address=self._address, configure_logging=False, log_to_driver=False)
            except (RayError, OSError, RuntimeError, ValueError) as error:
                raise MachineError(
                    f"There is no Ray cluster at {self._address}.",
                    hint="Start one with `ray start --head`, or give --ray no address to use one of its own.",
                ) from error
        else:
            try:
                LocalRay.enter(len(os.sched_getaffinity(0)))
            except RuntimeError as error:
                raise MachineError(str(error), hint="Give it 2 GiB of memory and a writable /tmp.") from error

    def work(self, ledger: Ledger) -> None:
        """Do all jobs, as many at once as there are workers.

        Raises:
            MachineError: No worker can be had any more.
        """
        running: dict[Any, tuple[Any, Job]] = {}
        lost = 0
        while not ledger.is_over:
            for job in ledger.ready()[: len(self._idle)]:
                worker = self._idle.pop()
                ledger.begin(job)
                folders = {
                    name.removeprefix("build:"): str(result["folder"])
                    for name, result in ledger.done.items()
                    if name.startswith("build:")
                }
                running[worker.do.remote(job, folders)] = (worker, job)
            if lost:
                # The others have work while this waits for Ray to place a new one.
                self._replace()
                lost -= 1
                continue
            finished, _ = ray.wait(list(running), num_returns=1)
            worker, job = running.pop(finished[0])
            lost += not self._take(ledger, worker, job, finished[0])

    def _take(self, ledger: Ledger, worker: Any, job: Job, answer: Any) -> bool:
        """Take what came of a job; tell whether its worker can do another one."""
        is_fit = True
        try:
            outcome = ray.get(answer)
        except RayError as error:
            # Whatever it was, the worker's child may be in the middle of something.
            self._drop(worker)
            is_fit = False
            outcome = Outcome(lost="its process was killed" if isinstance(error, RayActorError) else _reason(error))
        else:
            self._idle.append(worker)
        for line in outcome.notes:
            self._note(line)
        if not outcome.lost:
            ledger.end(job, outcome)
        elif ledger.lose(job, outcome.lost):
            self._note(f"{job.variant_id or job.name}: the worker ended ({outcome.lost}); another one tries")
        return is_fit

    def _hire(self) -> None:
        have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        room = min(int(have.get("CPU", 1)), int(have.get("memory", _WORKER_BYTES) // _WORKER_BYTES))
        count = max(1, min(self._most, room))
        self._idle = [self._hired() for _ in range(count)]
        self._check(self._idle)
        self._note(f"{count} Ray workers")

    def _replace(self) -> None:
        """Hire a worker for one that died, unless there is no place for it or it cannot build; the others go on.

        Raises:
            MachineError: There are no others.
        """
        worker = self._hired()
        try:
            self._check([worker])
        except MachineError as error:
            self._drop(worker)
            if not self._all:
                raise
            self._note(f"a worker that ended has no successor; workers left: {len(self._all)}. {error}")
        else:
            self._idle.append(worker)

    def _check(self, workers: Sequence[Any]) -> None:
        """Prove that the workers run, see the same folders and have the same version.

        Raises:
            MachineError: One does not, or does not answer in time.
        """
        proof = self._place.store / f".{uuid.uuid4().hex}"
        self._place.store.mkdir(parents=True, exist_ok=True)
        proof.touch()
        try:
            seen = ray.get([worker.sees.remote(proof.name) for worker in workers], timeout=_CHECK_S)
        except GetTimeoutError as error:
            raise MachineError(
                f"The Ray cluster gave no worker within {_CHECK_S:.0f} s.",
                hint="A worker needs a processor, 2 GiB and this version of podium with podium[build,serve-ray].",
            ) from error
        except RayError as error:
            raise MachineError(
                f"A Ray worker failed before it had a job: {_reason(error)}.",
                hint="A worker needs 2 GiB, the store and the model folder, and podium[build,serve-ray].",
            ) from error
        finally:
            proof.unlink(missing_ok=True)
        mine = importlib.metadata.version("podium")
        for answer in seen:
            if answer != mine:
                problem = answer if answer.startswith("it ") else f"it has podium {answer}, not {mine}"
                raise MachineError(
                    f"A Ray worker cannot build here: {problem}.",
                    hint="Mount the same folders at the same paths on all nodes, and install the same version.",
                )

    def _hired(self) -> Any:
        # The memory is promised to each; what is lost is tried anew by us, not by Ray.
        # A second call at a time is for its end: the first one may be in the middle of a build.
        remote: Any = ray.remote
        hire = remote(num_cpus=1, memory=_WORKER_BYTES, max_restarts=0, max_task_retries=0, max_concurrency=2)
        worker = hire(Worker).remote(self._place)
        self._all.append(worker)
        return worker

    def _drop(self, worker: Any) -> None:
        self._all.remove(worker)
        # One that is gone already, or whose cluster is, needs no ending.
        with contextlib.suppress(RayError):
            ray.kill(worker)

    def _dismiss(self) -> None:
        # What is killed leaves its draft; one that died, or whose cluster did, has nothing to close.
        with contextlib.suppress(RayError):
            ray.wait([worker.close.remote() for worker in self._all], num_returns=len(self._all), timeout=_CLOSE_S)
        while self._all:
            self._drop(self._all[-1])


def _reason(error: RayError) -> str:
    """Return what an error of Ray's says after the trace of where it arose."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip().removesuffix(".") if lines else type(error).__name__
