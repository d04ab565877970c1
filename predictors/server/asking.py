"""The core as a coroutine, for a front end that lives in tasks anyway: KServe's model server.

Our own front ends go without a task a request (see `prediction`); admission, queue, deadline and cancellation
are the same.
"""

import asyncio
import time
from collections.abc import Callable

from predictors.errors import DeadlineError
from predictors.server.answer import Call, Tensors
from predictors.server.core import Predictor
from predictors.server.job import Job
from predictors.server.timing import DECODE, Stopwatch

__all__ = ["ask"]


async def ask(predictor: Predictor, understand: Callable[[], Call], watch: Stopwatch) -> tuple[Call, Tensors]:
    """Compute one request and give what was understood with the engine's outputs by name.

    If the task is canceled, the work is taken out of the queue.

    Args:
        predictor: Whom to ask.
        understand: Makes the call of the request, once it is admitted.
        watch: Started when the request came; it has the time of every stage in the end.

    Raises:
        NotReadyError: The model takes nothing now.
        InputError: The request is not what the model takes.
        OverloadError: The queue is full.
        DeadlineError: The time is over.
    """
    predictor.admit(watch.started_ns)
    call = understand()
    watch.mark(DECODE)
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Job] = loop.create_future()
    limit_s = predictor.settings.timeout_s
    job = Job(
        call.items,
        lambda job: None if done.done() else done.set_result(job),
        watch,
        inputs=call.inputs,
        prepare=call.prepare,
        deadline_ns=time.monotonic_ns() + int(limit_s * 1e9),
    )
    predictor.submit(job)
    timer = loop.call_later(limit_s, predictor.expire, job)
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
    return call, job.outputs
