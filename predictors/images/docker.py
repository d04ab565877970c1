"""The docker command line: the one place of the builder that starts it. Knows no image of ours."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from predictors.errors import BuildError

__all__ = [
    "build",
    "copy_out",
    "exists",
    "image_id",
    "import_tar",
    "is_published",
    "output",
    "pull",
    "require",
    "size_bytes",
]

_PULL_S = 900
_PROBE_S = 20


def require() -> None:
    """Check that a Docker daemon answers.

    Raises:
        BuildError: There is no docker command, or no daemon behind it.
    """
    try:
        found = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BuildError("there is no docker command", "install Docker; ./scripts/cluster-up does it") from error
    if found.returncode != 0:
        raise BuildError("no Docker daemon answers", "start it; ./scripts/cluster-up does it")


def exists(reference: str) -> bool:
    """Return whether the daemon has an image."""
    return subprocess.run(["docker", "image", "inspect", reference], capture_output=True).returncode == 0


def image_id(reference: str) -> str:
    """Return the digest of an image's configuration, which changes whenever it is made anew."""
    return str(json.loads(output("image", "inspect", reference))[0]["Id"])


def size_bytes(reference: str) -> int:
    """Return the size of an image with all its layers, uncompressed."""
    return int(json.loads(output("image", "inspect", reference))[0]["Size"])


def is_published(reference: str) -> bool:
    """Return whether a registry in reach knows a reference, without fetching it."""
    try:
        asked = subprocess.run(["docker", "manifest", "inspect", reference], capture_output=True, timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def pull(reference: str) -> None:
    """Fetch an image.

    Raises:
        BuildError: The registry does not give it.
    """
    try:
        _run(["docker", "pull", "--quiet", reference], timeout_s=_PULL_S)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{reference} did not arrive within {_PULL_S} s", "try again on a faster line") from error


def import_tar(tar: Path, reference: str, changes: Sequence[str]) -> None:
    """Make an image of a root file system.

    Raises:
        BuildError: The daemon refuses.
    """
    options = [word for change in changes for word in ("--change", change)]
    _run(["docker", "import", *options, str(tar), reference])


def build(context: Path, dockerfile: Path, reference: str, arguments: Mapping[str, str]) -> None:
    """Build an image without any network: all that goes in is in the context.

    Raises:
        BuildError: The build failed; the hint ends with its last lines.
    """
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    _run(["docker", "build", "--network", "none", "-t", reference, "-f", str(dockerfile), *given, str(context)])


def copy_out(reference: str, path: str, target: Path) -> None:
    """Copy a file out of an image.

    Raises:
        BuildError: There is no such image or file.
    """
    container = output("create", reference, "nothing").strip()
    try:
        _run(["docker", "cp", f"{container}:{path}", str(target)])
    finally:
        output("rm", container)


def output(*arguments: str) -> str:
    """Run docker and return what it prints.

    Raises:
        BuildError: It failed.
    """
    return _run(["docker", *arguments])


def _run(command: list[str], timeout_s: float | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        told = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"`docker {command[1]}` failed for {command[-1]}", told)
    return done.stdout
