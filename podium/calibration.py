"""Calibrated limits on disk, one file a node class, and profiles that take them.

They hold for the environment that they were measured in and for no other: where the fingerprint differs, the profile
keeps its own. A limit that a profile sets to another value than the default is its own as well.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from loadtest.fault import first_fault
from loadtest.profile import Profile, Thresholds
from loadtest.strict import Strict
from podium.errors import ConfigError
from podium.wholefile import write_whole
from predictors.store import default_store

__all__ = ["Calibration", "calibrated", "calibration_folder", "read_calibration", "write_calibration"]

SCHEMA = "podium.dev/calibration/v1"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,7}")


class Calibration(Strict):
    """The limits of one node class."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    schema_: Literal["podium.dev/calibration/v1"] = Field(default="podium.dev/calibration/v1", alias="schema")
    node_class: str = Field(pattern=_NAME.pattern, description="Node class that the runs were of.")
    fingerprint: str = Field(min_length=1, description="Of the environment; the limits hold in no other.")
    thresholds: dict[str, float] = Field(description="Limits by their name in a profile's thresholds, in snake_case.")
    runs: int = Field(ge=1, description="Runs that they were derived from.")
    made: str = Field(description="When.")


def calibration_folder(store: Path | None = None) -> Path:
    """Return where calibrations are kept: beside the artifact store."""
    return (store or default_store()).parent / "calibration"


def read_calibration(folder: Path, node_class: str) -> Calibration | None:
    """Return what is known of a node class; None where nothing is.

    Raises:
        ConfigError: the file is damaged.
    """
    path = _path(folder, node_class)
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError:
        return None
    except ValidationError as error:
        raise ConfigError(
            f"{path} is not a calibration: {first_fault(error, Calibration)}", "delete it, and calibrate again"
        ) from error


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write a calibration in the place of a former one of the class, whole or not at all.

    Raises:
        MachineError: the disk refuses.
    """
    path = _path(folder, calibration.node_class)
    write_whole(path, calibration.model_dump_json(indent=1) + "\n", makes_folder=True)
    return path


def calibrated(profile: Profile, *, node_class: str, fingerprint: str, folder: Path | None = None) -> Profile:
    """Return a profile with the limits of the environment in the place of defaults.

    Raises:
        ConfigError: the calibration is damaged.
    """
    found = read_calibration(folder or calibration_folder(), node_class)
    if found is None or found.fingerprint != fingerprint:
        return profile
    own, default = profile.thresholds, Thresholds()
    known: Mapping[str, float] = {
        name: value
        for name, value in found.thresholds.items()
        if name in Thresholds.model_fields and getattr(own, name) == getattr(default, name)
    }
    return profile.model_copy(update={"thresholds": own.model_copy(update=dict(known))})


def _path(folder: Path, node_class: str) -> Path:
    if not _NAME.fullmatch(node_class):
        raise ConfigError(f"{node_class!r} is no node class", "podium get classes lists them")
    return folder / f"{node_class}.json"
