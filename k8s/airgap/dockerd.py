"""A Docker that answers: the one that runs, or on a machine without systemd one that we install and start as root.

A bare Debian in a container or a small virtual machine often lacks systemd, and root there often lacks
CAP_SYS_RESOURCE. Docker's own runc cannot start a privileged container then, so a thin wrapper takes out what the
kernel would refuse. Hosts that have the capability keep plain runc.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

from k8s.airgap.shell import on_path, run, say, step, succeeds
from podium.errors import MachineError

PACKAGES = (
    *("docker.io", "containerd", "runc", "mmdebstrap", "iptables", "nftables", "conntrack", "socat", "ethtool"),
    *("jq", "zstd", "openssl", "ca-certificates", "debian-archive-keyring"),
)
_NEEDED_PROGRAMS = ("dockerd", "containerd", "ctr", "runc", "mmdebstrap", "iptables", "jq", "zstd", "openssl")
_CAP_SYS_RESOURCE = 24
_READY_S = 30.0
_WRAPPER = Path("/usr/local/sbin/runc-nores")
_POLICY = Path("/usr/sbin/policy-rc.d")


def answers() -> bool:
    """Return whether a Docker daemon answers."""
    return succeeds(["docker", "info"])


def lacks_sys_resource(status: str | None = None) -> bool:
    """Return whether this process's bounding set lacks CAP_SYS_RESOURCE, as `/proc/self/status` tells it."""
    for line in (status or Path("/proc/self/status").read_text()).splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1
    return False


def missing_packages() -> list[str]:
    """Return the programs that the air-gapped build needs and that are not there."""
    return [name for name in _NEEDED_PROGRAMS if on_path(name) is None]


def install_packages() -> None:
    """Install Docker and the build tools from Debian, starting no service.

    Raises:
        MachineError: a program is missing, and this is no Debian or we are not root.
    """
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0 or on_path("apt-get") is None:
        raise MachineError(
            f"These programs are missing: {', '.join(missing)}.",
            hint=f"On Debian or Ubuntu: sudo apt-get install {' '.join(PACKAGES)}; then run this again.",
        )
    with step(f"packages from Debian ({', '.join(missing)} missing)"):
        ours = not _POLICY.exists()
        if ours:
            _POLICY.write_text("#!/bin/sh\nexit 101\n")
            _POLICY.chmod(0o755)
        try:
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            run(["apt-get", "update", "-qq"], what="The package index", env=quiet)
            run(
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
                what="Installing packages",
                env=quiet,
            )
        finally:
            if ours:
                _POLICY.unlink()


def ensure(state: Path) -> None:
    """Return when a Docker daemon answers; start one where we may and must.

    Args:
        state: folder for the log and the process id of a daemon that we start.

    Raises:
        MachineError: no daemon answers and we cannot start one.
    """
    if answers():
        return
    if Path("/run/systemd/system").is_dir() or os.geteuid() != 0:
        if on_path("docker") is None:
            raise MachineError(
                "Docker is missing.",
                hint="Install it (Debian and Ubuntu: sudo apt-get install docker.io), then run this again.",
            )
        raise MachineError(
            "Docker does not answer to this user.",
            hint="Start it (sudo systemctl start docker), and be in the group docker or root; then run this again.",
        )
    install_packages()
    with step("dockerd"):
        _start(state)


def _start(state: Path) -> None:
    log = state / "dockerd.log"
    state.mkdir(parents=True, exist_ok=True)
    command = [str(on_path("dockerd")), "--exec-opt", "native.cgroupdriver=cgroupfs", "--ip6tables=false"]
    if lacks_sys_resource():
        say("  no CAP_SYS_RESOURCE here: containers start through runc-nores")
        shutil.copyfile(Path(__file__).with_name("runc-nores"), _WRAPPER)
        _WRAPPER.chmod(0o755)
        command += ["--add-runtime", f"nores={_WRAPPER}", "--default-runtime", "nores"]
    with log.open("ab") as out:
        daemon = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/"
        )
    deadline = time.monotonic() + _READY_S
    while not answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise MachineError(
                "The Docker daemon that we started does not answer.", hint=f"Its log {log} ends:\n{tail}"
            )
        time.sleep(0.2)
    (state / "dockerd.pid").write_text(f"{daemon.pid}\n")


def stop_ours(state: Path) -> bool:
    """End the daemon that `ensure` started, if it still runs; return whether there was one."""
    note = state / "dockerd.pid"
    if not note.exists():
        return False
    pid = int(note.read_text())
    note.unlink()
    try:
        alive = Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except FileNotFoundError:
        return False
    if alive:
        run(["kill", str(pid)], what="Ending dockerd")
        deadline = time.monotonic() + _READY_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
    return alive
