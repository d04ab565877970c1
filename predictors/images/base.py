"""The base image: the pinned upstream one where a registry gives it, else our own of Debian packages.

Either way it is named by its content, so that the images on it are rebuilt when and only when it changes.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from predictors.images import docker
from predictors.images.rootfs import recipe_hash, write_rootfs

__all__ = ["base_image", "cache_folder", "debian_status", "upstream_pin"]

_FOLDER = Path(__file__).parent
_DOCKERFILE = _FOLDER / "base.Dockerfile"
_OWN = "podium/rootfs:bookworm-"
_READ_STATUS = (
    "import pathlib; root = pathlib.Path('/var/lib/dpkg');"
    "files = [*root.glob('status'), *sorted(root.glob('status.d/*'))];"
    "print('\\n\\n'.join(f.read_text() for f in files if f.suffix != '.md5sums'))"
)


def cache_folder() -> Path:
    """Name the folder for what can be had again: `PODIUM_CACHE`, else `podium` in the user's cache."""
    asked = os.environ.get("PODIUM_CACHE")
    return Path(asked) if asked else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"


def upstream_pin() -> str:
    """Return the upstream image that `base.Dockerfile` pins by digest."""
    found = re.search(r"^ARG UPSTREAM=(\S+@sha256:[0-9a-f]{64})$", _DOCKERFILE.read_text(), flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"{_DOCKERFILE.name} pins no upstream image by digest")
    return found[1]


def base_image(asked: str | None, say: Callable[[str], None]) -> str:
    """Return the reference of the base image, made if need be.

    Args:
        asked: an image of one's own to build on (with a Python 3.11); None: upstream's or ours.
        say: takes a line of progress.

    Raises:
        BuildError: There is neither a registry nor a Debian archive, or the image asked for is not there.
    """
    upstream = asked or upstream_pin()
    # Where our own was made before, no registry is asked again: that may take a time-out, and the base would change.
    if not docker.exists(upstream) and (asked or (not _rootfs_tar().is_file() and docker.is_published(upstream))):
        say(f"fetching {upstream}")
        docker.pull(upstream)
    if not docker.exists(upstream):
        upstream = _own_rootfs(say)
    # A tag may be moved and says nothing of the content; what we made ourselves is named by it.
    identity = upstream if upstream.startswith(_OWN) or "@sha256:" in upstream else docker.image_id(upstream)
    reference = f"podium/base:bookworm-{_hash(identity, _DOCKERFILE.read_text())}"
    if not docker.exists(reference):
        say(f"base image {reference}")
        with tempfile.TemporaryDirectory() as nothing:
            docker.build(Path(nothing), _DOCKERFILE, reference, {"UPSTREAM": upstream})
    return reference


def debian_status(base: str) -> str:
    """Return what the base says about its Debian packages, as dpkg's status text."""
    return docker.output(
        "run", "--rm", "--network", "none", "--entrypoint", "/usr/bin/python3", base, "-c", _READ_STATUS
    )


def _own_rootfs(say: Callable[[str], None]) -> str:
    tar = _rootfs_tar()
    if not tar.is_file():
        say("no registry is in reach: making the base of Debian packages (about 20 s)")
        write_rootfs(tar)
    content = hashlib.sha256(tar.read_bytes()).hexdigest()[:12]
    reference = f"{_OWN}{content}"
    if not docker.exists(reference):
        docker.import_tar(tar, reference, ["ENV PATH=/usr/local/bin:/usr/bin:/bin", "ENV LANG=C.UTF-8"])
    return reference


def _rootfs_tar() -> Path:
    return cache_folder() / "images" / f"rootfs-bookworm-{recipe_hash()}.tar"


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
