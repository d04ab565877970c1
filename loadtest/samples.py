"""Samples: what became of every request of a run, on both clocks.

Plain arrays in arrival order, read from the binary file that `loadtest/xk6-hdr` writes. They say what
happened; whether a run is valid or an objective holds is decided elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.errors import GeneratorError

__all__ = ["ENDINGS", "NOT_SENT", "NO_ANSWER", "Samples", "read_samples", "write_samples"]

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NO_ANSWER = 0
NOT_SENT = -1
# Why there was no answer, by the number that `loadtest/xk6-hdr/ending.go` writes.
ENDINGS = ("unknown", "timed-out", "refused", "reset")

_MAGIC = b"PODSAMP1"
_PLAY_AGAIN = "remove the run's files, and it is played again when its race is resumed"
_HEADER = struct.Struct("<8sQ")
_RECORD = np.dtype(
    [
        ("n", "<i8"),
        ("intended_ns", "<i8"),
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("status", "<i4"),
        ("ok", "?"),
        ("ending", "u1"),
        ("block", "<u2"),
    ]
)


@dataclass(frozen=True, slots=True)
class Samples:
    """A row for each request whose time had come, by block and number; times in ns since the block began.

    Attributes:
        n: number of the arrival in its schedule.
        intended_ns: when it was meant to leave.
        start_ns: when it left. For what was never sent: when the run was cut.
        end_ns: when its answer was complete, or when waiting for it ended.
        status: HTTP status, `NO_ANSWER` (0) or `NOT_SENT` (-1).
        ok: the answer's content was right; False without an answer.
        block: index of the block, 0 within one run of the generator.
        ending: index into `ENDINGS` of why no answer came; without rows where the generator does not tell.
    """

    n: Integers
    intended_ns: Integers
    start_ns: Integers
    end_ns: Integers
    status: Integers
    ok: Booleans
    block: Integers
    ending: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.n)

    @staticmethod
    def empty() -> Samples:
        """Return samples of nothing."""
        none = np.empty(0, dtype=np.int64)
        return Samples(none, none, none, none, none, np.empty(0, dtype=np.bool_), none)

    @property
    def latency_intended_ns(self) -> Integers:
        """Latency from the intended start, which includes waiting in the generator."""
        return self.end_ns - self.intended_ns

    @property
    def latency_actual_ns(self) -> Integers:
        """Latency from the actual start."""
        return self.end_ns - self.start_ns

    @property
    def lateness_ns(self) -> Integers:
        """How long after its intended start a request left."""
        return self.start_ns - self.intended_ns

    @property
    def sent(self) -> Booleans:
        """True where the request left."""
        return np.not_equal(self.status, NOT_SENT)

    @property
    def answered(self) -> Booleans:
        """True where an answer of any status came."""
        return np.greater(self.status, NO_ANSWER)

    @property
    def good(self) -> Booleans:
        """True where a right answer with a 2xx status came, however late."""
        return self.ok & (self.status >= 200) & (self.status < 300)

    @property
    def unanswered(self) -> dict[str, int]:
        """How many requests had no answer, by why; those of an unknown ending are among them."""
        endings = self._ending()[self.status == NO_ANSWER]
        return {name: count for index, name in enumerate(ENDINGS) if (count := int((endings == index).sum()))}

    def misses(self, timeout_ns: int) -> Booleans:
        """Return True for every non-answer, error status, wrong answer, and latency above the time-out."""
        return ~self.good | (self.latency_intended_ns > timeout_ns)

    def misses_over(self, limit_ns: int, timeout_ns: int) -> Booleans:
        """Return True for every miss and every answer later than a latency limit."""
        return self.misses(timeout_ns) | (self.latency_intended_ns > limit_ns)

    def recorded_intended_ns(self, timeout_ns: int) -> Integers:
        """Latency from the intended start as it goes on record: a miss counts at least as the time-out."""
        return np.where(self.good, self.latency_intended_ns, np.maximum(self.latency_intended_ns, timeout_ns))

    def recorded_actual_ns(self, timeout_ns: int) -> Integers:
        """Latency from the actual start as it goes on record: a miss counts at least as the time-out."""
        return np.where(self.good, self.latency_actual_ns, np.maximum(self.latency_actual_ns, timeout_ns))

    def in_flight(self, at_ns: Integers) -> Integers:
        """Return how many requests of the block were due and not yet over at each instant."""
        due = np.searchsorted(np.sort(self.intended_ns), at_ns, side="right")
        over = np.searchsorted(np.sort(self.end_ns), at_ns, side="right")
        return (due - over).astype(np.int64)

    def select(self, rows: Booleans | slice) -> Samples:
        """Return some of the rows."""
        return Samples(
            self.n[rows],
            self.intended_ns[rows],
            self.start_ns[rows],
            self.end_ns[rows],
            self.status[rows],
            self.ok[rows],
            self.block[rows],
            self._ending()[rows],
        )

    def in_block(self, block: int) -> Samples:
        """Return the same samples as block number `block`."""
        return Samples(
            self.n,
            self.intended_ns,
            self.start_ns,
            self.end_ns,
            self.status,
            self.ok,
            np.full_like(self.n, block),
            self.ending,
        )

    def _ending(self) -> Integers:
        return self.ending if len(self.ending) else np.zeros_like(self.n)

    @staticmethod
    def joined(parts: Sequence[Samples]) -> Samples:
        """Put the samples of several runners or blocks together, ascending by block and number."""
        if not parts:
            return Samples.empty()
        whole = Samples(
            np.concatenate([part.n for part in parts]),
            np.concatenate([part.intended_ns for part in parts]),
            np.concatenate([part.start_ns for part in parts]),
            np.concatenate([part.end_ns for part in parts]),
            np.concatenate([part.status for part in parts]),
            np.concatenate([part.ok for part in parts]),
            np.concatenate([part.block for part in parts]),
            np.concatenate([part._ending() for part in parts]),
        )
        order = np.lexsort((whole.n, whole.block))
        return Samples(
            whole.n[order],
            whole.intended_ns[order],
            whole.start_ns[order],
            whole.end_ns[order],
            whole.status[order],
            whole.ok[order],
            whole.block[order],
            whole.ending[order],
        )


def read_samples(path: Path) -> Samples:
    """Read a sample file of one runner.

    Raises:
        GeneratorError: the file is not one, or is cut off.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GeneratorError(f"{path} cannot be read: {error.strerror}", _PLAY_AGAIN) from error
    if len(data) < _HEADER.size or data[:8] != _MAGIC:
        raise GeneratorError(f"{path} is not a sample file", _PLAY_AGAIN)
    if len(data) != _HEADER.size + _RECORD.itemsize * _HEADER.unpack_from(data)[1]:
        raise GeneratorError(f"{path} is cut off", _PLAY_AGAIN)
    rows = np.frombuffer(data, dtype=_RECORD, offset=_HEADER.size)
    return Samples(
        rows["n"].astype(np.int64),
        rows["intended_ns"].astype(np.int64),
        rows["start_ns"].astype(np.int64),
        rows["end_ns"].astype(np.int64),
        rows["status"].astype(np.int64),
        rows["ok"].astype(np.bool_),
        rows["block"].astype(np.int64),
        # What a newer generator may say beyond these is unknown here.
        np.where(rows["ending"] < len(ENDINGS), rows["ending"], 0).astype(np.int64),
    )


def write_samples(path: Path, samples: Samples) -> None:
    """Write the same file that the generator writes."""
    rows = np.zeros(len(samples), dtype=_RECORD)
    for name in ("n", "intended_ns", "start_ns", "end_ns", "status", "ok", "block"):
        rows[name] = getattr(samples, name)
    if len(samples.ending):
        rows["ending"] = samples.ending
    path.write_bytes(_HEADER.pack(_MAGIC, len(rows)) + rows.tobytes())
