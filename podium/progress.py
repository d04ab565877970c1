"""What a race shows while it works: a bar on a terminal, plain lines elsewhere; always on standard error."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["RaceProgress"]


class RaceProgress:
    """One line for what is going on now, and one for each thing that was found out.

    A stage has a known number of steps. On a terminal it is a bar; in a log each step would be noise, so
    there only stages and notes are written.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._live = self._console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("{task.description:<52}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        sys.stderr.flush()

    def stage(self, text: str, steps: int) -> None:
        """Begin a stage of that many steps."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(text, total=max(steps, 1))
        if not self._live:
            self.note(text)

    def doing(self, text: str) -> None:
        """Say what the present step is."""
        if self._task is not None:
            self._bar.update(self._task, description=text)

    def step(self, count: int = 1) -> None:
        """Count a step of the stage as done."""
        if self._task is not None:
            self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        """Write a line that stays."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        self._console.print(f"{minutes:2d}:{seconds:02d}  {text}", highlight=False, markup=False, soft_wrap=True)
