"""Exit codes and the words of an error on the terminal: the one table that turns an error into both.

The packages raise errors that know nothing of a process. This edge knows all three trees, and also the two
faults of a machine that arrive as plain Python errors: the operating system's, and a package that is not
installed. Anything else is a bug.
"""

import errno
import os
import sys
import traceback
from types import TracebackType
from typing import NamedTuple

import loadtest.errors
import predictors.errors
from podium import errors
from podium.extras import extra_of

__all__ = [
    "BUG",
    "INTERRUPTED",
    "KNOWN",
    "USAGE",
    "Exit",
    "exit_of",
    "printable",
    "report_bug",
    "show",
    "show_trace",
]

BUG = 1
USAGE = 2
REFUSED = 3
MACHINE = 4
NO_WINNER = 5
UNSETTLED = 6
INTERRUPTED = 130

# The first class that fits decides, so subclasses stand before their parents.
_CODES: tuple[tuple[type[Exception], int], ...] = (
    (errors.UsageError, USAGE),
    (errors.ConfigError, REFUSED),
    (errors.MachineError, MACHINE),
    (errors.UnsettledError, UNSETTLED),
    (errors.ObjectiveError, NO_WINNER),
    (errors.PodiumError, MACHINE),
    (predictors.errors.OverloadError, MACHINE),
    (predictors.errors.DeadlineError, MACHINE),
    (predictors.errors.ListenError, MACHINE),
    (predictors.errors.NotReadyError, MACHINE),
    (predictors.errors.WorkerError, MACHINE),
    (predictors.errors.PredictorError, REFUSED),
    (loadtest.errors.GeneratorError, MACHINE),
    (loadtest.errors.WriteError, MACHINE),
    (loadtest.errors.VoidRunError, UNSETTLED),
    (loadtest.errors.LoadtestError, REFUSED),
)

# All that `exit_of` may know; what is outside is a bug and must not be caught.
KNOWN: tuple[type[Exception], ...] = (
    errors.PodiumError,
    predictors.errors.PredictorError,
    loadtest.errors.LoadtestError,
    ModuleNotFoundError,
    OSError,
)


class Exit(NamedTuple):
    """How a command ends: its exit code, one sentence and the remedy."""

    code: int
    sentence: str
    hint: str


def exit_of(error: BaseException) -> Exit | None:
    """Return how a command ends on `error`, or None where the error is a bug."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Exit(code, str(error), getattr(error, "hint", ""))
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(error)
    if isinstance(error, OSError):
        return _system_fault(error)
    return None


def show(sentence: str, hint: str = "") -> None:
    """Write one error to stderr: the sentence, and below it the remedy."""
    red, plain = ("\x1b[31m", "\x1b[0m") if _has_color() else ("", "")
    lines = [f"{red}error:{plain} {printable(sentence.removesuffix('.'))}"]
    lines += [f"  → {printable(line)}" for line in hint.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that a file's content cannot drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_trace(error: BaseException) -> None:
    """Write where an error comes from, for someone who asked with PODIUM_TRACEBACK=1."""
    if os.environ.get("PODIUM_TRACEBACK"):
        traceback.print_exception(error)


def report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say that Podium itself is at fault; used as `sys.excepthook`, so Python exits with 1."""
    show_trace(error)
    frames = traceback.extract_tb(trace)
    where = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    show(
        f"this is a bug in Podium: {kind.__name__}: {error}{where}",
        "run it again with PODIUM_TRACEBACK=1 and report what it prints",
    )


def _missing_module(error: ModuleNotFoundError) -> Exit | None:
    root = (error.name or "").partition(".")[0]
    extra = extra_of(root)
    if extra is None:
        return None
    return Exit(
        MACHINE,
        f"this command needs the Python package {root}, which is not installed",
        f"pip install 'podium[{extra}]'",
    )


def _system_fault(error: OSError) -> Exit:
    place = f"{error.filename}: " if error.filename is not None else ""
    reason = (error.strerror or str(error)).rstrip(".")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exit(MACHINE, f"{place}the disk is full", "free some space, then run the same command again")
    if error.errno == errno.EADDRINUSE:
        return Exit(MACHINE, f"{place}the port is in use", "stop what listens there, or choose another port")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Exit(MACHINE, f"{place}{reason}", "make the path writable for you, or choose another one")
    return Exit(MACHINE, f"{place}{reason}", "")


def _has_color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
