"""What the cluster is made of is compiled beside a command, out of its way, and no longer than it lasts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.airgap import golang, headstart, nodeimage, sources, tools, versions
from k8s.airgap.site import Site
from podium.errors import MachineError
from tests.eventually import eventually
from tests.running import is_running

ROOT = Path(__file__).parents[2]
# Waits until the file is there, as a command that lasts as long as a test wants.
UNTIL = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
# Starts a child that never ends, says who the two are, and waits for it.
COMPILER = """
import os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
begun = pathlib.Path(sys.argv[2], f"thing-k1.{os.getpid()}.part")
begun.parent.mkdir(parents=True)
begun.touch()
part = pathlib.Path(sys.argv[1] + ".part")
part.write_text(f"{os.getpid()} {child.pid} {os.environ['TMPDIR']}")
part.rename(sys.argv[1])
child.wait()
"""

BROKEN = """
import os, pathlib, sys
part = pathlib.Path(sys.argv[1] + ".part")
part.write_text(str(os.getpid()))
part.rename(sys.argv[1])
sys.exit("no network")
"""
# Nobody but its parent has waited for what has ended.
UNTIL_ENDED = (
    UNTIL
    + """
stat = pathlib.Path("/proc", pathlib.Path(sys.argv[1]).read_text(), "stat")
while stat.read_text().rsplit(")", 1)[1].split()[0] != "Z": time.sleep(0.01)
sys.exit(3)
"""
)

STEP = """
import os
from k8s.airgap import headstart
headstart._step_back()
print(os.sched_getscheduler(0), os.nice(0))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "outside"))
    return Site(state=tmp_path / "state")


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def test_the_compiler_ends_with_the_command_and_leaves_nothing(tmp_path: Path, site: Site) -> None:
    there = tmp_path / "there"
    store = site.state / "airgap"
    compiler = python(COMPILER, there, store)
    assert headstart.run(python(UNTIL, there), site=site, compiler=compiler) == 0
    leader, child, scratch = there.read_text().split()
    assert not is_running(int(leader))
    eventually(lambda: not is_running(int(child)))
    assert not Path(scratch).exists()
    assert list(store.iterdir()) == []


def test_the_command_is_answered_for_and_the_compilers_failure_is_told(
    tmp_path: Path, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    assert headstart.run(python(UNTIL_ENDED, there), site=site, compiler=python(BROKEN, there)) == 3
    said = capsys.readouterr().err
    assert "headstart: it ended with status 1; cluster-up will try again" in said
    assert "no network" in said


def test_a_command_that_a_signal_ends_is_told_as_a_shell_does(site: Site) -> None:
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert headstart.run(killed, site=site, compiler=python("pass")) == 128 + 15


def test_what_cluster_up_builds_is_built_in_a_process_that_steps_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped: list[int] = []
    built: list[str] = []
    monkeypatch.setenv("PODIUM_AIRGAP", "always")
    monkeypatch.setattr(headstart, "_step_back", lambda: stepped.append(len(built)))
    monkeypatch.setattr(tools, "is_on_path", lambda name, pins: name == "helm")
    monkeypatch.setattr(sources, "obtain", lambda *_: None)
    monkeypatch.setattr(golang, "obtain", lambda program, *_: built.append(program.name))
    assert headstart.compile_all(site) == 0
    assert stepped == [0]
    assert built == ["kind", *nodeimage.PROGRAMS, "netpol", "fakegpu"]
    assert set(headstart.programs(versions.load(), air_gapped=False)) == {"kind", "fakegpu"}


def test_where_memory_is_short_nothing_is_built(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:  8000000 kB\nMemAvailable:  2097152 kB\n")
    monkeypatch.setattr(headstart, "_MEMORY", memory)
    monkeypatch.setattr(headstart, "_step_back", lambda: None)
    monkeypatch.setattr(golang, "obtain", lambda *_: pytest.fail("built"))
    assert headstart.compile_all(site) == 0
    assert "2.0 GiB of memory are free, 3 are needed; leaving it to cluster-up" in capsys.readouterr().err


def test_what_cannot_be_built_is_one_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise MachineError("Downloading failed.", hint="no network")

    monkeypatch.setenv("PODIUM_AIRGAP", "never")
    monkeypatch.setattr(headstart, "_step_back", lambda: None)
    monkeypatch.setattr(sources, "obtain", fails)
    assert headstart.compile_all(site) == 4
    assert "headstart: Downloading failed.\n  → no network" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="no idle class on this system")
def test_it_steps_back_behind_everybody() -> None:
    said = subprocess.run(python(STEP), capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert said[0] == str(os.SCHED_IDLE) or int(said[1]) == 19
