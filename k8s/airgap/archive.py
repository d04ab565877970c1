"""Container images without a container engine: an archive in Docker's own format, written by hand.

Several images share layers, as the seven programs of Kubernetes share one binary. `ctr images import` and
`docker load` both take the archive. Same content, same bytes: no time, user or order of this machine goes in.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CREATED = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer: a file's source on this machine, a link's target, or neither for a folder."""

    source: Path | None = None
    link: str | None = None
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Layer:
    """The paths of one layer, absolute in the image."""

    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its name with tag, layers from the bottom up, entry point, numeric user and search path."""

    name: str
    layers: Sequence[str]
    entrypoint: Sequence[str]
    user: str = "0"
    environment: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )


def write_layer(layer: Layer) -> bytes:
    """Return the layer as a tar; folders on the way to each path are made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        made: set[str] = set()
        for path in sorted(layer.entries):
            entry = layer.entries[path]
            parts = path.strip("/").split("/")
            for depth in range(1, len(parts)):
                _folder(tar, "/".join(parts[:depth]), 0o755, made)
            if entry.source is None and entry.link is None:
                _folder(tar, "/".join(parts), entry.mode, made)
                continue
            info = tarfile.TarInfo("/".join(parts))
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            elif entry.source is not None:
                info.size, info.mode = entry.source.stat().st_size, entry.mode
                with entry.source.open("rb") as content:
                    tar.addfile(info, content)
    return out.getvalue()


def _folder(tar: tarfile.TarFile, path: str, mode: int, made: set[str]) -> None:
    if path in made:
        return
    made.add(path)
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def write(images: Sequence[Image], layers: Mapping[str, Layer], target: Path) -> None:
    """Write the archive of all images.

    Raises:
        KeyError: an image names a layer that is not there.
    """
    packed = {name: write_layer(layer) for name, layer in layers.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()}
    manifest = []
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in packed.items():
            _add(tar, f"{digests[name]}/layer.tar", content)
        for image in images:
            config = json.dumps(_config(image, digests), sort_keys=True).encode()
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(tar, config_name, config)
            manifest.append(
                {
                    "Config": config_name,
                    "RepoTags": [image.name],
                    "Layers": [f"{digests[layer]}/layer.tar" for layer in image.layers],
                }
            )
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _config(image: Image, digests: Mapping[str, str]) -> dict[str, object]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": _CREATED,
        "config": {
            "Entrypoint": list(image.entrypoint),
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
            "User": image.user,
            "WorkingDir": "/",
            # Two images of the same layers and entry point shall not be one image with two names.
            "Labels": {"podium.dev/image": image.name},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digests[layer]}" for layer in image.layers]},
        "history": [{"created": _CREATED, "created_by": layer} for layer in image.layers],
    }


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))
