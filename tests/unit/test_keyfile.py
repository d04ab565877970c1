"""The file of keys while a server runs: taken when it is right, as a Secret changes; else the old keys stay."""

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from predictors.errors import KeysError
from predictors.server import keyfile
from predictors.server.head import HttpError
from predictors.server.keyfile import KeyFile
from predictors.server.keys import line_of, new_key
from tests.turns import until

pytestmark = pytest.mark.unit


def lets_in(file: KeyFile, key: str) -> bool:
    try:
        file.door.enter(f"Bearer {key}").leave()
    except HttpError:
        return False
    return True


def opened(path: Path) -> KeyFile:
    found = KeyFile.of(str(path))
    assert found is not None
    return found


def test_none_asks_for_no_key() -> None:
    assert KeyFile.of("none") is None


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), ("", "has no key"), ("vision x", "line 1")]
)
def test_a_file_that_is_wrong_at_the_start_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeysError, match=said):
        KeyFile.of(str(path))


def test_a_mounted_secret_changes_by_a_link_that_is_renamed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As the kubelet does it: `keys` leads to `..data/keys`, and `..data` to a folder that is exchanged whole."""
    old, new = new_key(), new_key()
    for name, lines in (("..1", [line_of("a", old)]), ("..2", [line_of("a", old), line_of("a", new)])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text("\n".join(lines))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys").symlink_to("..data/keys")
    file = opened(tmp_path / "keys")
    assert (lets_in(file, old), lets_in(file, new)) == (True, False)
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").replace(tmp_path / "..data")
    with caplog.at_level(logging.INFO):
        file.look()
    assert (lets_in(file, old), lets_in(file, new)) == (True, True)
    assert file.door.readings == {"read": 1, "refused": 0}
    assert [record.message for record in caplog.records] == ["the file of keys was read again"]
    assert old not in caplog.text
    assert new not in caplog.text
    # What has not changed is not read anew.
    file.look()
    assert file.door.readings == {"read": 1, "refused": 0}


@pytest.mark.parametrize("bad", ["", "vision", "# nobody", None, "vision sha256:x"])
def test_what_is_wrong_later_keeps_the_old_keys_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str | None
) -> None:
    key, path = new_key(), tmp_path / "keys"
    path.write_text(line_of("a", key))
    file = opened(path)
    path.unlink()
    if bad is not None:
        path.write_text(bad)
    for _ in range(3):
        file.look()
    assert lets_in(file, key)
    assert file.door.readings == {"read": 0, "refused": 1}
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "\n" not in record.__dict__["fields"]["error"]
    # It is mended: the server takes it again.
    other = new_key()
    path.write_text(line_of("a", other))
    file.look()
    assert (lets_in(file, key), lets_in(file, other)) == (False, True)
    assert file.door.readings == {"read": 1, "refused": 1}


def test_a_change_within_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    old, new, path = new_key(), new_key(), tmp_path / "keys"
    path.write_text(line_of("a", old))
    file, before = opened(path), path.stat()
    path.write_text(line_of("a", new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    file.look()
    assert (lets_in(file, old), lets_in(file, new)) == (False, True)


def test_it_is_followed_until_it_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line_of("a", new_key()))

    async def live() -> None:
        file = opened(path)
        await file.stop()
        file.follow()
        await file.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(live())


def test_a_thread_too_many_does_not_keep_keys_that_were_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, path = new_key(), new_key(), tmp_path / "keys"
    path.write_text(line_of("a", old))
    monkeypatch.setattr(keyfile, "_PERIOD_S", 0.001)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def live() -> None:
        file = opened(path)
        file.follow()
        await asyncio.sleep(0)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        path.write_text(line_of("a", new))
        await until(lambda: lets_in(file, new))
        assert not lets_in(file, old)
        await file.stop()

    asyncio.run(live())


def test_a_file_that_never_comes_back_holds_up_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, path = new_key(), tmp_path / "keys"
    path.write_text(line_of("a", key))
    monkeypatch.setattr(keyfile, "_PERIOD_S", 0.001)
    pipes: list[int] = []

    def is_read() -> bool:
        try:
            pipes.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    async def live() -> None:
        file = opened(path)
        file.follow()
        path.unlink()
        os.mkfifo(path)
        await until(is_read)
        assert lets_in(file, key)
        await file.stop()

    # It comes back although the pipe is read to this moment.
    asyncio.run(live())
    os.close(pipes[0])
