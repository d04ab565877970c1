"""The artifact store: `<root>/<model>/<address>/`, and `<root>/<model>/builds/<key>` naming an address.

Folders are content-addressed and never change once they are in; a folder appears by one rename, so that a
reader sees all of it or nothing. The newest address of an id is the one put, or found for a build, last. Building and
checking happen elsewhere. Whoever builds holds a lock on the draft, which the kernel takes from a process that ends in
whatever way, so that a draft which nobody holds is known as one that nobody finishes.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from predictors.errors import ArtifactError, ManifestError
from predictors.manifest import MANIFEST, address_of, read_variant

__all__ = ["Store", "StoredVariant", "default_store", "is_damaged"]

_BUILDS = "builds"
_STAGING = ".staging"
_OLD_S = 86_400.0


@dataclass(frozen=True, slots=True)
class StoredVariant:
    """A variant in the store, or in a folder of its own."""

    id: str
    address: str
    folder: Path


def default_store() -> Path:
    """Name the store's folder: `PODIUM_STORE`, else `.podium/store`."""
    return Path(os.environ.get("PODIUM_STORE") or ".podium/store")


def is_damaged(folder: Path, error: ArtifactError) -> bool:
    """Tell from why a manifest was refused whether its artifact is no longer what was put into the store.

    Whoever deletes asks here: what cannot be read now, or was written by a newer release, is nobody's to take away.
    """
    if not isinstance(error, ManifestError) or error.is_newer:
        return False
    try:
        return address_of(folder) != folder.name
    except OSError:
        return False
    except ArtifactError:
        # A link, which nobody could have put.
        return True


