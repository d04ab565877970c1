"""The variants of a store with what was measured of each, and those that nothing asks for any more.

What is not understood is nobody's to delete: it may be a newer release's, or a disk that will answer again.

Reads only, but for `prune`. Of several machines' figures the newest are shown, with the machine's fingerprint; other
figures are in `podium describe variant`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podium.console import Json
from podium.inventory import Listing
from podium.outlook import exports, outcome
from podium.quantities import format_bytes, format_duration
from predictors.errors import ArtifactError
from predictors.manifest import MEASURED, Variant, read_variant
from predictors.measured import EnginePoint, Measured, read_measured
from predictors.store import Store, is_damaged

__all__ = ["Prunable", "list_variants", "model_bytes", "newest", "not_understood", "prunable", "prune"]

_COLUMNS = ("ID", "ADDRESS", "RUNTIME", "PRECISION", "SIZE", "QUALITY", "P50_MS", "ITEMS_PER_S", "AGE")
_NUMBERS = ("SIZE", "QUALITY", "P50_MS", "ITEMS_PER_S", "AGE")


@dataclass(frozen=True, slots=True)
class Prunable:
    """Something in the store that may go: `name` is a variant's id, or what else it is; `reason` says why.

    `problem` is why an artifact that has to stay was not understood.
    """

    name: str
    address: str
    folder: Path
    bytes: int
    reason: str
    problem: str = ""


def list_variants(store: Store) -> Listing:
    """List the variants of a store, the newest first."""
    rows: list[tuple[str, ...]] = []
    items: list[dict[str, Json]] = []
    read: dict[Path, Variant | ArtifactError] = {}
    for folder in store.folders():
        try:
            read[folder] = read_variant(folder)
        except ArtifactError as error:
            read[folder] = error
    plain = exports((folder, found) for folder, found in read.items() if isinstance(found, Variant))
    for folder, variant in read.items():
        if isinstance(variant, ArtifactError):
            rows.append((folder.parent.name, folder.name[:12], *[""] * (len(_COLUMNS) - 3), "unreadable"))
            items.append({"model": folder.parent.name, "address": folder.name, "error": str(variant)})
            continue
        item = _described(folder, variant, plain.get(variant.model.source_digest))
        items.append(item)
        age_s = max(0.0, time.time() - (folder / "variant.yaml").stat().st_mtime)
        rows.append(
            (
                variant.id,
                folder.name[:12],
                f"{variant.runtime.name}/{variant.runtime.provider}",
                variant.precision,
                format_bytes(sum(entry.bytes for entry in variant.files)),
                _cell(item["quality"], "value", ".4f"),
                _cell(item["latency"], "p50_ms", ".3g"),
                _cell(item["throughput"], "items_per_second", ",.0f"),
                format_duration(age_s),
            )
        )
    return Listing(_COLUMNS, tuple(rows), items, _NUMBERS, key="variants")


def prunable(store: Store, *, keep: int = 1) -> Sequence[Prunable]:
    """List what may go: all but the newest `keep` artifacts of each id, damaged ones, and what dead builds left."""
    seen: dict[str, int] = {}
    found: list[Prunable] = []
    for folder in store.folders():
        try:
            name = read_variant(folder).id
        except ArtifactError as error:
            if is_damaged(folder, error):
                found.append(_prunable(folder.parent.name, folder, "damaged"))
            continue
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > keep:
            found.append(_prunable(name, folder, "superseded"))
    found += [_prunable("unfinished build", folder, "abandoned") for folder in store.abandoned()]
    return found


def not_understood(store: Store) -> Sequence[Prunable]:
    """List the artifacts that cannot be read now or were written by a newer release; they stay."""
    found: list[Prunable] = []
    for folder in store.folders():
        try:
            read_variant(folder)
        except ArtifactError as error:
            if not is_damaged(folder, error) and folder.exists():
                found.append(_prunable(folder.parent.name, folder, "not understood, kept", str(error)))
    return found


def prune(store: Store, items: Sequence[Prunable]) -> None:
    """Take these out of the store; each is gone at once or not at all."""
    for item in items:
        store.remove(item.folder)


def _described(folder: Path, variant: Variant, export: Path | None) -> dict[str, Json]:
    known = list(newest(folder))
    quality = next(((mark, found.quality) for mark, found in known if found.quality), None)
    engine = next(((mark, found.engine) for mark, found in known if found.engine), None)
    return {
        "id": variant.id,
        "address": folder.name,
        "model": variant.model.name,
        "runtime": variant.runtime.name,
        "provider": variant.runtime.provider,
        "precision": variant.precision,
        "size_bytes": sum(entry.bytes for entry in variant.files),
        "model_bytes": model_bytes(variant),
        "quality": quality and quality[1].model_dump(mode="json") | {"fingerprint": quality[0]},
        "latency": engine and _latency(*engine),
        "throughput": engine and _throughput(*engine),
        "forecast": next((told for mark, found in known if (told := _forecast(found, mark, export))), None),
        "folder": str(folder),
    }


def _forecast(measured: Measured, mark: str, export: Path | None) -> dict[str, Json] | None:
    """Return what was forecast of a variant on a machine, and what came of it where that is known."""
    if measured.forecast is None:
        return None
    found = outcome(measured, mark, export)
    came = {"measured": found.measured, "kept": found.kept} if found else {"measured": None, "kept": None}
    return {**measured.forecast, **came, "fingerprint": mark}


def model_bytes(variant: Variant) -> int:
    """Return the size of what the engine loads: all files but the golden questions and answers."""
    golden = {*variant.golden.inputs.values(), *variant.golden.outputs.values()}
    return sum(entry.bytes for entry in variant.files if entry.path not in golden)


def newest(folder: Path) -> Iterator[tuple[str, Measured]]:
    """Yield what was measured on each kind of machine, the newest first."""
    paths = sorted((folder / MEASURED).glob("*.json"), key=lambda path: -path.stat().st_mtime_ns)
    for path in paths:
        # A damaged record of measurements is no reason to hide the variant; describing it says what is wrong.
        with suppress(ArtifactError):
            yield path.stem, read_measured(folder, path.stem)


def _latency(mark: str, points: Sequence[EnginePoint]) -> dict[str, Json] | None:
    """Return the median of one image at a time, on as many threads as were measured."""
    single = [point for point in points if point.batch == 1]
    if not single:
        return None
    point = max(single, key=lambda found: found.threads)
    return {
        "batch": 1,
        "threads": point.threads,
        "p50_ms": point.p50_ms,
        "low": point.low,
        "high": point.high,
        "fingerprint": mark,
    }


def _throughput(mark: str, points: Sequence[EnginePoint]) -> dict[str, Json]:
    """Return the items a second of the best batch; its interval follows from that of the median."""
    best = max(points, key=lambda point: point.items_per_second)
    return {
        "batch": best.batch,
        "threads": best.threads,
        "items_per_second": best.items_per_second,
        "low": best.batch * 1e3 / best.high,
        "high": best.batch * 1e3 / best.low,
        "fingerprint": mark,
    }


def _cell(part: Json, name: str, form: str) -> str:
    return format(part[name], form) if isinstance(part, dict) else ""


def _prunable(name: str, folder: Path, reason: str, problem: str = "") -> Prunable:
    return Prunable(name, folder.name, folder, sum(_bytes(path) for path in folder.rglob("*")), reason, problem)


def _bytes(path: Path) -> int:
    """Return a file's size; what goes meanwhile, or cannot be looked at, counts nothing."""
    with suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0
