"""The predictor itself: one artifact, its engine, its queue, and whether it may be asked.

States follow each other and never go back: loading, ready, draining (not ready, still serving), refusing
(finishing what was accepted). Front ends ask this object and nothing else, so that every protocol has the
same admission.
"""

import asyncio
import gc
import time
from enum import StrEnum
from pathlib import Path

from predictors.fingerprint import environment, fingerprint
from predictors.measured import read_measured
from predictors.server.batcher import Batcher, BatchPolicy
from predictors.server.job import Job
from predictors.server.lane import Lane, Outcome
from predictors.server.loading import Engine, load_engine
from predictors.server.model import ServedModel
from predictors.server.settings import Settings
from predictors.store import StoredVariant

__all__ = ["Predictor", "State"]

_CLOSE_S = 0.5


class State(StrEnum):
    """What the predictor does with new work."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    REFUSING = "refusing"


class Predictor:
    """A variant that can be asked."""

    def __init__(self, stored: StoredVariant, model: ServedModel, settings: Settings) -> None:
        self.model = model
        self.settings = settings
        self.state = State.LOADING
        self.ready_s: dict[str, float] = {}
        self.engine: Engine | None = None
        self.batcher: Batcher | None = None
        self._folder: Path = stored.folder
        self._began = time.monotonic()
        self._refused_since_ns = 0
        self._lanes: list[Lane] = []

    @property
    def is_ready(self) -> bool:
        """Whether new work is welcome."""
        return self.state is State.READY

    @property
    def in_flight(self) -> int:
        """Number of requests accepted and not answered."""
        return self.batcher.in_flight if self.batcher else 0

    def accepts(self, started_ns: int) -> bool:
        """Whether a request whose first byte came at `started_ns` is taken."""
        if self.state is State.REFUSING:
            return started_ns < self._refused_since_ns
        return self.state is not State.LOADING

    async def load(self) -> None:
        """Load and check the artifact in the engine's own thread, then become ready.

        Raises:
            ArtifactError: The artifact is refused.
        """
        loop = asyncio.get_running_loop()
        compute = Lane("engine", loop)
        self._lanes.append(compute)
        loaded: asyncio.Future[Outcome[Engine]] = loop.create_future()
        compute.put(self._load, loaded.set_result)
        engine = (await loaded).result()
        threads = self.settings.threads
        # With one core a second thread would only take turns with the engine; with more it decodes beside it.
        preparation = compute if threads == 1 else Lane("preparation", loop)
        self._lanes.append(preparation)
        policy = BatchPolicy(
            max_items=self.settings.max_batch,
            gather=engine.gather,
            delay_s=self.settings.max_delay_s,
            queue=self.settings.queue,
        )
        self.engine = engine
        self.batcher = Batcher(engine.runtime.run, loop, policy=policy, engine=compute, preparation=preparation)
        self.ready_s = {**engine.ready_s, "total": time.monotonic() - self._began}
        # What is alive now stays alive: later collections need not walk it.
        gc.collect()
        gc.freeze()
        if self.state is State.LOADING:
            self.state = State.READY

    def submit(self, job: Job) -> None:
        """Queue a job.

        Raises:
            OverloadError: The queue is full.
        """
        if self.batcher is None:
            raise RuntimeError("work was submitted before the engine was loaded")
        self.batcher.submit(job)

    def cancel(self, job: Job) -> None:
        """Forget a job whose client has left."""
        if self.batcher is not None:
            self.batcher.cancel(job)

    def expire(self, job: Job) -> None:
        """Answer a job whose deadline has come."""
        if self.batcher is not None:
            self.batcher.expire(job)

    def drain(self) -> None:
        """Stop being ready; work is still taken."""
        self.state = State.DRAINING

    def refuse(self) -> None:
        """Take no work that begins from now on."""
        self.state = State.REFUSING
        self._refused_since_ns = time.monotonic_ns()

    def close(self) -> bool:
        """Let the threads end; tell whether they did, which an engine in the midst of its work does not."""
        return all(lane.close(_CLOSE_S) for lane in self._lanes)

    def _load(self) -> Engine:
        return load_engine(
            self._folder,
            self.model.variant,
            self.model.preprocessing,
            threads=self.settings.threads,
            max_batch=self.settings.max_batch,
            gather=self.settings.gather or self._recorded_gather(),
        )

    def _recorded_gather(self) -> int | None:
        """Read the batch size that `podium benchmark` found to pay on this kind of machine."""
        settings = self.settings
        where = fingerprint(environment(settings.node_class, settings.cpus or 1.0))
        batching = read_measured(self._folder, where).batching
        return batching.max_batch if batching is not None else None
