"""Ray Serve: the engine in a replica, a process of its own, with the batching that Ray does.

The front end stays ours and asks through a handle; no port of Ray's serves anybody. The replica's engine is ONNX
Runtime with threads equal to the CPU share. Ray starts a replica anew that ended; until the new one has answered, this
runtime says for how long there has been none. It costs seconds to start, hundreds of MB and milliseconds a request, so
it is here to be compared with.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from ray.exceptions import RayActorError, RayError, TaskCancelledError

from predictors.errors import ArtifactError, OverloadError
from predictors.golden import check_golden
from predictors.localray import LocalRay
from predictors.manifest import Variant
from predictors.runtimes import Array, Asked, check_options

__all__ = ["RayRuntime", "load"]

_LARGEST: Final = 8
_ANSWER_S: Final = 120.0
# A thread that waits cannot be canceled: what the guard asks keeps the server from its exit for so long at most.
_TRY_S: Final = 5.0
_AGAIN_S: Final = 0.2
_REQUESTS: Final = 100_000
_numbers = itertools.count()


class RayRuntime:
    """An application of Ray Serve with one replica."""

    def __init__(self, folder: Path, variant: Variant, threads: int) -> None:
        self._folder, self._variant = folder, variant
        self._gathering = (_LARGEST, 0.0)
        self._lost_since = 0.0
        self._handle = _deploy(f"podium-{os.getpid()}-{next(_numbers)}", folder, variant, threads)
        self._pid, self.providers = self._introduced(_ANSWER_S)

    @property
    def pid(self) -> int:
        """The replica's process."""
        return self._pid

    @property
    def outage_s(self) -> float:
        """For how many seconds there has been no replica; 0 while there is one."""
        return time.monotonic() - self._lost_since if self._lost_since else 0.0

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs, in a batch of their own unless others ask meanwhile."""
        return self._answered(_ANSWER_S, batch)

    def gather(self, largest: int, delay_s: float) -> None:
        """Let the replica put at most so many items into a batch of several requests."""
        self._gathering = (largest, delay_s)
        self._gathered(_ANSWER_S)

    async def ask(self, batch: Mapping[str, Array]) -> Asked:
        """Compute all outputs in the replica's next batch; any number may ask at once.

        Raises:
            OverloadError: There is no replica, or it ended before it answered.
        """
        if self._lost_since:
            raise _lost()
        response = self._handle.remote(dict(batch))
        try:
            reply = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (RayActorError, TaskCancelledError) as error:
            raise _lost() from error
        return Asked(reply.outputs, reply.batch, reply.began_ns, reply.ended_ns)

    async def guard(self) -> None:
        """Wait until the replica ends, and then until the one that Ray starts in its place answers rightly.

        Raises:
            ArtifactError: The new replica refuses the artifact or answers otherwise; then there is none for good.
        """
        await _end_of(self._pid)
        self._lost_since = time.monotonic()
        ended, patience_s = self._pid, _TRY_S
        while self._pid == ended:
            await asyncio.sleep(_AGAIN_S)
            try:
                self._pid, self.providers = await asyncio.to_thread(self._introduced, _TRY_S)
                await asyncio.to_thread(self._gathered, _TRY_S)
                run = partial(self._answered, patience_s)
                await asyncio.to_thread(check_golden, self._folder, self._variant, run)
            except TimeoutError:
                # It is still starting, or its model takes long to answer.
                self._pid, patience_s = ended, min(2 * patience_s, _ANSWER_S)
            except RayError:
                self._pid = ended
        self._lost_since = 0.0

    def close(self) -> None:
        """End Ray with all of its processes, unless somebody else in this process uses it."""
        LocalRay.leave()

    def _answered(self, timeout_s: float, batch: Mapping[str, Array]) -> dict[str, Array]:
        return dict(self._handle.remote(dict(batch)).result(timeout_s=timeout_s).outputs)

    def _gathered(self, timeout_s: float) -> None:
        self._handle.gather.remote(*self._gathering).result(timeout_s=timeout_s)

    def _introduced(self, timeout_s: float) -> tuple[int, Sequence[str]]:
        who = self._handle.introduce.remote().result(timeout_s=timeout_s)
        if who.refusal is not None:
            raise ArtifactError(*who.refusal)
        return who.pid, who.providers


def load(folder: Path, variant: Variant, *, threads: int) -> RayRuntime:
    """Start Ray and wait until a replica has checked the artifact, loaded it and answered.

    Raises:
        ArtifactError: The replica refuses the artifact, or Ray cannot start one.
    """
    check_options(variant, {"model"})
    try:
        LocalRay.enter(threads)
    except RuntimeError as error:
        raise ArtifactError(f"{variant.id}: {error}", "give it 1 GiB of memory and a writable /tmp") from error
    try:
        return RayRuntime(folder.resolve(), variant, threads)
    except BaseException as error:
        LocalRay.leave()
        if isinstance(error, RayError | RuntimeError | TimeoutError):
            raise ArtifactError(f"{variant.id}: Ray Serve cannot start a replica", "read its log") from error
        raise


def _deploy(name: str, folder: Path, variant: Variant, threads: int) -> Any:
    from ray import serve

    from predictors.runtimes.ray_replica import Replica

    decorate = serve.deployment(
        name="Replica",
        num_replicas=1,
        # Our front end bounds what waits; Ray passes on all of it, so that batches can gather.
        max_ongoing_requests=_REQUESTS,
        ray_actor_options={"num_cpus": threads},
        health_check_period_s=1.0,
        graceful_shutdown_timeout_s=5.0,
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location="Disabled", logging_config={"log_level": "ERROR", "enable_access_log": False})
    application = decorate(Replica).bind(folder, variant, threads, _LARGEST)
    return serve.run(application, name=name, route_prefix=None)


def _lost() -> OverloadError:
    return OverloadError(
        "the replica has ended and another one is being started", "come again later", retry_after_s=5.0
    )


async def _end_of(pid: int) -> None:
    """Wait until a process of this machine is gone, however it ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
