"""What this machine is, has and lacks; each thing that is missing is one clear sentence."""

import json
import os
import platform
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from k8s.airgap import dockerd
from k8s.airgap.nodeimage import Host
from k8s.airgap.shell import run, say
from podium.errors import MachineError, UsageError

_FREE_GIB = 12
_MEMORY_GIB = 6
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_WANTED = 512
_REGISTRIES = ("https://registry-1.docker.io/v2/", "https://registry.k8s.io/v2/")
_PROBE_S = 4.0


def is_air_gapped(setting: str) -> bool:
    """Return whether everything is built here: `always`, `never`, or by `auto` whether a registry does not answer.

    Raises:
        UsageError: the setting is none of the three.
    """
    if setting not in ("auto", "always", "never"):
        raise UsageError(f"PODIUM_AIRGAP is {setting!r}; it may be auto, always or never.")
    return setting == "always" or (setting == "auto" and not all(map(_answers, _REGISTRIES)))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_S) as answer:  # noqa: S310 (constants above)
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        # A registry asks who is there; anything else is something in between.
        return error.code == 401
    except OSError:
        return False


def docker_facts() -> dict[str, Any]:
    """Return what `docker info` says."""
    facts: dict[str, Any] = json.loads(run(["docker", "info", "--format", "{{json .}}"], what="docker info"))
    return facts


def describe(facts: dict[str, Any]) -> Host:
    """Return what of this machine goes into the node image."""
    return Host(softened=dockerd.lacks_sys_resource(), cgroup=int(facts.get("CgroupVersion", "1")))


def check(root: Path, *, air_gapped: bool, facts: dict[str, Any]) -> None:
    """Refuse a machine that cannot carry the cluster.

    Raises:
        MachineError: names what is missing, all of it at once.
    """
    missing = []
    free = shutil.disk_usage(root).free / 2**30
    if free < _FREE_GIB:
        missing.append(f"{_FREE_GIB} GiB of free disk ({free:.0f} GiB are free at {root})")
    memory = facts["MemTotal"] / 2**30
    if memory < _MEMORY_GIB:
        missing.append(f"{_MEMORY_GIB} GiB of memory for Docker (it has {memory:.1f} GiB)")
    if air_gapped:
        if platform.machine() != "x86_64":
            missing.append(f"an x86_64 processor for the images that are built here (this is {platform.machine()})")
        if os.geteuid() != 0:
            missing.append("root, because images are built from file systems here; use sudo -E")
        missing += [f"the program {name}" for name in dockerd.missing_packages()]
    if missing:
        raise MachineError(
            "This machine lacks " + "; ".join(missing) + ".",
            hint=f"On Debian or Ubuntu: sudo apt-get install {' '.join(dockerd.PACKAGES)}" if air_gapped else "",
        )
    _raise_inotify()


def _raise_inotify() -> None:
    # Each node is a whole Linux with its own watchers; the kernel's default of 128 is spent by the third.
    if _INOTIFY.exists() and int(_INOTIFY.read_text()) < _INOTIFY_WANTED:
        try:
            _INOTIFY.write_text(str(_INOTIFY_WANTED))
        except OSError:
            say(f"note: {_INOTIFY} is below {_INOTIFY_WANTED}; nodes may fail to start for lack of file watchers")
