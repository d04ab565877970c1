"""The store files by content, finds the newest, and shows nothing half-written."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from predictors.errors import ArtifactError
from predictors.manifest import address_of, read_variant, write_variant
from predictors.store import Store, StoredVariant, default_store
from tests.artifacts import vector_artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def put(store: Store, *, version: str = "1", key: str | None = None) -> StoredVariant:
    folder = vector_artifact(store.staging())
    variant = read_variant(folder)
    identity = variant.model.model_copy(update={"version": version})
    write_variant(folder, variant.model_copy(update={"model": identity}))
    return store.put(folder, key)


def test_a_put_folder_is_named_by_its_content(store: Store) -> None:
    stored = put(store)
    assert stored.folder == store.root / "tiny" / stored.address
    assert address_of(stored.folder) == stored.address
    assert len(stored.address) == 64


def test_the_same_content_is_kept_once(store: Store) -> None:
    first, again = put(store), put(store)
    assert first == again
    assert len(store.list()) == 1
    assert list((store.root / ".staging").iterdir()) == []


def test_a_build_key_names_the_address(store: Store) -> None:
    stored = put(store, key="abc")
    assert store.by_build_key("tiny", "abc") == stored
    assert store.by_build_key("tiny", "other") is None
    assert store.by_build_key("nobody", "abc") is None


def test_a_build_key_of_a_deleted_folder_finds_nothing(store: Store) -> None:
    stored = put(store, key="abc")
    shutil.rmtree(stored.folder)
    assert store.by_build_key("tiny", "abc") is None


def test_an_id_means_the_address_put_last(store: Store) -> None:
    first, second = put(store), put(store, version="2")
    assert first.id == second.id
    assert store.find(first.id) == second
    assert put(store) == first
    assert store.find(first.id) == first


def test_an_address_may_be_named_by_its_start(store: Store) -> None:
    first, second = put(store), put(store, version="2")
    assert store.find(f"{first.id}@{first.address}") == first
    assert store.find(f"{second.id}@{second.address[:12]}") == second


def test_an_artifact_is_found_by_folder_too(store: Store) -> None:
    stored = put(store)
    assert store.find(stored.folder) == stored
    assert store.find(str(stored.folder)) == stored


def test_an_unknown_id_says_what_there_is(store: Store) -> None:
    with pytest.raises(ArtifactError, match="it is empty"):
        store.find("nothing-ort-fp32")
    put(store)
    with pytest.raises(ArtifactError, match="it has tiny-ort-fp32") as caught:
        store.find("nothing-ort-fp32")
    assert "podium build" in caught.value.hint


def test_a_folder_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no folder"):
        store.find(str(tmp_path / "nowhere"))


def test_a_folder_without_a_manifest_is_not_put(store: Store) -> None:
    with pytest.raises(ArtifactError, match=r"holds no variant\.yaml"):
        store.put(store.staging())
    assert store.list() == []


def test_one_damaged_manifest_stands_in_nobodys_way(store: Store) -> None:
    whole, damaged = put(store), put(store, version="2", key="abc")
    (damaged.folder / "variant.yaml").write_text("")
    assert store.list() == [whole]
    assert store.find(whole.id) == whole
    with pytest.raises(ArtifactError, match=r"variant\.yaml"):
        store.find(damaged.folder)
    assert store.by_build_key("tiny", "abc") is None
    assert put(store, version="2", key="abc") == damaged
    assert store.list() == [damaged, whole]


def test_a_folder_of_another_file_system_is_copied_in(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two file systems cannot be had in every test machine: the rename across them is what differs.
    source = vector_artifact(tmp_path / "elsewhere")
    rename = Path.rename

    def refuse_across(self: Path, target: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_across)
    stored = store.put(source)
    assert address_of(stored.folder) == stored.address
    assert not source.exists()
    assert list((store.root / ".staging").iterdir()) == []


def test_a_full_disk_leaves_nothing_visible(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = vector_artifact(tmp_path / "elsewhere")

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        store.put(source)
    assert store.list() == []


def test_the_default_store_is_settable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_STORE", "/srv/store")
    assert default_store() == Path("/srv/store")
    monkeypatch.delenv("PODIUM_STORE")
    assert default_store() == Path(".podium/store")


def left_by_a_killed_build(store: Store) -> Path:
    """Begin a draft in a process that is killed; return its folder."""
    code = (
        "import os, signal, sys; from pathlib import Path; from predictors.store import Store;"
        "folder = Store(Path(sys.argv[1])).staging(); (folder / 'half').write_text('x');"
        "print(folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.root)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    return Path(done.stdout.strip())


def test_a_draft_is_swept_once_its_process_is_gone_and_not_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    mine = store.staging()
    # However old: a training may write nothing for longer than a day.
    os.utime(mine, (1000, 1000))
    dead = left_by_a_killed_build(store)
    assert (dead / "half").is_file()
    assert Store(tmp_path).abandoned() == [dead]
    Store(tmp_path).sweep()
    assert (mine.is_dir(), dead.exists()) == (True, False)
    store.remove(mine)
    assert list((tmp_path / ".staging").iterdir()) == []


def test_what_is_swept_between_its_making_and_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []

    def sweep_first(lock: int, operation: int) -> None:
        if not swept:
            swept.append(Path(f"/proc/self/fd/{lock}").readlink())
            swept[0].rmdir()
        flock(lock, operation)

    flock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", sweep_first)
    folder = Store(tmp_path).staging()
    assert folder.is_dir()
    assert swept
    assert folder != swept[0]


def test_where_folders_have_no_locks_a_draft_is_known_by_its_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    store = Store(tmp_path)
    folder = store.staging()
    assert store.abandoned() == []
    os.utime(folder, (1000, 1000))
    assert store.abandoned() == [folder]
    # One that goes while it is looked at is in use.
    monkeypatch.setattr(Path, "rglob", lambda *_: [folder / "gone"])
    assert store.abandoned() == []


def test_a_build_takes_nothing_away_that_it_does_not_understand(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = put(store, key="abc")
    manifest = stored.folder / "variant.yaml"
    whole = manifest.read_text(encoding="utf-8")
    manifest.write_text(whole + "sparsity: 0.5\n", encoding="utf-8")
    assert store.by_build_key("tiny", "abc") is None
    assert stored.folder.is_dir()
    manifest.write_text(whole, encoding="utf-8")

    read_text = Path.read_text

    def refuse(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        if self == manifest:
            raise OSError(errno.EIO, "Input/output error")
        return read_text(self, encoding, errors)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ArtifactError, match="Input/output error"):
        store.by_build_key("tiny", "abc")
    assert stored.folder.is_dir()


def test_what_is_used_becomes_the_newest(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = put(store), put(store, version="2")
    for number, stored in enumerate((first, second)):
        os.utime(stored.folder / "variant.yaml", (1000 + number, 1000 + number))
    store.use(first)
    assert store.find(first.id) == first

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    store.use(second)
    assert store.find(first.id) == first


def test_an_artifact_that_goes_while_others_are_listed_is_not_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = put(store), put(store, version="2")
    glob = Path.glob

    def and_then_it_goes(self: Path, pattern: str) -> list[Path]:
        found = list(glob(self, pattern))
        shutil.rmtree(goes.folder, ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "glob", and_then_it_goes)
    assert store.folders() == [stays.folder]
