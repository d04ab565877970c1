"""A store of artifacts of a test's own, as races and deployments lay it out, and the claim of its namespace to it."""

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from predictors.manifest import address_of, read_variant
from predictors.store import StoredVariant
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl

__all__ = ["CLAIM", "stocked", "stocked_tiny"]

CLAIM = "podium-artifacts"


@contextmanager
def stocked(
    namespace: Kubectl, artifacts: Mapping[str, Path], *, copy: Callable[[str, str], object] = shutil.copy2
) -> Iterator[Path]:
    """Copy folders to where the cluster's nodes see them, by their place, and yield the store's folder.

    The namespace's claim is that folder. Another `copy` than the usual one leaves the files the rights that it gives
    them.
    """
    root = ROOT / ".podium" / "store" / f"test-{uuid.uuid4().hex[:8]}"
    for place, folder in artifacts.items():
        shutil.copytree(folder, root / place, copy_function=copy)
    for path in (root, *root.rglob("*")):
        if path.is_dir() or copy is shutil.copy2:
            path.chmod(0o755 if path.is_dir() else 0o644)
    shared = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": f"/var/lib/podium/store/{root.name}"}}
    bound = {"claimRef": {"namespace": namespace.namespace, "name": CLAIM}}
    metadata = {"name": root.name, "labels": {"podium.dev/test": "true"}}
    spec = {**shared, **volume, **bound, "persistentVolumeReclaimPolicy": "Retain"}
    namespace.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})
    asked = {**shared, "volumeName": root.name, "resources": {"requests": {"storage": "1Gi"}}}
    namespace.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": asked})
    try:
        yield root
    finally:
        namespace.run("delete", "pvc", CLAIM, "--wait=false", check=False)
        namespace.run("delete", "pv", root.name, "--wait=false", check=False)
        shutil.rmtree(root)


@contextmanager
def stocked_tiny(namespace: Kubectl, folder: Path) -> Iterator[StoredVariant]:
    """Make a small artifact in a folder, stock it, and yield it as it lies in the store."""
    variant, address = read_variant(vector_artifact(folder)), address_of(folder)
    place = f"{variant.model.name}/{address}"
    with stocked(namespace, {place: folder}) as root:
        yield StoredVariant(variant.id, address, root / place)
