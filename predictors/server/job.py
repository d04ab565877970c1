"""One request's work on its way through queue, preparation and engine."""

import time
from collections.abc import Callable

from predictors.errors import DeadlineError
from predictors.server.answer import Tensors
from predictors.server.timing import Stopwatch

__all__ = ["Job", "late"]


class Job:
    """Work for the engine: tensors, or what makes them, and in the end outputs or an error.

    `done` is called once, on the event loop. `prepare` is given the job, in a thread, and `is_sized` says whether
    `items` is right before it has run. `deadline_ns` is a moment of the monotonic clock, 0 for none.
    """

    __slots__ = (
        "deadline_ns",
        "done",
        "error",
        "inputs",
        "is_canceled",
        "is_settled",
        "is_sized",
        "items",
        "outputs",
        "prepare",
        "watch",
    )

    def __init__(
        self,
        items: int,
        done: Callable[["Job"], None],
        watch: Stopwatch,
        *,
        inputs: Tensors | None = None,
        prepare: Callable[["Job"], Tensors] | None = None,
        is_sized: bool = True,
        deadline_ns: int = 0,
    ) -> None:
        self.items = items
        self.done = done
        self.watch = watch
        self.inputs = inputs
        self.prepare = prepare
        self.is_sized = is_sized
        self.deadline_ns = deadline_ns
        self.is_canceled = False
        self.is_settled = False
        self.outputs: Tensors = {}
        self.error: BaseException | None = None

    def is_late(self, now: int) -> bool:
        """Whether the deadline has passed."""
        return 0 < self.deadline_ns <= now

    def check(self) -> None:
        """Go on, as somebody waits for it.

        Raises:
            DeadlineError: Nobody does: the deadline has passed, or the client has left.
        """
        if self.is_canceled or self.is_late(time.monotonic_ns()):
            raise late()

    def settle(self, error: BaseException | None = None) -> None:
        """Call `done`, the first time only."""
        if not self.is_settled:
            self.is_settled = True
            self.error = error
            self.done(self)


def late() -> DeadlineError:
    """Say that a deadline passed."""
    return DeadlineError("the deadline passed before the answer was there", "allow more time")
