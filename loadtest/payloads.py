"""Payloads: the request bodies of a run, the same for all variants of a race.

A set is files in a fixed order with a checksum over all of them; which arrival carries which file follows
from a seed alone. Making payload files is the business of whoever owns the data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loadtest.errors import ScheduleError
from loadtest.protocols import RequestAs, request_as

__all__ = ["Answer", "PayloadSet"]

Integers = npt.NDArray[np.int64]
Answer = tuple[int, str]

# Requests of a closed loop take the same payloads over again after so many.
_CLOSED_ORDERS = 10_000


class _Part(Protocol):
    @property
    def glob(self) -> str: ...
    @property
    def share(self) -> float: ...


class _Payload(Protocol):
    @property
    def mix(self) -> Sequence[_Part]: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PayloadSet:
    """Files and how often each part of the mix is sent.

    Attributes:
        parts: the files of each part of the mix, sorted by name.
        shares: share of the requests for each part; they sum to 1.
        seed: of the choice of a file for each arrival.
        sha256: over names and contents of all files, in order.
        sizes: bytes of each file, in the order of `files`.
        folder: that the files lie in, by which the checksum names them.
        answers: place and label of the class that a server finds in each file, in the order of `files`; None where
            that is not known, and nothing where it is known of none. No part of the checksum: each server has its own.
    """

    parts: tuple[tuple[Path, ...], ...]
    shares: tuple[float, ...]
    seed: int
    sha256: str
    sizes: tuple[int, ...]
    folder: Path = Path()
    answers: tuple[Answer | None, ...] = ()

    @classmethod
    def from_profile(cls, payload: _Payload, folder: Path) -> PayloadSet:
        """Collect the files of a profile's mix from a folder.

        Raises:
            ScheduleError: a part of the mix names no file, or no part has a share.
        """
        return cls.from_mix([(part.glob, part.share) for part in payload.mix], folder, seed=payload.seed)

    @classmethod
    def from_mix(cls, mix: Sequence[tuple[str, float]], folder: Path, *, seed: int) -> PayloadSet:
        """Collect the files for pairs of pattern and share.

        Raises:
            ScheduleError: a pattern names no file, or no pattern has a share.
        """
        parts = []
        for pattern, _ in mix:
            files = tuple(sorted(path for path in folder.glob(pattern) if path.is_file()))
            if not files:
                raise ScheduleError(
                    f"no payload in {folder} is called {pattern}",
                    "put files there, or change the profile's mix",
                )
            parts.append(files)
        total = sum(share for _, share in mix)
        if not total > 0:
            raise ScheduleError("the payload mix has no share above 0", "give at least one part a share")
        shares = tuple(share / total for _, share in mix)
        return cls(tuple(parts), shares, seed, "", (), folder)._read(Path.read_bytes)

    def reread(self) -> PayloadSet:
        """Return the set as its files are now; one that is gone or cannot be read has no bytes."""
        return self._read(_bytes_left)

    def _read(self, bytes_of: Callable[[Path], bytes]) -> PayloadSet:
        digest = hashlib.sha256()
        sizes = []
        for path in self.files:
            content = bytes_of(path)
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
            sizes.append(len(content))
        return replace(self, sha256=digest.hexdigest(), sizes=tuple(sizes))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, part by part; the generator knows them by their index here."""
        return tuple(path for part in self.parts for path in part)

    def size_percentiles(self) -> dict[str, int]:
        """Return the bytes of the smallest, median, 90th-percentile and largest file."""
        points = {"min": 0.0, "p50": 50.0, "p90": 90.0, "max": 100.0}
        return {name: int(np.percentile(self.sizes, point, method="inverted_cdf")) for name, point in points.items()}

    def order(self, count: int) -> Integers:
        """Return the index of the file that each arrival carries; shape `[count]`.

        The part is drawn by share; within a part every file is sent once before any is sent again.
        """
        random = np.random.default_rng(self.seed)
        chosen = random.choice(len(self.parts), size=count, p=self.shares)
        order = np.empty(count, dtype=np.int64)
        first = 0
        for index, files in enumerate(self.parts):
            places = np.flatnonzero(chosen == index)
            rounds = -(-len(places) // len(files))
            cycle = [random.permutation(len(files)) for _ in range(rounds)]
            if cycle:
                order[places] = first + np.concatenate(cycle)[: len(places)]
            first += len(files)
        return order

    def order_of(self, schedule: Integers | None) -> Integers:
        """Return the order that a generator takes the files in: one for each arrival, or for the turns of a loop."""
        return self.order(_CLOSED_ORDERS if schedule is None else len(schedule))

    def is_known(self, numbers: Integers, schedule: Integers | None) -> npt.NDArray[np.bool_]:
        """Return whether the right answer to each request is known, by its number; bool `[requests]`."""
        if not self.answers:
            return np.zeros(len(numbers), dtype=np.bool_)
        order = self.order_of(schedule)
        known = np.array([answer is not None for answer in self.answers], dtype=np.bool_)
        return known[order[numbers % len(order)]]

    def requests_as(self, protocol: str) -> tuple[RequestAs, ...]:
        """Return how each file is sent.

        Raises:
            ScheduleError: a file is not a request of this protocol.
        """
        return tuple(request_as(protocol, path.name, path.read_bytes()) for path in self.files)


def _bytes_left(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
