"""What vegeta recorded of an attack, as samples: each point with the intended start that its number stands for.

vegeta times a request from its real send and does not say when the attack began. Nothing leaves before its time, so
the earliest offset between clock and plan is where the plan began: what all sends were late by is not seen. It looks
into no answer, so that any of status 2xx counts as right.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.errors import GeneratorError
from loadtest.samples import ENDINGS, NO_ANSWER, NOT_SENT, Samples

__all__ = ["REBUILD", "Points", "read_points"]

Integers = npt.NDArray[np.int64]

REBUILD: Final = "make vegeta anew with ./scripts/build-k6"
# The same words as in `xk6-hdr/ending.go`: both tools speak Go's client.
_PHRASES: Final = (
    ("connection refused", "refused"),
    ("connection reset", "reset"),
    ("broken pipe", "reset"),
    ("EOF", "reset"),
    ("closed idle connection", "reset"),
    ("deadline exceeded", "timed-out"),
    ("timeout", "timed-out"),
)


@dataclass(frozen=True, slots=True)
class Points:
    """The samples of an attack, and the Unix time in ns that theirs count from."""

    samples: Samples
    zero_unix_ns: int


def read_points(path: Path, schedule: Integers | None) -> Points:
    """Read what `vegeta encode --to csv` wrote.

    Args:
        path: of the file.
        schedule: intended starts in ns, by number; what is missing of them was never sent. None for a closed loop,
            in which a request is due when it leaves.

    Raises:
        GeneratorError: the file is not one, or has no point, or one that was not planned.
    """
    try:
        with path.open(newline="") as text:
            rows = sorted(
                (int(row[8]), int(row[0]), int(row[1]), int(row[2]), _ending(int(row[1]), row[5]))
                for row in csv.reader(text)
            )
    except (OSError, IndexError, ValueError, csv.Error) as error:
        raise GeneratorError("vegeta's points cannot be read", REBUILD) from error
    if not rows:
        raise GeneratorError("vegeta recorded no request", "look whether the server still answers, or ask for longer")
    number, sent_at, status, latency, ending = np.array(rows, dtype=np.int64).T
    if schedule is not None and number[-1] >= len(schedule):
        raise GeneratorError(f"vegeta sent {number[-1] + 1:,} requests, and {len(schedule):,} were planned", REBUILD)
    planned = np.zeros_like(number) if schedule is None else schedule[number]
    zero = int((sent_at - planned).min())
    begun = sent_at - zero
    samples = Samples(
        n=number,
        intended_ns=begun if schedule is None else planned,
        start_ns=begun,
        end_ns=begun + latency,
        status=status,
        ok=(status >= 200) & (status < 300),
        block=np.zeros_like(number),
        ending=ending,
    )
    return Points(samples if schedule is None else _with_unsent(samples, schedule), zero)


def _ending(status: int, words: str) -> int:
    """Return why a request had no answer, as its index into `ENDINGS`."""
    if status != NO_ANSWER:
        return 0
    return next((ENDINGS.index(name) for phrase, name in _PHRASES if phrase in words), 0)


def _with_unsent(samples: Samples, schedule: Integers) -> Samples:
    """Add a row for each arrival that never left: vegeta ends at its time, whatever it still owes."""
    missing = np.setdiff1d(np.arange(len(schedule)), samples.n)
    cut = np.full_like(missing, max(int(samples.start_ns.max()), int(schedule[-1])))
    unsent = Samples(
        n=missing,
        intended_ns=schedule[missing],
        start_ns=cut,
        end_ns=cut,
        status=np.full_like(missing, NOT_SENT),
        ok=np.zeros(len(missing), dtype=np.bool_),
        block=np.zeros_like(missing),
    )
    return Samples.joined([samples, unsent])
