"""The roofline of a variant: its work from the float32 graph that it was made of, its times from the benchmark.

Every variant of one network is charged the same operations, whatever its engine makes of them, and bytes by the size of
its own numbers. So a share above that of a sibling is an engine that does the same work better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from podium import charts
from podium.console import Json
from podium.entry import Strict
from podium.errors import UsageError
from podium.outlook import graph_of
from podium.pictures import draw_roofline
from podium.wholefile import write_whole
from predictors.manifest import MEASURED, Variant, read_variant
from predictors.measured import EnginePoint
from predictors.roofline import Place, Roof, measure_roof, place
from predictors.store import Store
from predictors.workload import workload

__all__ = ["Roofline", "Sighting", "Spot", "draw", "keep", "read_roofline", "sight"]

# Below the figures of each machine, which readers list by their suffix.
_FOLDER = "roofline"


class Spot(Strict):
    """Where one batch size lies; rates are a second."""

    batch: int = Field(ge=1)
    operations_per_byte: float = Field(gt=0)
    operations: float = Field(gt=0)
    share: float = Field(gt=0, description="Of what is attainable at so many operations a byte.")
    bound_by: Literal["memory", "compute"]


class Roofline(Strict):
    """The roof of a machine as it was measured, and a variant's batch sizes below it."""

    threads: int = Field(ge=1)
    peak_operations: float = Field(gt=0)
    bandwidth_bytes: float = Field(gt=0)
    ridge: float = Field(gt=0, description="Operations a byte from which on compute is the limit.")
    places: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The machine's roof, and where each batch size lies below it."""

    roof: Roof
    places: tuple[Place, ...]

    def document(self) -> dict[str, Json]:
        """Return it as data; rates are a second."""
        return {
            "threads": self.roof.threads,
            "peak_operations": self.roof.peak,
            "bandwidth_bytes": self.roof.bandwidth,
            "ridge": self.roof.ridge,
            "places": [
                {
                    "batch": one.batch,
                    "operations_per_byte": one.intensity,
                    "operations": one.achieved,
                    "share": one.share,
                    "bound_by": "memory" if one.is_memory_bound else "compute",
                }
                for one in self.places
            ],
        }


def sight(store: Store, variant: Variant, points: Sequence[EnginePoint], *, threads: int) -> Sighting:
    """Measure the machine and place a variant's batch sizes.

    Raises:
        UsageError: The store lacks the graph that the work is counted on.
    """
    folder = graph_of(store, variant)
    if folder is None:
        raise UsageError(
            f"the roofline of {variant.id} counts work on the float32 graph that it was made of: the store has none",
            "build it again with podium build, which keeps the graph",
        )
    graph = folder / str(read_variant(folder).runtime.options["model"])
    roof = measure_roof(threads, variant.precision)
    places = (place(workload(graph, one.batch), one.p50_ms / 1e3, roof, variant.precision) for one in points)
    return Sighting(roof, tuple(places))


def draw(sighting: Sighting, name: str, folder: Path) -> tuple[Path, ...]:
    """Write `roofline-NAME.svg`, and return what was written."""
    placed = charts.Placed(
        name, charts.Style(0), tuple((one.batch, one.intensity, one.achieved) for one in sighting.places)
    )
    roof = sighting.roof
    path = folder / f"roofline-{name}.svg"
    return draw_roofline([placed], peak=roof.peak, bandwidth=roof.bandwidth, path=path).files


def keep(sighting: Sighting, folder: Path, fingerprint: str) -> None:
    """Keep a roofline beside an artifact, for the report of a race on the same kind of machine.

    Raises:
        MachineError: the disk is full or the store cannot be written.
    """
    found = Roofline.model_validate(sighting.document())
    path = folder / MEASURED / _FOLDER / f"{fingerprint}.json"
    write_whole(path, found.model_dump_json(indent=1) + "\n", makes_folder=True)


def read_roofline(folder: Path, fingerprint: str) -> Roofline | None:
    """Return what was kept for a fingerprint; None where nothing was that can be read."""
    try:
        return Roofline.model_validate_json((folder / MEASURED / _FOLDER / f"{fingerprint}.json").read_bytes())
    except (OSError, ValidationError):
        return None
