"""The pins of `k8s/versions.yaml`, and comparing what a program says of itself with them."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "k8s" / "versions.yaml"


@dataclass(frozen=True, slots=True)
class Versions:
    """The pins: programs that are built, the oldest programs of the path, upstream images, Debian's suite."""

    programs: dict[str, str]
    at_least: dict[str, str]
    images: dict[str, str]
    knative_images: dict[str, str]
    debian: str


def load(file: Path = FILE) -> Versions:
    """Read the pins."""
    read = yaml.safe_load(file.read_text())
    return Versions(
        programs=dict(read["programs"]),
        at_least=dict(read["atLeast"]),
        images=dict(read["images"]),
        knative_images=dict(read["knativeImages"]),
        debian=read["debian"],
    )


def numbers(text: str) -> tuple[int, ...]:
    """Return the first dotted number in a text as integers: `v3.17.0-rc.1` gives `(3, 17, 0)`, no number `()`."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def is_at_least(said: str, wanted: str) -> bool:
    """Return whether the version that a program says is the wanted one or newer."""
    return bool(numbers(said)) and numbers(said) >= numbers(wanted)
