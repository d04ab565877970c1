"""Whether a process still runs, by the kernel's word: one that has ended and that nobody has waited for does not."""

from pathlib import Path

__all__ = ["is_running"]


def is_running(pid: int) -> bool:
    """Return whether a process of this machine has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
