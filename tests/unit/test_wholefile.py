"""Files that are whole or not there, whichever step of their writing fails."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.wholefile import draft_of, write_whole
from podium import wholefile
from podium.errors import MachineError

STEPS = ("write", "fsync of the draft", "rename", "fsync of the folder")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[str]]:
    """Notes each step of a write; the one with the given number fails."""

    def watch(failing: int | None = None) -> list[str]:
        seen: list[str] = []

        def step(name: str) -> None:
            seen.append(name)
            if len(seen) - 1 == failing:
                raise OSError(28, os.strerror(28))

        write, fsync, rename = Path.write_text, os.fsync, Path.replace

        def slow_write(self: Path, data: str, encoding: str | None = None) -> int:
            step("write")
            return write(self, data, encoding)

        def slow_fsync(descriptor: int) -> None:
            is_folder = Path(f"/proc/self/fd/{descriptor}").is_dir()
            step(f"fsync of the {'folder' if is_folder else 'draft'}")
            fsync(descriptor)

        def slow_rename(self: Path, target: Path) -> Path:
            step("rename")
            return rename(self, target)

        monkeypatch.setattr(Path, "write_text", slow_write)
        monkeypatch.setattr(os, "fsync", slow_fsync)
        monkeypatch.setattr(Path, "replace", slow_rename)
        return seen

    return watch


def test_draft_and_folder_reach_the_disk_around_the_rename(
    tmp_path: Path, steps: Callable[[int | None], list[str]]
) -> None:
    seen = steps(None)
    write_whole(tmp_path / "a.json", "new")
    assert tuple(seen) == STEPS


@pytest.mark.parametrize("failing", range(len(STEPS)), ids=STEPS)
def test_a_write_that_fails_leaves_the_former_file_or_the_new_one_and_nothing_else(
    tmp_path: Path, steps: Callable[[int | None], list[str]], failing: int
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "old")
    steps(failing)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text(encoding="utf-8") == ("new" if STEPS[failing] == "fsync of the folder" else "old")
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_takes_the_draft_along(tmp_path: Path) -> None:
    def interrupted() -> None:
        with draft_of(tmp_path / "a.json") as draft:
            draft.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", "ä")
    (tmp_path / "plain").touch()
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "a.json").read_bytes() == "ä".encode()


def test_a_full_disk_and_a_folder_that_is_a_file_have_remedies(
    tmp_path: Path, steps: Callable[[int | None], list[str]]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be written") as refused:
        wholefile.write_whole(tmp_path / "file" / "a.json", "x", hint="another place")
    assert refused.value.hint == "another place"
    steps(0)
    with pytest.raises(MachineError, match="No space left") as full:
        wholefile.write_whole(tmp_path / "new" / "a.json", "x", hint="another place", makes_folder=True)
    assert full.value.hint == "free some space on that disk"
