"""The file `dossier.json` of a race: what was known of its artifacts and prices beyond what the race measured.

The report is made from the files of the race folder alone, so what lies in the store and in the node classes is copied
into the folder when the race ends: graphs before and after, forecasts, benchmarks, sensitivities, rooflines, prices.
Gathered again later it holds what the store still has; an artifact that is gone is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from podium.entry import Strict
from podium.errors import NodeClassError
from podium.nodeclass import NodeClass, load_node_class
from podium.outlook import exports, facts_of_artifact, features_of, known, sensitivities_of
from podium.racefile import Race
from podium.rooflines import Roofline, read_roofline
from podium.wholefile import write_whole
from predictors.errors import ArtifactError
from predictors.forecast import forecast
from predictors.manifest import Variant
from predictors.measured import EnginePoint, read_measured
from predictors.store import Store

__all__ = ["Artifact", "Dossier", "Price", "Promise", "classes_of", "gather", "read_dossier", "write_dossier"]

SCHEMA: Final = "podium.dev/dossier/v1"
_FILE = "dossier.json"


class Promise(Strict):
    """What was forecast of an artifact on a node class: times as fast as the plain export."""

    verdict: str
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    reason: str


class Artifact(Strict):
    """One artifact; figures by node class are those of the fingerprint that the race had there."""

    id: str = Field(min_length=1)
    recipe: tuple[str, ...] = Field(default=(), description="Names of its steps.")
    runtime: str = ""
    provider: str = ""
    precision: str = ""
    reference: str | None = Field(default=None, description="Address of the plain export of the same source.")
    ops_before: dict[str, int] = Field(default_factory=dict)
    ops_after: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sensitivities: dict[str, float] = Field(
        default_factory=dict, description="Share of the logits' energy that each layer, quantized alone, loses."
    )
    kept_float: tuple[str, ...] = Field(default=(), description="Layers that stayed in float32.")
    forecast: dict[str, Promise] = Field(default_factory=dict)
    engine: dict[str, tuple[EnginePoint, ...]] = Field(default_factory=dict)
    roofline: dict[str, Roofline] = Field(default_factory=dict)


class Price(Strict):
    """What a node class costs, and the share of a node that one server takes."""

    per_hour: float = Field(gt=0, description="Of the whole node.")
    currency: str
    share: float = Field(gt=0, le=1)
    requests: dict[str, str] = Field(default_factory=dict, description="What a server asks for.")
    allocatable: dict[str, str] = Field(default_factory=dict, description="What a node has for all pods.")

    @property
    def pod_per_hour(self) -> float:
        """Return the price of one server an hour."""
        return self.per_hour * self.share


class Dossier(Strict):
    """Artifacts by address, prices by node class."""

    schema_: Literal["podium.dev/dossier/v1"] = Field(default=SCHEMA, alias="schema")
    artifacts: dict[str, Artifact] = Field(default_factory=dict)
    prices: dict[str, Price] = Field(default_factory=dict)

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


def gather(race: Race, store: Store, classes: Iterable[NodeClass]) -> Dossier:
    """Return what store and node classes know of a race's artifacts; nothing of those that are gone."""
    places = {one.name: one for one in classes}
    found = {folder.name: (folder, variant) for folder, variant in known(store)}
    plain = {digest: folder.name for digest, folder in exports(found.values()).items()}
    raced = {entry.address for entry in race.variants if entry.address in found}
    wanted = sorted(
        raced | {plain[digest] for digest in {found[one][1].model.source_digest for one in raced} & set(plain)}
    )
    artifacts = {}
    for address in wanted:
        # One may be pruned meanwhile; the race that ends here is not to fail for it.
        with suppress(ArtifactError):
            artifacts[address] = _artifact(*found[address], race, places, plain)
    return Dossier(
        artifacts=artifacts,
        prices={name: _price(one) for name, one in places.items() if _agrees(race, one)},
    )


def classes_of(race: Race) -> tuple[NodeClass, ...]:
    """Return the node classes of a race as they are today; those that are gone are left out."""
    found = []
    for name in dict.fromkeys(entry.node_class for entry in race.variants):
        with suppress(NodeClassError):
            found.append(load_node_class(name))
    return tuple(found)


def write_dossier(folder: Path, dossier: Dossier) -> None:
    """Write `dossier.json` whole or not at all.

    Raises:
        MachineError: the disk is full or the folder cannot be written.
    """
    found = {"schema": SCHEMA, **dossier.model_dump(mode="json", exclude_defaults=True)}
    write_whole(folder / _FILE, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def read_dossier(folder: Path) -> Dossier | None:
    """Return the dossier of a race folder; None where there is none that can be read."""
    try:
        return Dossier.model_validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _artifact(
    folder: Path, variant: Variant, race: Race, places: Mapping[str, NodeClass], plain: Mapping[str, str]
) -> Artifact:
    reference = plain.get(variant.model.source_digest)
    marks = {name: race.fingerprints[name] for name in places if name in race.fingerprints}
    measured = {}
    for name, mark in marks.items():
        with suppress(ArtifactError):
            measured[name] = read_measured(folder, mark).engine
    rooflines = {name: one for name, mark in marks.items() if (one := read_roofline(folder, mark)) is not None}
    sensitivities, kept = sensitivities_of(variant.notes)
    return Artifact(
        id=variant.id,
        recipe=tuple(step.name for step in variant.recipe),
        runtime=variant.runtime.name,
        provider=variant.runtime.provider,
        precision=variant.precision,
        reference=reference,
        ops_before=variant.ops.before,
        ops_after=variant.ops.after,
        notes=variant.notes,
        sensitivities=sensitivities,
        kept_float=kept,
        forecast=_promises(variant, folder.parent / reference if reference else None, race, places),
        engine={name: points for name, points in measured.items() if points},
        roofline=rooflines,
    )


def _promises(
    variant: Variant, exported: Path | None, race: Race, places: Mapping[str, NodeClass]
) -> dict[str, Promise]:
    facts = facts_of_artifact(exported) if exported else None
    found = {}
    for name, one in places.items():
        told = race.environment.get(name, {}).get("cpu_features")
        # What the race saw of the CPU has precedence over what its class says.
        features = frozenset(map(str, told)) if isinstance(told, list) else features_of(one)
        promised = forecast(variant.recipe, facts, features)
        if promised.verdict != "unknown":
            found[name] = Promise(
                verdict=promised.verdict, low=promised.low, high=promised.high, reason=promised.reason
            )
    return found


def _price(one: NodeClass) -> Price:
    return Price(
        per_hour=one.price.per_hour,
        currency=one.price.currency,
        share=one.node_share,
        requests={name: str(amount) for name, amount in one.resources.requests.items()},
        allocatable={name: str(amount) for name, amount in one.price.allocatable.items()},
    )


def _agrees(race: Race, one: NodeClass) -> bool:
    """Say whether the costs in a race are of this price: the file may have been changed since."""
    utilization = race.profile.get("utilization")
    for entry in race.variants:
        cost, rate = entry.cost_per_million, entry.server_max_rps
        if entry.node_class == one.name and cost and rate and rate.value > 0 and isinstance(utilization, int | float):
            expected = one.cost_per_million(rate.value * utilization)
            return cost.currency == one.price.currency and abs(cost.value - expected) <= 0.01 * expected
    return True
