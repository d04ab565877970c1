"""The node image of kind, put together without a container registry.

A Debian with containerd, the files of kind's own base image, Kubernetes in one binary, a static pod network, and a
containerd store that already holds every image the cluster starts with: nothing is pulled, and nothing is loaded
while the cluster comes up.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s.airgap import archive, cache, golang, nodefiles, versions
from k8s.airgap.shell import run, step, succeeds
from podium.errors import MachineError

PROGRAMS = ("hyperkube", "etcd", "coredns", "pause", "metrics-server", "kserve-manager")
_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
_PRELOAD_S = 30.0
_HERE = Path(__file__).parent
# cache.key covers content; these modules decide what is made of it.
_RECIPE = (_HERE / "nodeimage.py", _HERE / "nodefiles.py", _HERE / "archive.py", _HERE / "node", _HERE / "runc-nores")


@dataclass(frozen=True, slots=True)
class Host:
    """What of this machine goes into the node image: whether runc must be softened, and Docker's cgroup version."""

    softened: bool
    cgroup: int


def image_list(pins: versions.Versions) -> list[archive.Image]:
    """Return the images that are preloaded, named as upstream names them, so that manifests are the same everywhere."""
    version, etcd, coredns = (pins.programs[name] for name in ("kubernetes", "etcd", "coredns"))
    images = [
        archive.Image(
            f"registry.k8s.io/{name}:{version}",
            ["hyperkube", "nft"] if name == "kube-proxy" else ["hyperkube"],
            [f"/usr/local/bin/{name}"],
        )
        for name in _KUBERNETES
    ]
    single = {
        f"registry.k8s.io/etcd:{etcd.removeprefix('v')}-0": ("etcd", "/usr/local/bin/etcd", "0"),
        f"registry.k8s.io/coredns/coredns:{coredns}": ("coredns", "/coredns", "0"),
        f"registry.k8s.io/pause:{pins.programs['pause']}": ("pause", "/pause", "65535"),
        pins.images["metricsServer"]: ("metrics-server", "/metrics-server", "65532"),
        pins.images["kserve"]: ("kserve-manager", "/manager", "65532"),
    }
    return images + [archive.Image(name, [layer], [entry], user) for name, (layer, entry, user) in single.items()]


def layer_list(programs: Mapping[str, Path], nft: Mapping[str, archive.Entry]) -> dict[str, archive.Layer]:
    """Return the layers that the images share."""
    empty = {"/tmp": archive.Entry(mode=0o1777), "/etc": archive.Entry(), "/usr/local/bin": archive.Entry()}  # noqa: S108
    binary = "/usr/local/bin/hyperkube"
    links = {f"/usr/local/bin/{name}": archive.Entry(link="hyperkube") for name in _KUBERNETES}
    paths = {
        "etcd": "/usr/local/bin/etcd",
        "coredns": "/coredns",
        "pause": "/pause",
        "metrics-server": "/metrics-server",
        "kserve-manager": "/manager",
    }
    layers = {"hyperkube": archive.Layer({**empty, binary: archive.Entry(programs["hyperkube"]), **links})}
    layers |= {name: archive.Layer({**empty, path: archive.Entry(programs[name])}) for name, path in paths.items()}
    return layers | {"nft": archive.Layer(nft)}


def obtain(
    pins: versions.Versions, store: cache.Cache, host: Host, kind_files: Path, base_when_ready: Callable[[], Path]
) -> str:
    """Return the name of the node image in Docker; make it if it is not there.

    Args:
        pins: versions.
        store: where programs and the Debian base are cached.
        host: what of this machine goes in.
        kind_files: `images/base/files` of kind's sources.
        base_when_ready: waits for the tar of the Debian base, which is made beside the programs.
    """
    programs = {name: golang.obtain(golang.PROGRAMS[name], pins, store) for name in PROGRAMS}
    base = base_when_ready()
    inputs = [f"{name} {path.name}" for name, path in programs.items()]
    wanted = cache.key([base.name, *inputs, str(host), *sorted(pins.images.values()), kind_files, *_RECIPE])
    name = f"kind.local/podium/node:{wanted[:12]}"
    if not succeeds(["docker", "image", "inspect", name]):
        with step("node image"), tempfile.TemporaryDirectory(dir=store.work, prefix="node.") as folder:
            _build(name, Path(folder), base=base, programs=programs, pins=pins, host=host, kind_files=kind_files)
        _forget_others(name)
    return name


def _forget_others(name: str) -> None:
    """Remove node images of other versions; Docker keeps the one that a cluster runs on."""
    repository = name.partition(":")[0]
    listed = run(["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", repository], what="Node images")
    for other in set(listed.split()) - {name}:
        succeeds(["docker", "rmi", other])


def _build(
    name: str,
    folder: Path,
    *,
    base: Path,
    programs: Mapping[str, Path],
    pins: versions.Versions,
    host: Host,
    kind_files: Path,
) -> None:
    root = folder / "root"
    root.mkdir()
    run(["tar", "-C", root, "-xf", base], what="Unpacking the Debian base")
    nodefiles.lay_out(root, kind_files, pins, softened=host.softened, systemd_cgroup=host.cgroup > 1)
    shutil.copy2(programs["hyperkube"], root / "usr/bin/hyperkube")
    for link in ("kubelet", "kubeadm", "kubectl"):
        (root / "usr/bin" / link).symlink_to("hyperkube")
    images = folder / "images.tar"
    archive.write(image_list(pins), layer_list(programs, nodefiles.nft_layer(root)), images)
    _preload(root, images, folder)
    images.unlink()
    changes = [
        'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]',
        "ENV container=docker PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LABEL podium.dev/image=node",
    ]
    command = ["docker", "import", *(word for change in changes for word in ("--change", change)), "-", name]
    with subprocess.Popen(["tar", "-C", str(root), "-cf", "-", "."], stdout=subprocess.PIPE) as packing:
        done = subprocess.run(command, stdin=packing.stdout, capture_output=True, text=True, check=False)
    if done.returncode != 0 or packing.returncode != 0:
        raise MachineError("Docker did not take the node image.", hint=done.stderr.strip())


def _preload(root: Path, images: Path, folder: Path) -> None:
    """Import the images into the containerd store of the file system, with a containerd of our own."""
    socket = folder / "containerd.sock"
    settings = folder / "containerd.toml"
    off = [f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "native", "zfs")]
    settings.write_text(
        f"version = 2\nroot = {json.dumps(str(root / 'var/lib/containerd'))}\n"
        f"state = {json.dumps(str(folder / 'state'))}\n"
        f"disabled_plugins = {json.dumps(['io.containerd.grpc.v1.cri', *off])}\n"
        f"[grpc]\naddress = {json.dumps(str(socket))}\n"
    )
    log = folder / "containerd.log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(["containerd", "--config", str(settings)], stdout=out, stderr=out)
    try:
        control: list[str | Path] = ["ctr", "--address", socket]
        deadline = time.monotonic() + _PRELOAD_S
        while not (socket.exists() and succeeds([*control, "version"])):
            if daemon.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise MachineError("The containerd that fills the node image does not answer.", hint=tail)
            time.sleep(0.1)
        run(
            [*control, "-n", "k8s.io", "images", "import", "--all-platforms", "--snapshotter", "overlayfs", images],
            what="Filling the node image",
        )
    finally:
        daemon.terminate()
        daemon.wait(timeout=_PRELOAD_S)
