"""What was built once, found again by the content of all that went in.

Two places: the clone's `.podium/airgap` holds the files as they are used, `PODIUM_CACHE` holds them compressed and
outlives the clone. Neither is needed: what is absent or damaged is made again. Each file appears under its name only
when it is whole, so that a run that was broken off goes on where it stood.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from k8s.airgap.shell import on_path, run, say, step, succeeds

_KEPT = 3
_ZSTD = ("zstd", "-q", "-f", "--long=27")


def default_folder() -> Path:
    """Return the folder that `PODIUM_CACHE` names, or the user's cache folder."""
    chosen = os.environ.get("PODIUM_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium"


def key(parts: Iterable[str | Path]) -> str:
    """Return 16 hexadecimal digits for texts and the content and name of files; a folder counts with all below it."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(f"text {len(part.encode())} {part}".encode())
            continue
        files = sorted(path for path in part.rglob("*") if path.is_file()) if part.is_dir() else [part]
        for file in files:
            name = file.relative_to(part).as_posix() if part.is_dir() else part.name
            total.update(f"file {name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return total.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Cache:
    """The two places: `work` in the clone, `outside` below `PODIUM_CACHE`."""

    work: Path
    outside: Path

    def obtain(self, name: str, wanted: str, make: Callable[[Path], None]) -> Path:
        """Return the file of that name and key; make it where neither place has it, or wait for who is making it.

        Args:
            name: what it is, part of the file's name.
            wanted: the key of all that goes in.
            make: writes the file at the path that it is given, or raises.
        """
        here = self.work / f"{name}-{wanted}"
        packed = self.outside / f"{name}-{wanted}.zst"
        if here.exists() and (packed.exists() or on_path("zstd") is None):
            return here
        self.work.mkdir(parents=True, exist_ok=True)
        with self._alone(name):
            if not here.exists():
                self._fetch_or_make(here, name, packed, make)
            elif not packed.exists():
                # It was made before zstd was there.
                self._pack(here, packed)
        return here

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Be the only one in this clone who makes the files of that name; the lock goes with the process."""
        with (self.work / f".{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"cache: waiting for another process that is making {name}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fetch_or_make(self, here: Path, name: str, packed: Path, make: Callable[[Path], None]) -> None:
        part = here.with_name(f"{here.name}.{os.getpid()}.part")
        if packed.exists() and on_path("zstd") is not None:
            if succeeds([*_ZSTD, "-d", packed, "-o", part], timeout_s=300.0):
                executable = packed.stat().st_mode & 0o111
                part.chmod(0o755 if executable else 0o644)
                part.rename(here)
                self._forget(self.work, name, keep=1)
                return
            say(f"cache: {packed.name} is damaged; making {name} again")
        with step(f"making {name}"):
            part.unlink(missing_ok=True)
            make(part)
        self._pack(part, packed)
        part.rename(here)
        self._forget(self.work, name, keep=1)

    def _pack(self, file: Path, packed: Path) -> None:
        if on_path("zstd") is None:
            return
        packed.parent.mkdir(parents=True, exist_ok=True)
        half = packed.with_suffix(f".{os.getpid()}.part")
        run([*_ZSTD, "-6", "-T2", file, "-o", half], what=f"Packing {packed.name}")
        half.chmod(0o755 if file.stat().st_mode & 0o111 else 0o644)
        half.rename(packed)
        self._forget(packed.parent, packed.name.rsplit("-", 1)[0], keep=_KEPT)

    @staticmethod
    def _forget(folder: Path, name: str, *, keep: int) -> None:
        """Remove all but the newest files of that name: old keys are never asked for again, but by another clone."""
        whole = (path for path in folder.iterdir() if path.suffix != ".part")
        same = [path for path in whole if path.name.rsplit("-", 1)[0] == name and path.is_file()]
        for old in sorted(same, key=lambda path: path.stat().st_mtime)[:-keep]:
            old.unlink()
            shutil.rmtree(old.with_name(old.name + ".d"), ignore_errors=True)
