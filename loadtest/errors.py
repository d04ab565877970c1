"""Errors of the load side.

    LoadtestError
    ├── PlanError                 the load cannot be played as it was written down
    │   ├── SloError              an SLO or quality clause that cannot be read
    │   ├── ProfileError          a load profile that cannot be read
    │   └── ScheduleError         an arrival schedule or payload set that cannot be made
    ├── GeneratorError            the load generator is missing, failed, or answered nonsense
    ├── VoidRunError              a run whose passport fails, where only a valid run will do
    └── RecordError               a run record or histogram that cannot be read or written
        └── WriteError            the disk refuses a record

Every error reads as one sentence that names the place, and carries the remedy in `hint`.
"""

from __future__ import annotations

__all__ = [
    "GeneratorError",
    "LoadtestError",
    "PlanError",
    "ProfileError",
    "RecordError",
    "ScheduleError",
    "SloError",
    "VoidRunError",
    "WriteError",
]


class LoadtestError(Exception):
    """Root of the tree.

    Attributes:
        sentence: what is wrong and where.
        hint: what to do about it; may be empty.
    """

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return self.sentence


class PlanError(LoadtestError):
    """The load cannot be played as it was written down."""


class SloError(PlanError):
    """An SLO or quality clause that cannot be read.

    Attributes:
        clause: the text of the clause, without the spaces around it.
        position: 1-based column of the clause in the whole text; 0 when no clause is at fault.
    """

    def __init__(self, clause: str, sentence: str, hint: str = "", *, position: int = 0) -> None:
        super().__init__(sentence, hint)
        self.clause = clause
        self.position = position


class ProfileError(PlanError):
    """A load profile that cannot be found, read or accepted.

    Attributes:
        place: `file`, or `file:line` where the line is known.
    """

    def __init__(self, place: str, sentence: str, hint: str = "") -> None:
        super().__init__(f"{place}: {sentence}", hint)
        self.place = place


class ScheduleError(PlanError):
    """An arrival schedule or payload set that cannot be made."""


class GeneratorError(LoadtestError):
    """The load generator is missing, failed, or answered nonsense."""


class VoidRunError(LoadtestError):
    """A run whose passport fails, where only a valid run will do.

    Attributes:
        name: the name that the failing proof gives the run, for example `late`.
    """

    def __init__(self, name: str, sentence: str, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.name = name


class RecordError(LoadtestError):
    """A run record or histogram that cannot be read or written."""


class WriteError(RecordError):
    """The disk refuses a record: a fault of the machine, and not of what was recorded."""
