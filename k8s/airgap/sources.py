"""Files that are taken from others' sources: kind's node files, the manifests of KServe, metrics-server and Knative.

They come with the Go modules, which go.sum pins by hash, and are kept in the cache so that a warm start needs neither
Go nor a network.
"""

import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from k8s.airgap import cache, golang, versions

# By name: the module that holds the files, the wrapper module that pins it, the folder in it.
_Wanted: TypeAlias = Mapping[str, tuple[str, str, str]]

_WANTED: _Wanted = {
    "kind": ("sigs.k8s.io/kind", "kind", "images/base/files"),
    "kserve": ("github.com/kserve/kserve", "kserve", "config"),
    "metrics-server": ("sigs.k8s.io/metrics-server", "kube", "manifests/base"),
}
# A module holds no links: what Knative's own folder links to lies in the modules that it links to.
_KNATIVE: _Wanted = {
    "serving": ("knative.dev/serving", "knative", "config/core"),
    "networking": ("knative.dev/networking", "knative", "config"),
    "caching": ("knative.dev/caching", "knative", "config"),
    "kourier": ("knative.dev/net-kourier", "knative", "config"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the folders lie: kind's node files, KServe's `config`, metrics-server's `manifests/base`."""

    kind: Path
    kserve: Path
    metrics_server: Path


@dataclass(frozen=True, slots=True)
class KnativeSources:
    """Where the folders lie: Knative Serving's `config/core`, and the `config` of the modules that belong to it."""

    serving: Path
    networking: Path
    caching: Path
    kourier: Path


def obtain(pins: versions.Versions, store: cache.Cache) -> Sources:
    """Return the folders, downloaded where no cache has them."""
    folder = _folders(
        "sources", _WANTED, [pins.programs[name] for name in ("kind", "kserve", "metricsServer")], pins, store
    )
    return Sources(kind=folder / "kind", kserve=folder / "kserve", metrics_server=folder / "metrics-server")


def obtain_knative(pins: versions.Versions, store: cache.Cache) -> KnativeSources:
    """Return Knative's folders, downloaded where no cache has them."""
    sums: list[str | Path] = [golang.MODULES / "knative" / "go.mod"]
    folder = _folders("knative-sources", _KNATIVE, sums, pins, store)
    return KnativeSources(**{name: folder / name for name in _KNATIVE})


def _folders(
    name: str, wanted: _Wanted, sums: Sequence[str | Path], pins: versions.Versions, store: cache.Cache
) -> Path:
    def make(target: Path) -> None:
        with tarfile.open(target, "w") as tar:
            for key, (path, module, folder) in wanted.items():
                tar.add(golang.module_folder(path, module, pins) / folder, arcname=key)

    packed = store.obtain(name, cache.key([*sums, repr(wanted)]), make)
    folder = packed.with_name(packed.name + ".d")
    if not folder.exists():
        part = packed.with_name(packed.name + ".d.part")
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(packed) as tar:
            tar.extractall(part, filter="data")
        part.rename(folder)
    return folder
