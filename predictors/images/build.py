"""Builds our container images: `.venv/bin/python predictors/images/build.py [--with-torch] [--only NAME ...]`.

What is there already is not built again. Writes `.podium/images.json` (name to reference) for whoever loads the
images into a cluster, and each bill of materials to `.podium/sbom/`.
"""

import argparse
import fcntl
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from predictors.errors import BuildError, PredictorError
from predictors.images import docker
from predictors.images.base import base_image, debian_status
from predictors.images.catalog import IMAGES, ROOT, Image, choose
from predictors.images.content import reference
from predictors.images.context import assemble

__all__ = ["build_images", "listed", "main"]

_WORK = Path(".podium")
_BILL = "/usr/share/doc/podium/sbom.json"
_MB = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(prog="build.py", description="Build Podium's container images.")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"one of {', '.join(i.name for i in IMAGES)}")
    parser.add_argument("--with-torch", action="store_true", help="also predictor-torch (gigabytes)")
    parser.add_argument("--base", metavar="IMAGE", help="build on this image, which has a Python 3.11")
    asked = parser.parse_args(arguments)
    try:
        images = choose(asked.only, with_torch=asked.with_torch)
    except KeyError as error:
        parser.error(f"there is no image {error.args[0]}; there are {', '.join(i.name for i in IMAGES)}")
    try:
        build_images(images, asked.base)
    except PredictorError as error:
        sys.stderr.write(f"error: {error}\n" + "".join(f"  → {line}\n" for line in error.hint.splitlines()))
        return 4
    return 0


def build_images(images: Sequence[Image], asked_base: str | None = None, root: Path = ROOT) -> dict[str, str]:
    """Build what is missing of these images and return all references that there now are, by name.

    Raises:
        BuildError: Docker, an input or a package is missing, a build failed, or an image is too large.
    """
    docker.require()
    work = root / _WORK / "images"
    work.mkdir(parents=True, exist_ok=True)
    # Two builders at once would write into one context.
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = base_image(asked_base, _say)
        built = {image.name: _build(image, base, root) for image in images}
        target = root / _WORK / "images.json"
        earlier = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
        there = listed(earlier, built, docker.exists)
        partial = work / "images.json"
        partial.write_text(json.dumps(there, indent=1) + "\n", encoding="utf-8")
        partial.replace(target)
    return there


def listed(earlier: Mapping[str, str], built: Mapping[str, str], is_there: Callable[[str], bool]) -> dict[str, str]:
    """Return the references for a cluster: those built now, and earlier ones of other images that are still there."""
    known = {**{name: value for name, value in earlier.items() if is_there(value)}, **built}
    return {image.name: known[image.name] for image in IMAGES if image.is_deployed and image.name in known}


def _build(image: Image, base: str, root: Path) -> str:
    began = time.monotonic()
    name, context = reference(image, base, root), root / _WORK / "images" / image.name
    is_new = not docker.exists(name)
    while not docker.exists(name):
        _say(f"building {image.name}")
        version = name.rpartition(":")[2]
        assemble(image, context, tag=version, debian=debian_status(base), version=_version(root), root=root)
        if (now := reference(image, base, root)) != name:
            _say(f"{image.name}: a file changed meanwhile, once more")
            name = now
            continue
        labels = {"TITLE": image.title, "VERSION": _version(root), "REVISION": _revision(root)}
        docker.build(context, root / image.dockerfile, name, {"BASE": base, **labels})
    bill = root / _WORK / "sbom" / f"{image.name}-{name.rpartition(':')[2]}.json"
    if not bill.is_file():
        # An image that another clone built has its bill inside.
        bill.parent.mkdir(parents=True, exist_ok=True)
        docker.copy_out(name, _BILL, bill)
    size = docker.size_bytes(name) / _MB
    took = f"built in {time.monotonic() - began:.1f} s" if is_new else "unchanged"
    _say(f"{name}  {size:.0f} MB  {took}")
    if image.limit_mb and size > image.limit_mb:
        raise BuildError(
            f"{image.name} has {size:.0f} MB, more than the {image.limit_mb} MB that it may have",
            f"look into .podium/images/{image.name}/packages for what it does not need",
        )
    return name


def _version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _revision(root: Path) -> str:
    found = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def _say(line: str) -> None:
    sys.stderr.write(f"images: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