class Store:
    """Artifact folders below one root, which is made on the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[Path, int] = {}

    def staging(self) -> Path:
        """Make an empty folder on the store's own file system, to build in and then `put` or `remove`."""
        parent = self.root / _STAGING
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(dir=parent))
            try:
                lock = os.open(folder, os.O_RDONLY)
            except FileNotFoundError:
                continue
            # A file system without locks for folders knows drafts by their age.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            # Before it was locked it was nobody's; who takes it for one that nobody finishes locks it until it is gone.
            if folder.is_dir():
                self._locks[folder] = lock
                return folder
            os.close(lock)

    def _release(self, folder: Path) -> None:
        lock = self._locks.pop(folder, None)
        if lock is not None:
            os.close(lock)

    def put(self, staging_folder: Path, build_key: str | None = None) -> StoredVariant:
        """Move a finished folder into the store; the same content again only becomes the newest.

        Raises:
            ArtifactError: The folder's manifest does not hold.
            OSError: The disk is full or not writable; nothing half-written stays visible.
        """
        variant = read_variant(staging_folder)
        address = address_of(staging_folder)
        target = self.root / variant.model.name / address
        if not target.exists():
            self._move(staging_folder, target)
        elif staging_folder.resolve() != target.resolve():
            shutil.rmtree(staging_folder)
        self._release(staging_folder)
        # A staging folder is private; what is in the store is mounted into pods that run as somebody else.
        target.chmod(0o755)
        os.utime(target / MANIFEST)
        if build_key is not None:
            self._name_build(variant.model.name, build_key, address)
        return StoredVariant(variant.id, address, target)

    def by_build_key(self, model: str, key: str) -> StoredVariant | None:
        """Find what was built for a key; None if nothing was, or it is gone.

        One whose manifest is damaged is taken away: in its place it could not be built again. One that a newer release
        wrote stays beside what is built anew.

        Raises:
            ArtifactError: It is there and cannot be read.
        """
        path = self.root / model / _BUILDS / key
        try:
            address = path.read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        folder = self.root / model / address
        if not (folder / MANIFEST).is_file():
            return None
        try:
            return StoredVariant(read_variant(folder).id, address, folder)
        except ManifestError as error:
            if is_damaged(folder, error):
                shutil.rmtree(folder)
            return None

    def use(self, stored: StoredVariant) -> None:
        """Note that it is what a build asks for now: it becomes the newest of its id."""
        # A store that cannot be written serves what it has.
        with suppress(OSError):
            os.utime(stored.folder / MANIFEST)

    def folders(self) -> Sequence[Path]:
        """List the folders of all artifacts, damaged ones too, the newest first."""
        found: list[tuple[int, str, Path]] = []
        for path in self.root.glob(f"*/*/{MANIFEST}"):
            # One that goes while others are listed is not there.
            with suppress(FileNotFoundError):
                found.append((-path.stat().st_mtime_ns, str(path), path.parent))
        return [folder for _, _, folder in sorted(found) if folder.parent.name != _STAGING]

    def abandoned(self) -> Sequence[Path]:
        """List the drafts that nobody finishes: their process has ended, or nobody can tell and they are a day old."""
        found = []
        for folder in sorted((self.root / _STAGING).glob("*")):
            held = _is_held(folder)
            if held is False or (held is None and _newest(folder) < time.time() - _OLD_S):
                found.append(folder)
        return found

    def remove(self, folder: Path) -> None:
        """Take a folder out of the store: for readers it is gone at once, and then its bytes.

        Of one that somebody else takes out meanwhile, nothing is left to do.
        """
        draft = folder
        if folder.parent != self.root / _STAGING:
            draft = self.staging()
            with suppress(FileNotFoundError):
                folder.rename(draft / folder.name)
        with suppress(FileNotFoundError):
            shutil.rmtree(draft)
        self._release(draft)

    def sweep(self) -> None:
        """Remove the drafts that nobody finishes, as far as this user may."""
        for folder in self.abandoned():
            with suppress(OSError):
                lock = os.open(folder, os.O_RDONLY)
                try:
                    if _is_locked(lock) is not True:
                        self.remove(folder)
                finally:
                    os.close(lock)

    def list(self) -> Sequence[StoredVariant]:
        """List all variants, the newest first; one with a damaged manifest stands in nobody's way."""
        found: list[StoredVariant] = []
        for folder in self.folders():
            with suppress(ArtifactError):
                found.append(StoredVariant(read_variant(folder).id, folder.name, folder))
        return found

    def find(self, id_or_folder: str | Path) -> StoredVariant:
        """Find a variant by id (its newest address), by `id@address` (or the start of one), or by folder.

        Raises:
            ArtifactError: There is none; the hint says how to get one.
        """
        text = str(id_or_folder)
        folder = Path(text)
        if isinstance(id_or_folder, Path) or "/" in text or (folder / MANIFEST).is_file():
            if not folder.is_dir():
                raise ArtifactError(f"there is no folder {folder}", "name a variant's id or an artifact folder")
            return StoredVariant(read_variant(folder).id, address_of(folder), folder)
        wanted, _, address = text.partition("@")
        known = self.list()
        for stored in known:
            if stored.id == wanted and stored.address.startswith(address):
                return stored
        ids = sorted({stored.id for stored in known})
        have = f"it has {', '.join(ids)}" if ids else "it is empty"
        raise ArtifactError(
            f"there is no variant {text} in {self.root} ({have})",
            "build it with `podium build`, or name a folder",
        )

    def _move(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and target.is_dir():
                shutil.rmtree(source)
            elif error.errno == errno.EXDEV:
                self._copy(source, target)
            else:
                raise

    def _copy(self, source: Path, target: Path) -> None:
        staged = self.staging()
        try:
            shutil.copytree(source, staged, dirs_exist_ok=True)
            self._move(staged, target)
        finally:
            self.remove(staged)
        shutil.rmtree(source)

    def _name_build(self, model: str, key: str, address: str) -> None:
        builds = self.root / model / _BUILDS
        builds.mkdir(parents=True, exist_ok=True)
        staged = builds / f".{key}.{os.getpid()}"
        staged.write_text(address + "\n", encoding="ascii")
        staged.replace(builds / key)


def _is_held(folder: Path) -> bool | None:
    """Tell whether a process holds a draft; None where that cannot be told."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        # Somebody takes it out, or puts it.
        return True
    except OSError:
        return None
    try:
        return _is_locked(lock)
    finally:
        os.close(lock)


def _is_locked(lock: int) -> bool | None:
    """Lock an open draft; tell whether somebody else has it, None where that cannot be told."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _newest(folder: Path) -> float:
    """Return when something in a folder was last written; one that goes meanwhile is in use now."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
