"""What runs in the process of a Ray Serve replica: the engine, and the batches that Ray makes of what comes in.

It can be asked when it exists: the constructor checks digests and loads the engine, also in a replica that Ray starts
in place of one that ended. A refusal is kept and told instead of raised, because Ray would try the same artifact again
and again. The golden question is asked from outside, through all that a request goes through.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ray import serve

from predictors.errors import ArtifactError
from predictors.manifest import Variant, verify_files
from predictors.runtimes import Array, Runtime, ort

__all__ = ["Introduction", "Replica", "Reply"]

Tensors = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who answers: the process, the providers of its engine, and why it refuses the artifact where it does."""

    pid: int
    providers: Sequence[str]
    refusal: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The outputs of one request.

    Attributes:
        outputs: Outputs by name, for the items of this request.
        batch: Items of the batch that it was computed in, in one reply of the batch; 0 in all others.
        began_ns: When the engine began, on this machine's monotonic clock.
        ended_ns: When it ended.
    """

    outputs: Tensors
    batch: int
    began_ns: int
    ended_ns: int


def _count(inputs: Tensors) -> int:
    return len(next(iter(inputs.values())))


class Replica:
    """A deployment of one artifact."""

    def __init__(self, folder: Path, variant: Variant, threads: int, largest: int) -> None:
        self._engine: Runtime | None = None
        self._refusal: tuple[str, str] | None = None
        # What Ray delivers while a batch is computed gathers for the next one only if the event loop is free.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self.gather(largest, 0.0)
        try:
            verify_files(folder, variant)
            self._engine = ort.load(folder, variant, threads=threads)
        except ArtifactError as error:
            self._refusal = (str(error), error.hint)

    def introduce(self) -> Introduction:
        """Tell who answers, and whether it may."""
        providers = self._engine.providers if self._engine is not None else ()
        return Introduction(os.getpid(), providers, self._refusal)

    def gather(self, largest: int, delay_s: float) -> None:
        """Let a batch of several requests have at most so many items, and wait so long for more."""
        self._compute.set_max_batch_size(largest)  # type: ignore[attr-defined]
        self._compute.set_batch_wait_timeout_s(delay_s)  # type: ignore[attr-defined]

    async def __call__(self, inputs: Tensors) -> Reply:
        """Answer one request, in whichever batch Ray puts it.

        Only single items are gathered: one that does not fit any more goes to the end of Ray's queue, where a request
        of many could wait for ever, and a request above Ray's limit fails.
        """
        if _count(inputs) > 1:
            return (await self._compute_in_thread([inputs]))[0]
        reply: Reply = await self._compute(inputs)
        return reply

    # Without a delay: while a batch is computed, the next one gathers.
    @serve.batch(max_batch_size=1, batch_wait_timeout_s=0.0)
    async def _compute(self, requests: list[Tensors]) -> list[Reply]:
        return await self._compute_in_thread(requests)

    async def _compute_in_thread(self, requests: list[Tensors]) -> list[Reply]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.compute, requests)

    def compute(self, requests: Sequence[Tensors]) -> list[Reply]:
        """Run one batch and give each request its part of the outputs."""
        if self._engine is None:
            raise RuntimeError("a refused artifact was asked")
        began = time.monotonic_ns()
        feed = requests[0]
        if len(requests) > 1:
            feed = {name: np.concatenate([inputs[name] for inputs in requests]) for name in requests[0]}
        outputs = self._engine.run(feed)
        ended = time.monotonic_ns()
        replies = []
        start, whole = 0, sum(_count(inputs) for inputs in requests)
        for inputs in requests:
            stop = start + _count(inputs)
            part = {name: values[start:stop] for name, values in outputs.items()}
            replies.append(Reply(part, 0 if start else whole, began, ended))
            start = stop
        return replies
