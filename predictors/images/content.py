"""What an image consists of, and its tag: twelve hex digits of the digest of all of it.

The same inputs give the same tag on every machine, so an image that is there already is never built again.
"""

import hashlib
from pathlib import Path

from predictors.errors import BuildError
from predictors.images.catalog import REPOSITORY, ROOT, Image

__all__ = ["BIN", "code", "inputs", "reference", "tag"]

BIN = Path(".podium/bin")
# These decide what becomes of the inputs.
_MAKERS = ("predictors/images/catalog.py", "predictors/images/context.py", "predictors/images/sbom.py")


def inputs(image: Image, root: Path = ROOT) -> dict[str, Path]:
    """Return the files that go into an image, by their path from the root of the project, in order.

    Raises:
        BuildError: One of them is missing.
    """
    names = [image.dockerfile, image.requirements, *_MAKERS]
    names += code(image, root)
    names += [str(BIN / program) for program in image.programs]
    if image.launcher:
        names.append(image.launcher[0])
    found = {name: root / name for name in sorted(set(names))}
    missing = [name for name, path in found.items() if not path.is_file()]
    if missing:
        hint = "run ./scripts/build-k6" if missing[0].startswith(str(BIN)) else "check out the whole project"
        raise BuildError(f"the image {image.name} needs {missing[0]}, which is not there", hint)
    return found


def tag(image: Image, base: str, root: Path = ROOT) -> str:
    """Return the tag of an image on a base, which is itself named by its content."""
    whole = hashlib.sha256(base.encode())
    for name, path in inputs(image, root).items():
        whole.update(f"\0{name}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:12]


def reference(image: Image, base: str, root: Path = ROOT) -> str:
    """Return the full name of an image: repository, name and tag."""
    return f"{REPOSITORY}/{image.name}:{tag(image, base, root)}"


def code(image: Image, root: Path = ROOT) -> list[str]:
    """Return our own files in an image, by their path from the root of the project."""
    found = {path for pattern in image.code for path in root.glob(pattern) if path.is_file()}
    return sorted(str(path.relative_to(root)) for path in found)
