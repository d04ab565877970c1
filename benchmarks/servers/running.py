"""One server that runs: started with its settings, asked until its answer is right, stopped while others are asked."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from benchmarks.servers.client import is_whole
from benchmarks.servers.peers import Peer, Settings
from benchmarks.servers.processes import MARK, Process, alive, family
from benchmarks.servers.question import Question

__all__ = ["Running"]

_DEADLINE_S = 40.0


class Running:
    """A server that runs, with all processes that it starts; it is stopped while another is asked."""

    def __init__(self, peer: Peer, question: Question, *, cache: Path, settings: Settings, number: int = 0) -> None:
        self.peer = peer
        self.settings = settings
        work = cache / "work" / f"{peer.name}-{number}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        venv = cache / peer.name
        python = str(venv / "bin/python") if peer.packages else sys.executable
        self.port = _free_port()
        self._mark = uuid.uuid4().hex
        given = {
            "PORT": str(self.port),
            "GRPC_PORT": str(_free_port()),
            "SIDE_PORT": str(_free_port()),
            "MODEL_FILE": str(question.file),
            "MODEL_FOLDER": str(question.folder),
            "OMP_NUM_THREADS": settings.get("THREADS", "1"),
            "ANSWER": question.scores.astype("<f4").tobytes().hex(),
            **settings,
            **peer.paths(venv, work),
        }
        self.grpc_port = int(given["GRPC_PORT"])
        if peer.prepare is not None:
            peer.prepare(work, question, given)
        self._log: IO[bytes] = (work / "log").open("wb")
        self.process = subprocess.Popen(
            peer.command(python, work, given),
            cwd=work,
            env={**os.environ, **given, MARK: self._mark},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._await_answer(question)

    def pause(self) -> None:
        """Stop all of it, so that it takes no time from another."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End all of it."""
        self.resume()
        # Listed now: whose parent ends first may no longer be known as one of them.
        members = self.processes()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self._signal(signal.SIGKILL, alive(members))
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        """Add up the processor time of all its processes."""
        return sum(process.cpu_s for process in self.processes())

    def processes(self) -> list[Process]:
        """List all its processes."""
        return family(self.process.pid, self._mark)

    def _signal(self, number: signal.Signals, members: Sequence[Process] | None = None) -> None:
        for process in self.processes() if members is None else members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    def _await_answer(self, question: Question) -> None:
        request, is_right = self.peer.request(question), self.peer.is_right(question)
        end = time.monotonic() + _DEADLINE_S
        last = "no connection"
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            last = _answered(self.port, request, is_right)
            if not last:
                return
            time.sleep(0.2)
        self.close()
        raise RuntimeError(f"{self.peer.name} gave no right answer: {last}; see {self._log.name}")


def _answered(port: int, request: bytes, is_right: Callable[[bytes, bytes], bool]) -> str:
    """Ask once; return what is wrong with the answer, or nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(request.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost", 1))
            data = head = body = b""
            while not (head and is_whole(head, body)) and (part := sock.recv(65536)):
                data += part
                head, mark, body = data.partition(b"\r\n\r\n")
                head = head if mark else b""
    except OSError as error:
        return str(error)
    try:
        return "" if head.startswith(b"HTTP/1.1 200") and is_right(head, body) else data[:300].decode("latin-1")
    except (ValueError, KeyError, IndexError):
        return data[:300].decode("latin-1")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
