"""Generators as child processes: their cores, their logs, and that none of them outlives its block."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import process
from loadtest.errors import GeneratorError
from loadtest.process import last_lines, prefer, start, throttled_periods, wait_all
from tests.eventually import eventually
from tests.loads import program
from tests.running import is_running

WAITS = "import sys, time\nprint('up', flush=True)\ntime.sleep(60)\n"


def test_a_child_runs_on_its_cores_with_its_environment_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K6_VUS", "9")
    mine = os.sched_getaffinity(0)
    core = min(mine)
    code = "import os, sys\nprint(os.environ['WORD'], os.sched_getaffinity(0), 'K6_VUS' in os.environ)\nsys.exit(3)\n"
    command = [str(program(tmp_path, code))]
    log = tmp_path / "log"
    with start(command, log=log, environment={"WORD": "pie"}, cores=frozenset({core}), without="K6_") as child:
        usage = wait_all([child], 60.0)[0]
    assert log.read_text().split("\n")[0] == f"pie {{{core}}} False"
    assert usage.code == 3
    assert usage.cpu_seconds > 0
    assert usage.wall_s >= 0
    assert usage.rss_bytes > 1_000_000
    assert os.sched_getaffinity(0) == mine


def test_output_can_be_kept_apart_from_the_log(tmp_path: Path) -> None:
    command = [str(program(tmp_path, "import sys\nprint('data')\nprint('word', file=sys.stderr)\n"))]
    out = tmp_path / "out"
    with start(command, log=tmp_path / "log", environment={}, cores=None, output=out) as child:
        wait_all([child], 60.0)
    assert (out.read_text(), (tmp_path / "log").read_text()) == ("data\n", "word\n")


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), GeneratorError("it failed")])
def test_whatever_ends_the_block_ends_the_child(tmp_path: Path, ending: BaseException) -> None:
    command = [str(program(tmp_path, WAITS))]
    log = tmp_path / "log"
    pids = []

    def fail() -> None:
        with start(command, log=log, environment={}, cores=None) as child:
            pids.append(child.process.pid)
            eventually(lambda: log.read_text() == "up\n")
            raise ending

    with pytest.raises(type(ending)):
        fail()
    assert not is_running(pids[0])


def test_an_interruption_right_after_the_start_ends_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = []

    def interrupted(pid: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "prefer", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        start([str(program(tmp_path, WAITS))], log=tmp_path / "log", environment={}, cores=None),
    ):
        pass
    assert not is_running(pids[0])


def test_the_whole_group_of_a_child_ends_with_it(tmp_path: Path) -> None:
    code = "import subprocess, sys, time\n"
    code += "print(subprocess.Popen(['sleep', '60']).pid, flush=True)\ntime.sleep(60)\n"
    command = [str(program(tmp_path, code))]
    log = tmp_path / "log"
    with start(command, log=log, environment={}, cores=None):
        eventually(lambda: log.read_text().endswith("\n"))
    grandchild = int(log.read_text())
    eventually(lambda: not is_running(grandchild))


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import sys, time; from pathlib import Path; from loadtest.process import start\n"
        "with start([sys.argv[1]], log=Path(sys.argv[2]), environment={}, cores=None) as child:\n"
        "    print(child.process.pid, flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(program(tmp_path, WAITS)), str(log)]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    eventually(lambda: log.read_text() == "up\n")
    assert is_running(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not is_running(child))


def test_a_child_that_does_not_end_in_time_is_an_error(tmp_path: Path) -> None:
    command = [str(program(tmp_path, WAITS))]
    with (
        pytest.raises(GeneratorError, match="still running after 0 s") as refused,
        start(command, log=tmp_path / "log", environment={}, cores=None) as child,
    ):
        wait_all([child], 0.05)
    assert "busy" in refused.value.hint


def test_a_child_that_is_killed_says_by_which_signal(tmp_path: Path) -> None:
    command = [str(program(tmp_path, WAITS))]
    log = tmp_path / "log"
    with start(command, log=log, environment={}, cores=None) as child:
        eventually(lambda: log.read_text() == "up\n")
        os.killpg(child.process.pid, signal.SIGTERM)
        assert wait_all([child], 60.0)[0].code == -signal.SIGTERM


def test_a_program_that_is_not_there_and_cores_that_are_not_ours_are_errors(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(GeneratorError, match="cannot be started: No such file"),
        start([str(tmp_path / "nothing")], log=log, environment={}, cores=None),
    ):
        pass
    with (
        pytest.raises(GeneratorError, match=r"cannot run on cores \[9999\]") as refused,
        start(["true"], log=log, environment={}, cores=frozenset({9999})),
    ):
        pass
    assert "this process may use" in refused.value.hint


def test_the_last_lines_of_a_log_are_cut_to_a_hint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == ""
    log.write_text("\n".join(f"line {index}" for index in range(20)) + "\n" + "x" * 1000)
    assert last_lines(log, 2) == "line 19\n" + "x" * 400


@pytest.mark.parametrize(
    ("groups", "place", "expected"),
    [
        ("0::/pod/a\n", "sys/fs/cgroup/pod/a", 7),
        ("0::/pod/a\n", "sys/fs/cgroup", 7),
        ("5:cpu,cpuacct:/pod\n4:memory:/pod\n0::/\n", "sys/fs/cgroup/cpu,cpuacct/pod", 7),
        ("5:cpu,cpuacct:/pod\n", "sys/fs/cgroup/cpu", 7),
        ("4:memory:/pod\n", "sys/fs/cgroup/memory/pod", None),
    ],
)
def test_throttled_periods_are_read_from_either_kind_of_cgroup(
    tmp_path: Path, groups: str, place: str, expected: int | None
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "cpu.stat").write_text("nr_periods 90\nnr_throttled 7\nthrottled_usec 5\n")
    assert throttled_periods(tmp_path) == expected


def test_a_cgroup_that_counts_nothing_is_not_zero(tmp_path: Path) -> None:
    assert throttled_periods(tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 5\n")
    assert throttled_periods(tmp_path) is None


def test_a_child_goes_first_where_this_user_may_ask_for_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may raise a priority")
    with start(["sleep", "30"], log=tmp_path / "log", environment={}, cores=None) as child:
        assert os.getpriority(os.PRIO_PROCESS, child.process.pid) == -10
    assert os.getpriority(os.PRIO_PROCESS, 0) >= 0


def test_a_priority_that_is_refused_is_no_error() -> None:
    # No such process: the kernel refuses as it does without the right to ask.
    prefer(2**22 + 1)
