"""What the server counts, kept in plain numbers and turned into Prometheus' text only when somebody asks.

`prometheus_client` takes about 2 us for each observation, nine of them a request, so a request here only
appends its times; they are sorted into buckets together, when enough have come or a scrape wants them.
Edges are chosen around objectives from 1 ms to 1 s; the library's own start at 5 ms.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from predictors.server.objective import Limit
from predictors.server.timing import STAGES, Stopwatch

__all__ = ["EDGES_S", "Gauges", "Metrics", "Times"]

EDGES_S: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01),
    *(0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
_FOLD_AFTER = 2048


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true at the moment of a scrape."""

    in_flight: int
    queue_length: int
    batches: Mapping[int, int]
    info: Mapping[str, str]
    ready_s: Mapping[str, float]
    decoder_ends: Mapping[str, int] = field(default_factory=dict)


class Times:
    """Times of one kind, a column for each part of it, in nanoseconds until they are folded into buckets."""

    def __init__(self, columns: int, edges_s: tuple[float, ...] = EDGES_S) -> None:
        self.pending: list[tuple[int, ...]] = []
        self.edges_s = edges_s
        self.counts: npt.NDArray[np.int64] = np.zeros((columns, len(edges_s) + 1), dtype=np.int64)
        self.sums_s: npt.NDArray[np.float64] = np.zeros(columns, dtype=np.float64)

    def add(self, row: tuple[int, ...]) -> None:
        """Note one time, in nanoseconds by column."""
        self.pending.append(row)
        if len(self.pending) >= _FOLD_AFTER:
            self.fold()

    def fold(self) -> None:
        """Bring what was noted into the buckets."""
        if not self.pending:
            return
        seconds = np.array(self.pending, dtype=np.float64) / 1e9
        self.pending.clear()
        self.sums_s += seconds.sum(axis=0)
        for column, values in enumerate(seconds.T):
            places = np.searchsorted(self.edges_s, values, side="left")
            self.counts[column] += np.bincount(places, minlength=len(self.edges_s) + 1)

    def buckets(self, column: int) -> list[tuple[str, float]]:
        """Give the edges of a column, in seconds, and how many times were no longer than each."""
        edges = [*(repr(edge) for edge in self.edges_s), "+Inf"]
        return list(zip(edges, self.counts[column].cumsum().tolist(), strict=True))

    def document(self) -> dict[str, Any]:
        """Give what was noted as plain numbers: how many times fell between two edges, and sums in seconds."""
        self.fold()
        return {"counts": self.counts.tolist(), "sums_s": self.sums_s.tolist()}

    def take(self, document: Mapping[str, Any]) -> None:
        """Add what another process noted, with the same edges."""
        self.counts += np.array(document["counts"], dtype=np.int64)
        self.sums_s += np.array(document["sums_s"], dtype=np.float64)


class Metrics:
    """Counters and times of one served variant.

    The times of its objective are edges too, so that the answers that miss it are counted exactly.

    Attributes:
        variant: id of the variant.
        objective: what its answers are counted against.
        answers: number of answers by protocol and status.
        totals: from the first byte of a request to its answer written, by protocol.
        stage_times: of each stage, a column for each.
    """

    def __init__(self, variant: str, objective: tuple[Limit, ...] = ()) -> None:
        self.variant = variant
        self.objective = objective
        self.answers: Counter[tuple[str, int]] = Counter()
        self.totals: dict[str, Times] = {}
        self.stage_times = Times(len(STAGES))
        self._edges_s = tuple(sorted({*EDGES_S, *(one.seconds for one in objective if one.seconds is not None)}))

    def answered(self, protocol: str, code: int, watch: Stopwatch) -> None:
        """Count an answer and its times."""
        self.answers[protocol, code] += 1
        times = self.totals.get(protocol)
        if times is None:
            times = self.totals[protocol] = Times(1, self._edges_s)
        times.add((watch.total_ns,))
        self.stage_times.add(tuple(watch.spent_ns))

    def refused(self, protocol: str, code: int) -> None:
        """Count an answer that computed nothing, so that its times say nothing."""
        self.answers[protocol, code] += 1

    def requests(self) -> dict[str, int]:
        """Give the number of answers by `protocol code`."""
        return {f"{protocol} {code}": count for (protocol, code), count in sorted(self.answers.items())}

    def stages(self) -> dict[str, float]:
        """Give the seconds that all answers together spent in each stage, and under `answers` their number."""
        self.stage_times.fold()
        sums = zip(STAGES, self.stage_times.sums_s.tolist(), strict=True)
        return {"answers": float(self.stage_times.counts[0].sum()), **{stage: round(spent, 6) for stage, spent in sums}}

    def document(self) -> dict[str, Any]:
        """Give all that was counted as plain numbers, for `take` in another process."""
        return {
            "variant": self.variant,
            "answers": [[protocol, code, count] for (protocol, code), count in self.answers.items()],
            "totals": {protocol: times.document() for protocol, times in self.totals.items()},
            "stages": self.stage_times.document(),
        }

    def take(self, document: Mapping[str, Any]) -> None:
        """Add what another process counted of the same variant under the same objective."""
        for protocol, code, count in document["answers"]:
            self.answers[protocol, code] += count
        for protocol, times in document["totals"].items():
            self.totals.setdefault(protocol, Times(1, self._edges_s)).take(times)
        self.stage_times.take(document["stages"])

    def exposition(self, gauges: Gauges) -> bytes:
        """Write everything in Prometheus' text format."""
        # A server is ready without it, and a start from zero waits for each import.
        from predictors.server.exposition import written

        return written(self, gauges)
