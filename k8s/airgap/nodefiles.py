"""The files of a kind node: kind's own, changed where Debian's containerd or this machine's kernel needs it."""

import json
import re
import shutil
from pathlib import Path

from k8s.airgap import archive, versions
from k8s.airgap.shell import run

_HERE = Path(__file__).parent
_XTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")


def containerd_config(text: str, pause: str, *, softened: bool, systemd_cgroup: bool) -> str:
    """Return kind's containerd configuration for our node: pause image, cgroup driver, softened runc."""
    text = re.sub(r"\[proxy_plugins\].*?(?=\n\[plugins)", "", text, flags=re.DOTALL)
    text = re.sub(r'sandbox_image = ".*?"', f'sandbox_image = "{pause}"', text)
    if not systemd_cgroup:
        text = text.replace("SystemdCgroup = true", "SystemdCgroup = false")
    if softened:
        text = re.sub(r"(\n *)(SystemdCgroup = \w+)", r'\1\2\1BinaryName = "/usr/local/sbin/runc-nores"', text)
        text = text.replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
    return text


def containerd_unit(text: str) -> str:
    """Return kind's unit for Debian's containerd; a negative OOM score may not be granted."""
    text = text.replace("/usr/local/bin/containerd", "/usr/bin/containerd")
    return re.sub(r"^OOMScoreAdjust=.*\n", "", text, flags=re.MULTILINE)


def lay_out(root: Path, kind_files: Path, pins: versions.Versions, *, softened: bool, systemd_cgroup: bool) -> None:
    """Turn an unpacked Debian into a kind node without its Kubernetes binaries.

    Args:
        root: the unpacked Debian; must belong to this process alone.
        kind_files: `images/base/files` of kind's sources, whose modes are lost.
        pins: versions.
        softened: whether containers start through `runc-nores`.
        systemd_cgroup: whether containerd asks systemd for cgroups.
    """
    for source in sorted(path for path in kind_files.rglob("*") if path.is_file()):
        place = source.relative_to(kind_files)
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if {"bin"} & set(place.parts) else 0o644)
    settings = root / "etc/containerd/config.toml"
    pause = f"registry.k8s.io/pause:{pins.programs['pause']}"
    settings.write_text(
        containerd_config(settings.read_text(), pause, softened=softened, systemd_cgroup=systemd_cgroup)
    )
    unit = root / "etc/systemd/system/containerd.service"
    unit.write_text(containerd_unit(unit.read_text()))
    _container_spec(root)
    _settle_systemd(root)
    cni = root / "opt/cni/bin"
    cni.mkdir(parents=True)
    for plugin in ("ptp", "host-local", "portmap", "loopback", "bridge"):
        (cni / plugin).symlink_to(f"/usr/lib/cni/{plugin}")
    for folder in ("etc/kubernetes/manifests", "etc/cni/net.d", "usr/local/sbin", "kind"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for source_name, target_name in (
        ("node/podium-pod-network", "usr/local/bin/podium-pod-network"),
        ("runc-nores", "usr/local/sbin/runc-nores"),
    ):
        shutil.copyfile(_HERE / source_name, root / target_name)
        (root / target_name).chmod(0o755)
    (root / "kind/version").write_text(pins.programs["kubernetes"] + "\n")


def _container_spec(root: Path) -> None:
    # As kind's Dockerfile does it: resource limits of this process shall not become those of every container.
    spec = json.loads(run(["chroot", root, "ctr", "oci", "spec"], what="containerd's container specification"))
    spec["process"].pop("rlimits", None)
    (root / "etc/containerd/cri-base.json").write_text(json.dumps(spec))


def _settle_systemd(root: Path) -> None:
    """Keep of systemd's units what a node needs, as kind's Dockerfile does."""
    for pattern in (
        "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
        "lib/systemd/system/multi-user.target.wants/*",
        "etc/systemd/system/*.wants/*",
        "lib/systemd/system/local-fs.target.wants/*",
        "lib/systemd/system/sockets.target.wants/*udev*",
        "lib/systemd/system/sockets.target.wants/*initctl*",
        "lib/systemd/system/basic.target.wants/*",
    ):
        for unit in root.glob(pattern):
            unit.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as settings:
        settings.write("ReadKMsg=no\n")
    init = root / "usr/sbin/init"
    init.unlink(missing_ok=True)
    init.symlink_to("/usr/lib/systemd/systemd")
    units = root / "etc/systemd/system"
    shutil.copyfile(_HERE / "node/podium-pod-network.service", units / "podium-pod-network.service")
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    for name in ("kubelet", "containerd", "undo-mount-hacks", "podium-pod-network"):
        (wanted / f"{name}.service").symlink_to(f"/etc/systemd/system/{name}.service")
    # binfmt_misc belongs to the kernel, and so to the host.
    (units / "systemd-binfmt.service").symlink_to("/dev/null")


def nft_layer(root: Path) -> dict[str, archive.Entry]:
    """Return nft, iptables and the libraries they load, for kube-proxy's image.

    Without the names of protocols nft lists `6` where kube-proxy wrote `tcp`: its hourly full sync takes what it reads
    for stale, and deletes every Service of the node.
    """
    entries = {"/etc/protocols": archive.Entry(root / "etc/protocols")}
    for program in ("/usr/sbin/nft", "/usr/sbin/xtables-nft-multi"):
        entries[program] = archive.Entry(root / program.lstrip("/"))
        loaded = run(["chroot", root, "ldd", program], what=f"The libraries of {program}")
        for library in re.findall(r"(/\S+) \(0x", loaded):
            entries[library] = archive.Entry((root / library.lstrip("/")).resolve())
    return entries | {f"/usr/sbin/{name}": archive.Entry(link="xtables-nft-multi") for name in _XTABLES}
