"""The predictor itself: one model, its engine, its queue, and whether it may be asked.

States follow each other and never go back: loading, ready, draining (not ready, still serving), refusing
(finishing what was accepted). Front ends ask this object and nothing else, so that every protocol has the
same admission.
"""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, TypeVar

from predictors.errors import NotReadyError
from predictors.imaging import Preprocessing
from predictors.runtimes import OwnBatches, Roaming
from predictors.server.batcher import Batcher, BatchPolicy
from predictors.server.decoder.keeper import Decoder
from predictors.server.images import ImageReader
from predictors.server.job import Job
from predictors.server.lane import Lane, Outcome
from predictors.server.loading import Engine, timed
from predictors.server.memory import return_freed
from predictors.server.model import ServedModel
from predictors.server.origin import Origin
from predictors.server.relay import Relay
from predictors.server.settings import Settings

__all__ = ["Health", "Predictor", "State"]

_log = logging.getLogger(__name__)

_CLOSE_S = 0.5
# Health waits no longer than that for an engine that computes on the event loop.
_BRIEF_S = 0.001
_PATIENCE = 10
_HUNG = 3

T = TypeVar("T")


class State(StrEnum):
    """What the predictor does with new work."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    REFUSING = "refusing"


class Health(NamedTuple):
    """What probes ask."""

    is_live: bool = True
    is_ready: bool = True


class Predictor:
    """A model that can be asked, once it is opened (it is known what it takes) and loaded (it is warm).

    Attributes:
        images: Reads encoded images, where the model takes any.
        whole: Of the server that it is one of several processes of. Whoever asks one of them means all.
    """

    def __init__(self, origin: Origin, settings: Settings) -> None:
        self.settings = settings
        self.state = State.LOADING
        self.whole = Health()
        self.ready_s: dict[str, float] = {}
        self.engine: Engine | None = None
        self.batcher: Batcher | Relay | None = None
        self.images: ImageReader | None = None
        self._origin = origin
        self._model = origin.model
        if self._model is not None and self._model.preprocessing is not None:
            self.images = _reader(self._model, self._model.preprocessing)
        self._began = time.monotonic()
        self._refused_since_ns = 0
        self._compute: Lane | None = None
        self._preparation: Lane | None = None

    @property
    def model(self) -> ServedModel:
        """What is served; there is none before a bare model is opened."""
        if self._model is None:
            raise RuntimeError("the model was asked for before it was opened")
        return self._model

    @property
    def health(self) -> Health:
        """Of this process alone."""
        is_lost = self.batcher is not None and self.batcher.is_lost
        is_lost = is_lost or (self.images is not None and self.images.decoder.is_lost)
        stalled_for = self._stalled_for()
        return Health(
            is_live=stalled_for < _HUNG, is_ready=self.state is State.READY and not is_lost and stalled_for < 1
        )

    @property
    def is_ready(self) -> bool:
        """Whether new work is welcome: not while the engine is gone or does not come back from a batch."""
        return self.whole.is_ready and self.health.is_ready

    @property
    def is_live(self) -> bool:
        """Whether it is worth waiting for; an engine that has not come back for three times as long is hung."""
        return self.whole.is_live and self.health.is_live

    @property
    def in_flight(self) -> int:
        """Number of requests accepted and not answered."""
        return self.batcher.in_flight if self.batcher else 0

    def admit(self, started_ns: int, *, is_accepted: bool = False) -> None:
        """Let a request in whose first byte came at `started_ns`, or which a library has accepted already.

        Raises:
            NotReadyError: The model is still loading, or the request came after work was refused.
        """
        state = self.state
        is_late = state is State.REFUSING and started_ns >= self._refused_since_ns and not is_accepted
        if state is State.LOADING or is_late:
            raise NotReadyError("the model takes no requests now", "come again, or ask another replica")

    def fork(self) -> None:
        """Make the processes that it needs out of this one, which has one thread and no event loop yet.

        Raises:
            WorkerError: There is no room for them.
        """
        if self.images is not None:
            self.images.decoder.fork()

    async def open(self) -> None:
        """Learn what the model takes and gives, where that is not known already.

        Raises:
            ArtifactError: The model is refused.
        """
        if self._model is None:
            self._model = await self._in_engine(self._origin.open)

    async def load(self) -> None:
        """Load and check the model in the engine's own thread, then become ready.

        Raises:
            ArtifactError: The model is refused.
            WorkerError: Images cannot be decoded.
        """
        if self.images is not None:
            self.images.decoder.open()
        self.start(await self._in_engine(self._load))

    def start(self, engine: Engine) -> None:
        """Become ready with a warm engine; queue and threads belong to the running event loop."""
        loop = asyncio.get_running_loop()
        compute = self._engine_lane()
        # With one core a second thread would only take turns with the engine; with more it decodes beside it.
        preparation = compute if self.settings.threads == 1 else Lane("preparation", loop)
        self._preparation = preparation
        policy = BatchPolicy(
            max_items=self.settings.max_batch,
            gather=engine.gather,
            delay_s=self.settings.max_delay_s,
            queue=self.settings.queue,
            is_batched=self.model.is_batched,
            brief_s=_BRIEF_S if isinstance(engine.runtime, Roaming) else 0.0,
        )
        self.engine = engine
        if isinstance(engine.runtime, OwnBatches):
            self.batcher = Relay(engine.runtime, loop, policy=policy, preparation=preparation)
        else:
            self.batcher = Batcher(
                engine.runtime.run,
                loop,
                policy=policy,
                engine=compute,
                preparation=preparation,
                warmed=engine.warmed,
            )
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
        """Let engine and threads end; tell whether they did, which an engine in the midst of its work does not."""
        if self.engine is not None and isinstance(self.batcher, Relay):
            self.batcher.close()
            # Its processes end when asked to, whatever they do.
            self.engine.runtime.close()
        if self.images is not None:
            self.images.decoder.close()
        lanes = {lane for lane in (self._compute, self._preparation) if lane is not None}
        return all(lane.close(_CLOSE_S) for lane in lanes)

    def _load(self) -> Engine:
        engine = self._origin.load()
        if self.images is not None:
            with timed(engine.ready_s, "decoder"):
                self.images.decoder.wait()
        if isinstance(engine.runtime, OwnBatches):
            engine.runtime.gather(engine.gather, self.settings.max_delay_s)
        return_freed()
        return engine

    def _stalled_for(self) -> float:
        """Tell how long the present batch has been computed, as a share of what a batch may take."""
        if self.batcher is None or self.engine is None:
            return 0.0
        return self.batcher.computing_s() / max(self.settings.stall_s, _PATIENCE * self.engine.batch_s)

    def _engine_lane(self) -> Lane:
        if self._compute is None:
            self._compute = Lane("engine", asyncio.get_running_loop())
        return self._compute

    async def _in_engine(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[Outcome[T]] = asyncio.get_running_loop().create_future()
        self._engine_lane().put(work, done.set_result)
        return (await done).result()


def _reader(model: ServedModel, preprocessing: Preprocessing) -> ImageReader:
    name = model.variant.inputs[0].name
    if sys.platform != "linux":
        _log.warning("images are decoded in the server's own process on this system")
        return ImageReader(preprocessing, name)
    return ImageReader(preprocessing, name, Decoder(preprocessing, model.body_bytes))
