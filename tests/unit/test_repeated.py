"""Tiers in random order, again and again: a flaky test is named, and who is interrupted goes on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.repeated import RESULTS, ROOT, command, main
from tests.rounds import Round, read

NAME = "tests/planted/test_some.py"
# Passes only behind the other one.
BY_ORDER = """
seen = []
def test_first():
    seen.append(1)
def test_second():
    assert seen
"""
SOUND = """
def test_first(): ...
def test_second(): ...
"""
# The first time, somebody presses Ctrl-C while it runs.
INTERRUPTED = """
import os, signal, threading
from pathlib import Path
def test_first():
    begun = Path("begun.txt")
    if not begun.exists():
        begun.touch()
        os.kill(os.getppid(), signal.SIGINT)
        threading.Event().wait(60)
"""
DEADLY = """
import os
def test_first(): ...
def test_second():
    os._exit(7)
"""
CONTROLLED = """
import pytest
@pytest.mark.control("R2")
@pytest.mark.parametrize("number", [1, 2])
def test_first(number): ...
@pytest.mark.control("R2")
def test_second():
    pytest.skip("not here")
def test_third():
    assert 0
"""
Plant = Callable[[str], Path]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Write a project of one tier with one file of tests, committed."""
    # Only what a round asks for: the other plugins take seconds to be imported, each time.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def written(text: str) -> Path:
        (tmp_path / NAME).parent.mkdir(parents=True)
        (tmp_path / NAME).write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        git(tmp_path, "init", "--quiet")
        commit(tmp_path, "planted")
        return tmp_path

    return written


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", NAME)
    git(folder, "commit", "--quiet", "-m", message)


def kept(folder: Path) -> list[Round]:
    return read((folder / RESULTS).read_text())


def numbers(*ends: int) -> Callable[[], int]:
    """Return seeds from 1 on, with Ctrl-C at those of `ends`."""
    drawn: Iterator[int] = count(1)

    def draw() -> int:
        number = next(drawn)
        if number in ends:
            raise KeyboardInterrupt
        return number

    return draw


@pytest.mark.control("R37")
def test_a_test_that_passes_by_the_order_is_named_with_seed_and_command(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control: what is planted to be flaky is found, and the order is that of the seed each time."""
    folder = plant(BY_ORDER)
    assert main(["--rounds", "4", "planted"], root=folder, seeds=numbers()) == 1
    told = capsys.readouterr().err
    failing = [one for one in kept(folder) if one.failed]
    assert 0 < len(failing) < 4
    assert all(one.failed == [f"{NAME}::test_second"] for one in failing)
    assert f"flaky: {NAME}::test_second failed in {len(failing)} and passed in {4 - len(failing)} rounds" in told
    assert f"-m pytest tests/planted -p randomly --randomly-seed={failing[0].seed} " in told
    assert "4 x 2 tests" in told
    # The same seed, alone: the same order.
    again = ["--rounds", "1", "--results", "again.jsonl", "planted"]
    assert main(again, root=folder, seeds=lambda: failing[0].seed) == 1


def test_who_is_interrupted_keeps_what_is_finished_and_goes_on(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = plant(SOUND)
    assert main(["--rounds", "2", "planted"], root=folder, seeds=numbers(2)) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert [(one.round, one.seed) for one in kept(folder)] == [(1, 1)]
    assert main(["--rounds", "2", "planted"], root=folder, seeds=lambda: 7) == 0
    assert [(one.round, one.seed, one.passed, one.failed) for one in kept(folder)] == [(1, 1, 2, []), (2, 7, 2, [])]
    assert "planted 2 x 2 tests" in capsys.readouterr().err
    # Nothing is left to play, until there is another commit.
    assert main(["--rounds", "2", "planted"], root=folder, seeds=numbers(1)) == 0
    (folder / NAME).write_text(SOUND + "def test_third(): ...\n")
    assert main(["planted"], root=folder) == 2
    assert "commit first" in capsys.readouterr().err
    commit(folder, "third")
    assert main(["--rounds", "1", "planted"], root=folder) == 0
    assert [(one.round, one.passed) for one in kept(folder)] == [(1, 2), (2, 2), (1, 3)]


def test_ctrl_c_ends_a_round_that_is_played_and_keeps_nothing_of_it(plant: Plant) -> None:
    folder = plant(INTERRUPTED)
    assert main(["--rounds", "1", "planted"], root=folder) == 130
    assert not (folder / RESULTS).exists()
    assert main(["--rounds", "1", "planted"], root=folder) == 0


def test_controls_are_counted_skips_named_and_what_always_fails_is_not_flaky(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = plant(CONTROLLED)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    control: fails without\n")
    assert main(["--rounds", "2", "planted"], root=folder) == 1
    for one in kept(folder):
        assert (one.passed, one.controls, one.is_whole) == (2, 2, True)
        assert (one.failed, one.skipped) == ([f"{NAME}::test_third"], [f"{NAME}::test_second"])
    told = capsys.readouterr().err
    assert f"failed in every round: {NAME}::test_third" in told
    assert "0 flaky, 1 failed always" in told


def test_a_run_that_dies_is_told_with_the_test_that_it_was_at(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    folder = plant(DEADLY)
    assert main(["--rounds", "1", "planted"], root=folder) == 1
    (played,) = kept(folder)
    assert (played.failed, played.is_whole) == ([f"{NAME}::test_second"], False)
    assert "and then the run died" in capsys.readouterr().err


def test_a_tier_that_is_none_or_has_no_test_is_refused(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    folder = plant("")
    assert main(["elsewhere"], root=folder) == 2
    assert "no tier 'elsewhere'" in capsys.readouterr().err
    assert main(["planted"], root=folder) == 2
    assert "planted: no test was run" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_fails(plant: Plant) -> None:
    folder = plant("import nothing_of_the_kind\n")
    assert main(["--rounds", "1", "planted"], root=folder) == 1
    assert [one.failed for one in kept(folder)] == [[NAME]]


def test_the_order_is_off_where_nobody_asks_for_it() -> None:
    assert '"-p", "no:randomly"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "--randomly-dont-reset-seed" in command("unit", 1)
    assert command("unit", 1, 2)[-4:] == ["2", "--dist", "loadfile", "--no-loadscope-reorder"]
