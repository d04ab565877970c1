"""What is seen of a server besides its time: its memory, what stands before it, and its first runs. Values only."""

from dataclasses import dataclass

__all__ = ["FirstRun", "Memory", "Sidecar"]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What stands between a server and its port; its CPU periods while it was loaded, None where nobody counts."""

    name: str
    periods: int | None = None
    throttled: int | None = None

    @property
    def share(self) -> float | None:
        """Return the share of its periods in which it was throttled; None where nobody counts."""
        if self.periods is None or self.throttled is None:
            return None
        return self.throttled / self.periods if self.periods else 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory nodes of the machine, those of the server's CPUs, and its bytes on these and on all others."""

    nodes: int
    cpu_nodes: int
    near_bytes: int
    far_bytes: int


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The first runs of one batch size while it was served, in milliseconds, in their order.

    Attributes:
        is_warm: it had run before it was ready.
        spent_ms: time of each run.
        cpu_ms: that of the CPU in the engine's thread; empty where it is not known.
    """

    is_warm: bool
    spent_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()
