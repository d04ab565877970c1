"""A full batch made beside the engine, while that computes the one before."""

import threading
from collections.abc import Sequence

from predictors.server.answer import Tensors
from predictors.server.batch import gathered
from predictors.server.job import Job
from predictors.server.lane import Outcome

__all__ = ["Staged", "is_worth_staging"]

# What takes less than two trips between threads is joined where it is computed.
_LEAST_BYTES = 1 << 20


class Staged:
    """Jobs that will be computed together, and their inputs, joined once, by whoever comes to it first.

    Attributes:
        jobs: Those of the batch, each with its inputs.
        items: Of all of them.
    """

    def __init__(self, jobs: Sequence[Job], items: int, shape: int) -> None:
        self.jobs = jobs
        self.items = items
        self._shape = shape
        self._begun = threading.Lock()
        self._over = threading.Event()
        self._feed: Outcome[Tensors] = Outcome()

    def join(self) -> None:
        """Join the inputs, unless somebody does that already."""
        if self._begun.acquire(blocking=False):
            with self._feed:
                self._feed.value = gathered(self.jobs, self.items, self._shape)
            self._over.set()

    def feed(self) -> Tensors:
        """Return the joined inputs, padded to the shape; raise what came instead of them."""
        self.join()
        self._over.wait()
        return self._feed.result()


def is_worth_staging(job: Job, gather: int) -> bool:
    """Tell whether a batch of items like this job's takes long enough to join."""
    if job.inputs is None:
        return False
    return sum(values.nbytes for values in job.inputs.values()) * gather >= _LEAST_BYTES * job.items
