"""One thing in full: a variant, a race, a run or a node class, as data and as an indented outline.

The data are what the files hold, with what is derived beside them. The outline leaves nothing out but what a
terminal cannot show: long lists end in a count.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from podium.benchfile import FILE, read_bench
from podium.console import Json
from podium.errors import UsageError
from podium.inventory import race_folders, run_files
from podium.nodeclass import load_node_class
from podium.outlook import exports, known, outcome
from podium.placement import helm_values
from podium.quantities import format_bytes
from podium.racefile import find_race, read_race
from predictors.manifest import MEASURED, read_variant
from predictors.measured import Measured, read_measured
from predictors.store import Store

__all__ = ["describe_class", "describe_race", "describe_run", "describe_variant", "outline"]

_LONGEST_LIST = 12
_ROUNDED = 6


def describe_variant(store: Store, name: str) -> dict[str, Json]:
    """Describe the newest artifact of a variant id, or that of a folder.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    stored = store.find(name)
    variant = read_variant(stored.folder)
    found: dict[str, Json] = {
        "id": stored.id,
        "address": stored.address,
        "folder": str(stored.folder),
        "size": format_bytes(sum(entry.bytes for entry in variant.files)),
    }
    found |= variant.model_dump(mode="json", by_alias=True, exclude={"id"})
    fingerprints = sorted(path.stem for path in (stored.folder / MEASURED).glob("*.json"))
    plain = exports(known(store)).get(variant.model.source_digest)
    found["measured"] = {mark: _measured(read_measured(stored.folder, mark), mark, plain) for mark in fingerprints}
    return found


def _measured(measured: Measured, mark: str, export: Path | None) -> dict[str, Json]:
    """Return what was measured on a machine; a forecast stands beside what came of it."""
    document: dict[str, Json] = measured.model_dump(mode="json", exclude_none=True)
    came = outcome(measured, mark, export)
    if came is not None and measured.forecast is not None:
        document["forecast"] = {**measured.forecast, "measured": came.measured, "kept": came.kept}
    return document


def describe_race(runs: Path, name: str) -> dict[str, Json]:
    """Describe a race by its id, its folder or `latest`: its `race.json`; or a bench: its `bench.json`.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    for bench in (runs / name, Path(name)):
        if (bench / FILE).is_file():
            return {"folder": str(bench), **read_bench(bench).model_dump(mode="json", by_alias=True)}
    folder = find_race(name, runs)
    document: dict[str, Json] = {"folder": str(folder)}
    return document | read_race(folder).model_dump(mode="json", by_alias=True)


def describe_run(runs: Path, name: str) -> dict[str, Json]:
    """Describe a run by its file, or by race/variant/class/run as `podium get runs` prints it.

    Raises:
        UsageError: there is no such run.
        RecordError: its record cannot be read.
    """
    from loadtest.records import read_record

    path = _run_file(runs, name)
    record: dict[str, Json] = read_record(path).model_dump(mode="json", by_alias=True)
    return {"file": str(path)} | record


def describe_class(name: str) -> dict[str, Json]:
    """Describe a node class: its file, what a pod costs, and the values it gives to the chart.

    Raises:
        NodeClassError: there is none, or its file is refused.
    """
    found = load_node_class(name)
    document: dict[str, Json] = found.model_dump(mode="json")
    derived: dict[str, Json] = {
        "node_share": found.node_share,
        "cost_per_hour": found.cost_per_hour(),
        "helm_values": cast("Json", helm_values(found)),
    }
    return document | derived


def outline(value: Json, indent: int = 0) -> Iterator[str]:
    """Yield the lines of an outline: `key: value`, what belongs to a key indented below it."""
    margin = "  " * indent
    if isinstance(value, Mapping):
        width = max((len(key) for key in value), default=0)
        for key, inner in value.items():
            if _is_leaf(inner):
                yield f"{margin}{key + ':':{width + 1}} {_leaf(inner)}"
            else:
                yield f"{margin}{key}:"
                yield from outline(inner, indent + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value[:_LONGEST_LIST]:
            lines = list(outline(item, indent + 1))
            yield f"{margin}- {lines[0].lstrip()}"
            yield from lines[1:]
        if len(value) > _LONGEST_LIST:
            yield f"{margin}- … and {len(value) - _LONGEST_LIST} more (-o json shows all)"
    else:
        yield f"{margin}{_leaf(value)}"


def _is_leaf(value: Json) -> bool:
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
        return True
    return not value or (isinstance(value, Sequence) and all(_is_scalar(item) for item in value) and len(value) <= 8)


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str) or not isinstance(value, Mapping | Sequence)


def _leaf(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{_ROUNDED}g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_leaf(item) for item in value) or "none"
    return "none" if value is None or value in ("", {}) else str(value)


def _run_file(runs: Path, name: str) -> Path:
    wanted = name.removesuffix(".json")
    candidates = (Path(f"{wanted}.json"), runs / f"{wanted}.json")
    for path in candidates:
        if path.is_file():
            return path
    known = [path for folder in race_folders(runs) for path in run_files(folder)]
    hint = f"podium get runs --runs {runs}" if known else "podium race -f examples/food11.yaml"
    raise UsageError(f"there is no run {name!r} under {runs}", hint)
