"""An input that does not come back is printed and kept, wherever the time goes.

In Python's own code a signal ends it, after so much processor time that a busy machine is none. In C nothing reaches
the interpreter, so a process beside it looks at what is tried and, where that does not change while processor time is
spent, prints it, keeps it and aborts the search.
"""

import hashlib
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

__all__ = ["KEPT", "HangError", "keep", "watched"]

KEPT = Path(__file__).parents[2] / ".podium" / "fuzz"
# What C code is left beyond the signal, in seconds of processor time.
GRACE_S = 2.0
LOOK_S = 0.1

_HEAD = struct.Struct("<QQ")  # how many were tried, and how long the present one is
_MOST = 4 << 20
_ROOT = Path(__file__).parents[2]


class HangError(BaseException):
    """What is tried has used too much processor time; no `except Exception` on its way stops it."""


def keep(data: bytes, folder: Path = KEPT) -> Path:
    """Write an input to a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    return path


@contextmanager
def watched(limit_s: float, folder: Path = KEPT) -> Iterator[Callable[[bytes], None]]:
    """Give what is to be told of every input before it is tried; `HangError` comes out of one that takes too long."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(_HEAD.size + _MOST)
        with mmap.mmap(file.fileno(), 0) as place:
            command = [sys.executable, "-m", "tests.fuzz.hangs", str(os.getpid()), file.name, str(limit_s), str(folder)]
            watcher = subprocess.Popen(command, cwd=_ROOT)
            before = signal.signal(signal.SIGPROF, _hang)
            tried = 0

            def begin(data: bytes) -> None:
                nonlocal tried
                tried += 1
                place[_HEAD.size : _HEAD.size + min(len(data), _MOST)] = data[:_MOST]
                place[: _HEAD.size] = _HEAD.pack(tried, len(data))
                signal.setitimer(signal.ITIMER_PROF, limit_s)

            try:
                yield begin
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.signal(signal.SIGPROF, before)
                watcher.kill()
                watcher.wait()


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Look at another process's inputs until it ends."""
    pid, path, limit_s, folder = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    known, since = -1, 0.0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as place:
        while os.getppid() == pid:
            tried, size = _HEAD.unpack(place[: _HEAD.size])
            spent = _cpu_s(pid)
            if tried != known:
                known, since = tried, spent
            elif tried and spent - since > limit_s + GRACE_S:
                data = place[_HEAD.size : _HEAD.size + min(size, _MOST)]
                kept = keep(data, folder)
                sys.stderr.write(f"an input does not come back, kept as {kept}: {data!r}\n")
                sys.stderr.flush()
                os.kill(pid, signal.SIGABRT)
                return
            time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
