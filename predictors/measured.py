"""What was measured of a variant on one kind of machine: `measured/<fingerprint>.json` beside the artifact.

It lies outside the artifact's address, because the same bytes are measured on many machines. Each writer
knows one part (quality, engine, batching); writing merges that part into what is there and replaces the
file in one rename.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from predictors.errors import ArtifactError
from predictors.manifest import MEASURED
from predictors.strict import Strict, problem

__all__ = ["Batching", "EnginePoint", "Measured", "MeasuredQuality", "read_measured", "write_measured"]

_FINGERPRINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class MeasuredQuality(Strict):
    """Quality as served, with its interval and the paired test against the source."""

    metric: str
    value: float
    low: float
    high: float
    n: int = Field(ge=1)
    source_value: float | None = None
    p_value: float | None = None
    flips: int | None = None
    per_class: dict[str, float] = Field(default_factory=dict)
    data: str | None = Field(default=None, description="Digest of the test images and their labels.")
    fault: str | None = Field(default=None, description="What is wrong by all appearance; it rejects the variant.")
    largest_error: float | None = Field(
        default=None, ge=0, description="Largest difference of any logit from the source's on the test images."
    )


class EnginePoint(Strict):
    """Raw engine time for one batch size: median in milliseconds with its interval."""

    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    p50_ms: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)
    items_per_second: float = Field(gt=0)


class Batching(Strict):
    """The batching chosen for this machine."""

    max_batch: int = Field(ge=1)
    delay_us: int = Field(
        default=0,
        ge=0,
        description="Always 0, and read by nobody: a free engine that waits answers later at any load and carries no "
        "more, because work gathers while it computes (tests/unit/test_batch_delay.py).",
    )
    instances: int = Field(default=1, ge=1)
    threads: int = Field(ge=1)


class Measured(Strict):
    """The whole of `measured/<fingerprint>.json`."""

    quality: MeasuredQuality | None = None
    engine: tuple[EnginePoint, ...] = ()
    batching: Batching | None = None
    forecast: dict[str, Any] | None = None


def read_measured(folder: Path, fingerprint: str) -> Measured:
    """Read what is known for a fingerprint; an empty `Measured` if nothing is.

    Raises:
        ArtifactError: The file is there and does not hold.
    """
    path = _path(folder, fingerprint)
    try:
        return Measured.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Measured()
    except ValidationError as error:
        raise ArtifactError(f"{path}: {problem(error)}", "delete it and measure again") from error


def write_measured(
    folder: Path,
    fingerprint: str,
    *,
    quality: MeasuredQuality | Mapping[str, Any] | None = None,
    engine: Sequence[EnginePoint | Mapping[str, Any]] | None = None,
    batching: Batching | Mapping[str, Any] | None = None,
    forecast: Mapping[str, Any] | None = None,
) -> Measured:
    """Merge the given parts into the file and return the whole.

    An engine point replaces the known one of equal threads and batch.
    """
    known = read_measured(folder, fingerprint)
    points = {(point.threads, point.batch): point for point in known.engine}
    for item in engine or ():
        point = EnginePoint.model_validate(item)
        points[point.threads, point.batch] = point
    merged = Measured(
        quality=MeasuredQuality.model_validate(quality) if quality is not None else known.quality,
        engine=tuple(points[key] for key in sorted(points)),
        batching=Batching.model_validate(batching) if batching is not None else known.batching,
        forecast=dict(forecast) if forecast is not None else known.forecast,
    )
    path = _path(folder, fingerprint)
    path.parent.mkdir(exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    # Servers of an older release know neither of these, and read a file without them.
    absent = {name for name in ("fault", "largest_error") if getattr(merged.quality, name, None) is None}
    document = merged.model_dump(mode="json", exclude={"quality": absent} if merged.quality else None)
    staged.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    staged.replace(path)
    return merged


def _path(folder: Path, fingerprint: str) -> Path:
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ArtifactError(f"{fingerprint!r} is no fingerprint", "take the one of `podium doctor`")
    return folder / MEASURED / f"{fingerprint}.json"
