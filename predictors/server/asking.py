"""The core as a coroutine, for front ends that live in tasks anyway: gRPC and KServe's model server.

Our own HTTP front end goes without a task a request (see `prediction`); admission, queue, deadline and
cancellation are the same.
"""

import asyncio
import time
from collections.abc import Callable

from predictors.errors import DeadlineError, PredictorError
from predictors.server.answer import Call, Tensors
from predictors.server.core import Predictor
from predictors.server.job import Job
from predictors.server.timing import DECODE, Stopwatch

__all__ = ["ask"]


async def ask(
    predictor: Predictor,
    understand: Callable[[], Call],
    watch: Stopwatch,
    *,
    timeout_s: float | None = None,
    is_large: bool = False,
    is_accepted: bool = False,
) -> tuple[Call, Tensors]:
    """Compute one request and give what was understood with the engine's outputs by name.

    If the task is canceled, the work is taken out of the queue.

    Args:
        predictor: Whom to ask.
        understand: Makes the call of the request, once it is admitted.
        watch: Started when the request came; it has the time of every stage in the end.
        timeout_s: Seconds from now on after which nobody wants the answer; None for the settings' own.
        is_large: Whether to understand it away from the event loop, where that takes long.
        is_accepted: Whether the front end itself refuses what comes after the end of the pre-stop margin.

    Raises:
        NotReadyError: The model takes nothing now.
        InputError: The request is not what the model takes.
        OverloadError: The queue is full.
        DeadlineError: The time is over.
    """
    predictor.admit(watch.started_ns, is_accepted=is_accepted)
    understood: list[Call] = []

    def prepare() -> Tensors:
        """In the preparation's thread."""
        call = understood[0] if understood else _understand(understood, understand, watch)
        if call.inputs is not None:
            return call.inputs
        if call.prepare is None:
            raise PredictorError("a request was understood to hold nothing")
        return call.prepare(watch)

    call = None if is_large else _understand(understood, understand, watch)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Job] = loop.create_future()
    limit_s = predictor.settings.timeout_s if timeout_s is None else timeout_s
    job = Job(
        call.items if call else 1,
        lambda job: None if done.done() else done.set_result(job),
        watch,
        inputs=call.inputs if call else None,
        prepare=prepare if call is None or call.inputs is None else None,
        is_sized=call is not None,
        deadline_ns=time.monotonic_ns() + int(limit_s * 1e9),
    )
    predictor.submit(job)
    timer = loop.call_later(max(0.0, limit_s), predictor.expire, job)
    try:
        await done
    except asyncio.CancelledError:
        predictor.cancel(job)
        raise
    finally:
        timer.cancel()
    if job.error is not None:
        raise job.error
    if not job.outputs:
        raise DeadlineError("the deadline passed before the answer was there", "allow more time")
    return understood[0], job.outputs


def _understand(understood: list[Call], understand: Callable[[], Call], watch: Stopwatch) -> Call:
    call = understand()
    understood.append(call)
    watch.mark(DECODE)
    return call
