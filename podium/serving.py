"""How a variant is served: what `podium serve` is told, and which share of a machine it has.

Read off what a server said of itself, so that it can be served the same way again, or with one thing changed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from podium.serverstate import cpus_of, integer, number
from predictors.manifest import read_variant
from predictors.server.settings import Settings
from predictors.store import StoredVariant

__all__ = ["Serving", "serving_of"]


@dataclass(frozen=True, slots=True)
class Serving:
    """One way to serve one artifact.

    Attributes:
        folder: of the artifact.
        address: digest of it.
        model: the model's name.
        preprocessing_hash: of the artifact; None without preprocessing.
        protocol: how it is asked.
        cpus: CPU share that the server takes for its own, which sets its threads.
        cores: whole cores that it may use.
        quota: share of the CPU's time that it is held to, in cores; None without one.
        max_batch: most items of a batch.
        gather: most items gathered from several requests; None: measured at start.
        max_delay_s: how long a batch that is not full waits.
        queue: most items that wait.
        warm: batch sizes that run before it is ready.
        workers: processes, which share the CPU share among them.
    """

    folder: Path
    address: str
    model: str
    preprocessing_hash: str | None
    protocol: str
    cpus: float = 1.0
    cores: int = 1
    quota: float | None = None
    max_batch: int = 8
    gather: int | None = None
    max_delay_s: float = 0.0
    queue: int = 32
    warm: str = "auto"
    workers: int = 1

    @property
    def threads(self) -> int:
        """Return the threads of one engine."""
        return max(1, int(self.cpus / self.workers))

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the flags of `podium serve` but those of its ports."""
        told = {
            "--cpus": f"{self.cpus:g}",
            "--max-batch": str(self.max_batch),
            "--max-delay": f"{self.max_delay_s * 1e6:.0f}us",
            "--queue": str(self.queue),
            "--warm": self.warm,
        }
        told |= {} if self.gather is None else {"--gather": str(self.gather)}
        # Told of a smaller share, there are fewer of them; told of none, a server takes what was found to pay.
        told |= {"--workers": str(min(self.workers, max(1, int(self.cpus))))}
        return tuple(word for flag in told.items() for word in flag)


def serving_of(stored: StoredVariant, state: Mapping[str, JsonValue], *, protocol: str) -> Serving:
    """Return how a server served an artifact, from its `/debug/state`; what it did not say is at its default.

    Raises:
        ArtifactError: the manifest is damaged.
    """
    variant = read_variant(stored.folder)
    quota, warm = number(state.get("cpu_quota")), state.get("warm")
    listed = state.get("cores")
    cores = len(listed) if isinstance(listed, list) and listed else None
    told = number(state.get("cpu_limit")) or float(integer(state.get("threads")) or 1)
    usable = cpus_of({key: value for key, value in state.items() if key != "cpu_limit"}) or told
    # Threads beyond its share can only be throttled where they have cores to run on.
    held = min(cores or math.ceil(usable), max(max(1, int(told)), math.ceil(usable)))
    return Serving(
        folder=stored.folder,
        address=stored.address,
        model=variant.model.name,
        preprocessing_hash=None if variant.preprocessing is None else variant.preprocessing.hash,
        protocol=protocol,
        cpus=told,
        cores=held,
        quota=quota if quota is not None and quota < held else None,
        max_batch=integer(state.get("max_batch")) or _default("max_batch"),
        gather=integer(state.get("gather")),
        max_delay_s=number(state.get("max_delay_s")) or 0.0,
        queue=integer(state.get("queue")) or _default("queue"),
        warm=warm if isinstance(warm, str) else "auto",
        workers=integer(state.get("workers")) or 1,
    )


def _default(field: str) -> int:
    return int(Settings.model_fields[field].default)
