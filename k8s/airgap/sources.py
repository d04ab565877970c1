"""Files that are taken from others' sources: kind's node files, the manifests of KServe and metrics-server.

They come with the Go modules, which go.sum pins by hash, and are kept in the cache so that a warm start needs neither
Go nor a network.
"""

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from k8s.airgap import cache, golang, versions

_WANTED = {
    "kind": ("sigs.k8s.io/kind", "kind", "images/base/files"),
    "kserve": ("github.com/kserve/kserve", "kserve", "config"),
    "metrics-server": ("sigs.k8s.io/metrics-server", "kube", "manifests/base"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the folders lie: kind's node files, KServe's `config`, metrics-server's `manifests/base`."""

    kind: Path
    kserve: Path
    metrics_server: Path


def obtain(pins: versions.Versions, store: cache.Cache) -> Sources:
    """Return the folders, downloaded where no cache has them."""

    def make(target: Path) -> None:
        with tarfile.open(target, "w") as tar:
            for name, (path, module, folder) in _WANTED.items():
                tar.add(golang.module_folder(path, module, pins) / folder, arcname=name)

    sums: list[str | Path] = [pins.programs[name] for name in ("kind", "kserve", "metricsServer")]
    packed = store.obtain("sources", cache.key([*sums, repr(_WANTED)]), make)
    folder = packed.with_name(packed.name + ".d")
    if not folder.exists():
        part = packed.with_name(packed.name + ".d.part")
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(packed) as tar:
            tar.extractall(part, filter="data")
        part.rename(folder)
    return Sources(kind=folder / "kind", kserve=folder / "kserve", metrics_server=folder / "metrics-server")
