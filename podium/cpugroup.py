"""A control group of this machine: processes in it share a quota of the CPU's time, as the containers of a pod do.

Only root may make one, and only where the kernel's groups are not read-only; who may not is told so.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from podium.errors import MachineError

__all__ = ["CpuGroup", "cpu_group"]

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_GONE_S = 5.0
_POLL_S = 0.02


class CpuGroup:
    """A group that exists; a process joins it by writing its id to `processes`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes = folder / "cgroup.procs"

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return the words before a command by which it starts in the group."""
        return ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.processes))

    def remove(self) -> None:
        """Remove the group; one with a process left is the kernel's to keep."""
        deadline = time.monotonic() + _GONE_S
        while self._folder.is_dir():
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            if time.monotonic() > deadline:
                return
            time.sleep(_POLL_S)


def cpu_group(cpus: float, root: Path = _ROOT) -> CpuGroup:
    """Make a group whose processes together get `cpus` cores' time.

    Raises:
        MachineError: this machine lets nobody, or not this user, limit a CPU share.
    """
    version_2 = (root / "cgroup.controllers").is_file()
    base = root if version_2 else next((root / name for name in ("cpu", "cpu,cpuacct") if (root / name).is_dir()), root)
    folder = base / f"podium-{secrets.token_hex(4)}"
    quota_us = round(cpus * _PERIOD_US)
    try:
        if version_2 and "cpu" not in (base / "cgroup.subtree_control").read_text(encoding="ascii").split():
            (base / "cgroup.subtree_control").write_text("+cpu", encoding="ascii")
        folder.mkdir()
        with _removed_on_error(folder):
            if version_2:
                (folder / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}", encoding="ascii")
            else:
                (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US), encoding="ascii")
                (folder / "cpu.cfs_quota_us").write_text(str(quota_us), encoding="ascii")
    except OSError as error:
        raise MachineError(
            f"no process of this machine can be held to {cpus:g} cores: {error.strerror}",
            "run it as root where /sys/fs/cgroup can be written, or play it on the cluster",
        ) from error
    return CpuGroup(folder)


@contextlib.contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError:
        folder.rmdir()
        raise
