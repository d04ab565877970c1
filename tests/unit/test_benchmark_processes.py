"""All processes of a server are found, also one that left its session and lost its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.servers.processes import MARK, alive, alone_bytes, family, pss_bytes

# A child in a session of its own, as BentoML's workers are, whose own child is left behind by it.
_SERVER = """
import os, subprocess, sys, time
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
launcher = "import subprocess, sys; print(subprocess.Popen(%r, start_new_session=True).pid, flush=True)" % (wait,)
left = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, start_new_session=True, text=True)
orphan = int(left.stdout.readline())
left.wait()
worker = subprocess.Popen(wait, start_new_session=True)
print(worker.pid, orphan, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[True, False], ids=["marked", "unmarked"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, int, int]]:
    """Start one; gives its mark, and the numbers of the process, its worker and its orphan."""
    mark = "m1" if request.param else "another"
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: mark},
    )
    assert process.stdout is not None
    worker, orphan = (int(text) for text in process.stdout.readline().split())
    yield mark, process.pid, worker, orphan
    assert process.stdin is not None
    # All three wait for the end of this pipe.
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def test_workers_of_another_session_belong_to_the_server(server: tuple[str, int, int, int]) -> None:
    mark, pid, worker, orphan = server
    found = {process.pid for process in family(pid, "m1")}
    assert {pid, worker} <= found
    # The control: without the mark nothing tells whose child a process was that has lost its parent.
    assert (orphan in found) is (mark == "m1")
    assert os.getpid() not in found


def test_memory_of_several_is_more_than_of_one(server: tuple[str, int, int, int]) -> None:
    _, pid, worker, _ = server
    assert pss_bytes([pid, worker])["Pss"] > pss_bytes([pid])["Pss"] > 1 << 20
    # Files are counted whole, and once for both.
    assert alone_bytes([pid]) > pss_bytes([pid])["Pss"]
    assert alone_bytes([pid, worker]) < alone_bytes([pid]) + alone_bytes([worker])


def test_one_that_has_ended_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    members = family(process.pid, "none")
    assert [one.pid for one in alive(members)] == [process.pid]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert process.stdin is not None
    process.stdin.close()
    assert alive(members) == []
    assert alive([one._replace(pid=os.getpid()) for one in members]) == []
