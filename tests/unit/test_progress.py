"""What a race shows while it works: lines in a log, a bar on a terminal, silence where asked."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from podium.progress import RaceProgress

ON_A_TERMINAL = """
from podium.progress import RaceProgress
with RaceProgress() as progress:
    progress.stage("Hold at 40/s", 4)
    progress.doing("a: hold block 1/5")
    progress.step()
    progress._bar.refresh()
    progress.stage("Search", 2)
    progress.note("found [bold]something[/bold]")
"""


def test_in_a_log_stages_and_notes_are_lines_and_steps_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with RaceProgress() as progress:
        progress.doing("nothing yet")
        progress.step()
        progress.stage("Hold at 40/s", 10)
        progress.doing("a: hold block 1/5")
        progress.step()
        progress.step(3)
        progress.stage("Search", 0)
        progress.note("found [bold]what[/bold] was " + "long " * 40)
    seen = capsys.readouterr()
    assert seen.out == ""
    # How long the machine took is not what this is about.
    lines = [re.sub(r"^ \d:\d\d", " 0:00", line.rstrip()) for line in seen.err.splitlines()]
    assert lines == [
        " 0:00  Hold at 40/s",
        " 0:00  Search",
        (" 0:00  found [bold]what[/bold] was " + "long " * 40).rstrip(),
    ]


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with RaceProgress(quiet=True) as progress:
        progress.stage("Hold", 3)
        progress.doing("a")
        progress.step()
        progress.note("nobody hears this")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "")


def test_an_error_inside_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with RaceProgress() as progress:
            progress.stage("Hold", 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "Hold" in capsys.readouterr().err


def test_on_a_terminal_there_is_a_bar_with_the_step_and_stages_are_no_lines(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    child = subprocess.Popen([sys.executable, "-c", ON_A_TERMINAL], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait(60) == 0
    text = shown.decode()
    assert re.search(r"a: hold block 1/5 .*1/4", text)
    assert not re.search(r"\d:\d\d  Hold", text)
    assert re.search(r" \d:\d\d  found \[bold\]something\[/bold\]", text)
