import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium import processes
from tests.eventually import eventually
from tests.running import is_running

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_a_child_runs_on_the_cores_it_was_given(tmp_path: Path) -> None:
    core = frozenset({min(os.sched_getaffinity(0))})
    child = processes.start(
        [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"],
        log=tmp_path / "log",
        cores=core,
    )
    assert child.wait(60) == 0
    assert (tmp_path / "log").read_text().strip() == str(sorted(core))


def test_a_childs_environment_is_the_parents_without_what_is_kept_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREDICTOR_MAX_DELAY", "300ms")
    monkeypatch.setenv("WORD", "pie")
    code = "import os; print(os.environ.get('PREDICTOR_MAX_DELAY'), os.environ['WORD'], os.environ['OWN'])"
    for without, seen in ((None, "300ms"), ("PREDICTOR_", "None")):
        log = tmp_path / f"{without}.log"
        child = processes.start([sys.executable, "-c", code], log=log, environment={"OWN": "x"}, without=without)
        assert child.wait(60) == 0
        assert log.read_text().strip() == f"{seen} pie x"


def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    child = processes.start([sys.executable, "-c", STUBBORN], log=tmp_path / "log")
    eventually(lambda: (tmp_path / "log").read_text().startswith("up"))
    processes.stop(child, grace_s=0.2)
    assert processes.ending(child) == "signal SIGKILL"


def test_stopping_ends_the_grandchildren_too(tmp_path: Path) -> None:
    code = (
        f"import subprocess,sys; p=subprocess.Popen([sys.executable,'-c',{STUBBORN!r}]);"
        "print(p.pid,flush=True); p.wait()"
    )
    child = processes.start([sys.executable, "-c", code], log=tmp_path / "log")
    log = tmp_path / "log"
    # Both write there, in whatever order; from then on the signal is ignored.
    eventually(lambda: len(log.read_text().splitlines()) == 2)
    (grandchild,) = (int(word) for word in log.read_text().split() if word != "up")
    assert is_running(grandchild)
    processes.stop(child, grace_s=0.5)
    eventually(lambda: not is_running(grandchild))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path, end: signal.Signals) -> None:
    code = (
        "import sys,time; from pathlib import Path; from podium import processes;"
        f"p=processes.start([sys.executable,'-c',{STUBBORN!r}],log=Path({str(tmp_path / 'log')!r}));"
        "print(p.pid,flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    eventually(lambda: (tmp_path / "log").read_text().startswith("up"))
    parent.send_signal(end)
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not is_running(child))


def test_the_ending_tells_exit_code_and_log(tmp_path: Path) -> None:
    child = processes.start([sys.executable, "-c", "import sys; print('why'); sys.exit(3)"], log=tmp_path / "log")
    child.wait(60)
    assert processes.ending(child) == "exit code 3"
    assert processes.last_lines(tmp_path / "log") == "why"
    assert processes.last_lines(tmp_path / "none") == ""
    processes.stop(child, grace_s=0.1)
