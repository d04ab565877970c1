"""What was built is found again by what went in, survives the clone, and is made again when it is damaged."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s.airgap import cache, golang, versions
from tests.eventually import eventually

needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")


def folders(root: Path) -> cache.Cache:
    return cache.Cache(work=root / "work", outside=root / "outside")


class Maker:
    def __init__(self, content: str = "made") -> None:
        self.times = 0
        self.content = content

    def __call__(self, target: Path) -> None:
        self.times += 1
        target.write_text(self.content)


def test_made_once_and_then_found(tmp_path: Path) -> None:
    maker = Maker()
    first = folders(tmp_path).obtain("thing", "k1", maker)
    again = folders(tmp_path).obtain("thing", "k1", maker)
    assert (first, first.read_text(), maker.times) == (again, "made", 1)
    folders(tmp_path).obtain("thing", "k2", maker)
    assert maker.times == 2


@needs_zstd
def test_another_clone_takes_it_from_the_outer_folder(tmp_path: Path) -> None:
    maker = Maker()
    made = folders(tmp_path).obtain("thing", "k1", maker)
    made.chmod(0o755)
    shutil.rmtree(tmp_path / "work")
    assert folders(tmp_path).obtain("thing", "k1", maker).read_text() == "made"
    assert maker.times == 1


def test_who_asks_for_what_is_being_made_waits_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    making, go_on = threading.Event(), threading.Event()

    def slow(target: Path) -> None:
        making.set()
        go_on.wait(60)
        target.write_text("first")

    second = Maker("second")
    said = ""

    def is_told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "waiting for another process that is making thing" in said

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(folders(tmp_path).obtain, "thing", "k1", slow)
        assert making.wait(60)
        other = pool.submit(folders(tmp_path).obtain, "thing", "k1", second)
        eventually(is_told)
        go_on.set()
        assert other.result(60).read_text() == first.result(60).read_text() == "first"
    assert second.times == 0


@needs_zstd
def test_what_was_made_without_zstd_is_packed_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker()
    with monkeypatch.context() as without:
        without.setattr(cache, "on_path", lambda name: None)
        folders(tmp_path).obtain("thing", "k1", maker)
    folders(tmp_path).obtain("thing", "k1", maker)
    assert (tmp_path / "outside" / "thing-k1.zst").exists()
    assert maker.times == 1


@needs_zstd
def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    maker = Maker("x" * 4096)
    folders(tmp_path).obtain("thing", "k1", maker)
    shutil.rmtree(tmp_path / "work")
    packed = tmp_path / "outside" / "thing-k1.zst"
    packed.write_bytes(packed.read_bytes()[:10])
    assert len(folders(tmp_path).obtain("thing", "k1", maker).read_text()) == 4096
    assert maker.times == 2


def test_what_was_broken_off_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    def broken(target: Path) -> None:
        target.write_text("half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        folders(tmp_path).obtain("thing", "k1", broken)
    maker = Maker("whole")
    assert folders(tmp_path).obtain("thing", "k1", maker).read_text() == "whole"


def test_without_zstd_the_clone_alone_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "on_path", lambda name: None)
    maker = Maker()
    folders(tmp_path).obtain("thing", "k1", maker)
    assert not (tmp_path / "outside").exists()
    folders(tmp_path).obtain("thing", "k1", maker)
    assert maker.times == 1


def test_old_keys_go_with_what_was_unpacked_from_them(tmp_path: Path) -> None:
    store = folders(tmp_path)
    old = store.obtain("thing", "k1", Maker())
    unpacked = old.with_name(old.name + ".d")
    unpacked.mkdir()
    other = store.obtain("other-thing", "k1", Maker())
    store.obtain("thing", "k2", Maker())
    assert not old.exists()
    assert not unpacked.exists()
    assert other.exists()


def test_the_key_sees_content_names_and_order_of_texts(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    keys = [cache.key([tmp_path]), cache.key(["x", "y"]), cache.key(["xy"]), cache.key(["y", "x"])]
    (tmp_path / "a").write_text("2")
    keys.append(cache.key([tmp_path]))
    (tmp_path / "a").rename(tmp_path / "b")
    keys.append(cache.key([tmp_path]))
    assert len(set(keys)) == len(keys)


def test_our_own_sources_are_in_a_programs_key_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "go"
    shutil.copytree(golang.MODULES / "kube", modules / "kube")
    monkeypatch.setattr(golang, "MODULES", modules)
    pins = versions.load()

    def keys() -> tuple[str, str]:
        return tuple(golang.program_key(golang.PROGRAMS[name], pins) for name in ("pause", "coredns"))  # type: ignore[return-value]

    before = keys()
    (modules / "kube" / "pause" / "main.go").write_text("package main\nfunc main() {}\n")
    after = keys()
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_cache_folder_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PODIUM_CACHE", raising=False)
    assert cache.default_folder() == tmp_path / "podium"
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "mine"))
    assert cache.default_folder() == tmp_path / "mine"
