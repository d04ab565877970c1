"""Processes read off procfs: what one costs, and which inherited a mark."""

import os
from pathlib import Path

__all__ = ["Cost", "marked"]


class Cost:
    """Processor time, memory and open files of a process."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu_s(self) -> float:
        """Seconds of all its threads so far."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def loop_s(self) -> float:
        """Seconds that the first thread, which has the event loop, has computed so far."""
        name = self._folder.name
        return int((self._folder / "task" / name / "schedstat").read_text().split()[0]) / 1e9

    def resident(self) -> int:
        """Bytes of memory now."""
        return self._kilobytes("VmRSS:") << 10

    def peak(self) -> int:
        """Most bytes of memory since the last `forget_peak`."""
        return self._kilobytes("VmHWM:") << 10

    def forget_peak(self) -> None:
        """Let the peak begin anew."""
        (self._folder / "clear_refs").write_text("5")

    def files(self) -> int:
        """Number of open files and sockets."""
        return len(list((self._folder / "fd").iterdir()))

    def threads(self) -> int:
        """Number of threads."""
        return len(list((self._folder / "task").iterdir()))

    def _kilobytes(self, name: str) -> int:
        return int((self._folder / "status").read_text().partition(name)[2].split()[0])


def marked(mark: str) -> list[str]:
    """Return the command lines of processes that inherited the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
