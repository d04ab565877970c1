"""What the jobs of one batch become: one feed for the engine, and for each job its part of what comes out."""

from collections.abc import Sequence

import numpy as np

from predictors.errors import PredictorError
from predictors.server.answer import Tensors
from predictors.server.job import Job
from predictors.server.lane import Outcome
from predictors.server.timing import QUEUE

__all__ = ["batch_shapes", "gathered", "hand_out", "has_inputs"]


def batch_shapes(max_items: int) -> tuple[int, ...]:
    """List the batch sizes that occur: every one up to 8, then steps of a half; others are padded up."""
    shapes = [size for size in range(1, 9) if size <= max_items]
    size = 8
    while size < max_items:
        shapes += [step for step in (size * 3 // 2, size * 2) if step < max_items]
        size *= 2
    return tuple(sorted({*shapes, max_items}))


def has_inputs(job: Job, began: int) -> bool:
    """Tell whether a job can be computed; one that is still encoded is prepared now."""
    if job.inputs is not None or job.prepare is None:
        job.watch.mark_at(QUEUE, began)
        return job.inputs is not None
    job.watch.mark(QUEUE)
    outcome: Outcome[Tensors] = Outcome()
    with outcome:
        job.check()
        job.inputs = job.prepare(job)
    job.error = outcome.error
    return job.error is None


def gathered(batch: Sequence[Job], items: int, shape: int) -> Tensors:
    """Join the inputs of some jobs, padded with zeros from `items` up to `shape`."""
    parts = [job.inputs for job in batch if job.inputs is not None]
    if len(parts) == 1 and items == shape:
        return parts[0]
    feed = {}
    for name, first in parts[0].items():
        arrays = [part[name] for part in parts]
        if shape > items:
            arrays.append(np.zeros((shape - items, *first.shape[1:]), dtype=first.dtype))
        feed[name] = np.concatenate(arrays)
    return feed


def hand_out(batch: Sequence[Job], outputs: Tensors, shape: int) -> None:
    """Give each job its rows of the outputs.

    Raises:
        PredictorError: The engine gave another number of rows than it got.
    """
    for name, values in outputs.items():
        if len(values) != shape:
            raise PredictorError(f"the engine gave {len(values)} items of {name} for a batch of {shape}")
    start = 0
    for job in batch:
        stop = start + job.items
        job.outputs = {name: values[start:stop] for name, values in outputs.items()}
        start = stop
