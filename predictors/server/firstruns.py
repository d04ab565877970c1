"""How long the first runs of each batch size took, so that a size that is built while it serves can be told.

An engine that plans each size compiles, allocates or tunes when it first meets one. Only the first few runs of a size
are kept: they show the first beside later ones, and the record cannot grow with what is served. The CPU's time of the
engine's thread stands beside the time, because on a busy machine any run may wait for its turn.
"""

from collections.abc import Collection

__all__ = ["FirstRuns"]

_KEPT = 8


class FirstRuns:
    """The first runs of each batch size since the server was ready; `warmed` are the sizes that had run before."""

    def __init__(self, warmed: Collection[int] = ()) -> None:
        self._warmed = frozenset(warmed)
        self._runs: dict[int, list[tuple[float, float]]] = {}

    def add(self, size: int, spent_ns: int, cpu_ns: int) -> None:
        """Note a run of a batch of `size`, padding included: its time, and that of the CPU in the engine's thread."""
        runs = self._runs.setdefault(size, [])
        if len(runs) < _KEPT:
            runs.append((round(spent_ns / 1e6, 3), round(cpu_ns / 1e6, 3)))

    def document(self) -> dict[int, dict[str, bool | list[float]]]:
        """Give what `/debug/state` shows of each size: whether it had run before, and milliseconds in their order."""
        return {
            size: {
                "warm": size in self._warmed,
                "ms": [spent for spent, _ in runs],
                "cpu_ms": [busy for _, busy in runs],
            }
            for size, runs in sorted(self._runs.items())
        }
