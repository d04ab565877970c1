"""Processes of this machine by the kernel's word: which still run, and whose children they are."""

from pathlib import Path

__all__ = ["is_running", "parent_of"]


def is_running(pid: int) -> bool:
    """Return whether a process of this machine has not ended; one that nobody has waited for has."""
    try:
        return _after_name(pid)[0] != "Z"
    except OSError:
        return False


def parent_of(pid: int) -> int:
    """Return the id of a process's parent, 0 where the process has gone."""
    try:
        return int(_after_name(pid)[1])
    except OSError:
        return 0


def _after_name(pid: int) -> list[str]:
    # A name may hold spaces and brackets: what follows the last bracket is the state and the numbers.
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
