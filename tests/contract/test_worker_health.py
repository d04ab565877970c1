"""What one of several processes suffers is said of the whole on every port, and what it loses takes nobody's place."""

import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from predictors.server.rpc import messages
from tests.contract.conftest import Starter
from tests.contract.server import FREE, Server
from tests.contract.test_workers import STUB, TWO, answered, held_connections, pids, two
from tests.eventually import eventually

PACED = ("--pace", "1", "--max-batch", "1", "--stall", "1s")


def is_serving(server: Server) -> bool:
    """Ask the health service on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
        ask = channel.unary_unary("/grpc.health.v1.Health/Check")
        raw = ask(messages.HealthCheckRequest().SerializeToString(), timeout=60)
    return bool(messages.HealthCheckResponse.FromString(raw).status == messages.HealthCheckResponse.SERVING)


def said(server: Server) -> tuple[int, int, int, bool]:
    """Give readiness twice, liveness, and gRPC's health; a new connection goes to the worker that has fewer."""
    return (
        server.ask("GET", "/v2/health/ready").status,
        server.ask("GET", "/v2/models/tiny/ready").status,
        server.ask("GET", "/v2/health/live").status,
        is_serving(server),
    )


def release(server: Server) -> None:
    for pid in pids(server):
        os.kill(pid, signal.SIGUSR1)


def test_a_stalled_worker_is_a_stalled_server_on_every_port(start: Starter, vector_folder: Path) -> None:
    server = two(start, vector_folder, *PACED, program=STUB)
    assert said(server) == (200, 200, 200, True)
    with ThreadPoolExecutor(1) as pool:
        asking = answered(server, pool)
        try:
            eventually(lambda: said(server) == (503, 503, 503, False))
            assert server.state()["state"] == "ready"
        finally:
            release(server)
        assert asking.result().status == 200
    eventually(lambda: said(server) == (200, 200, 200, True))


def test_who_answers_for_itself_hides_the_other(start: Starter, vector_folder: Path) -> None:
    """The control: the metrics port knows that one is hung, and the data port says that all is well."""
    server = two(start, vector_folder, *PACED, "--without", "consent", program=STUB)
    with ThreadPoolExecutor(1) as pool:
        asking = answered(server, pool)
        try:
            eventually(lambda: server.ask("GET", "/healthz/live", port=server.metrics_port).status == 503)
            assert 200 in said(server)
        finally:
            release(server)
        assert asking.result().status == 200


EARLY = """
import os, signal, sys
from tests.contract import stub
fork = os.fork
def forked():
    pid = fork()
    if pid:
        os.kill(os.getpid(), signal.NAME)
    return pid
os.fork = forked
sys.exit(stub.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_told_to_stop_between_two_forks_it_ends_without_a_word(vector_folder: Path, name: str) -> None:
    command = [sys.executable, "-c", EARLY.replace("NAME", name), str(vector_folder), *FREE, *TWO, "--cpus", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "Traceback" not in done.stderr
    assert "told to stop while loading" in done.stderr


def test_a_connection_without_a_descriptor_takes_nobodys_place(start: Starter, vector_folder: Path) -> None:
    server = two(start, vector_folder)
    assert [server.is_good() for _ in range(4)] == [True] * 4
    eventually(lambda: held_connections(server) == [0, 0])
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids(server)}
    for pid, (_, most) in limits.items():
        used = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
        lowest_free = next(number for number in range(most) if number not in used)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, most))
    for _ in range(4):
        with server.connect() as connection:
            assert connection.recv(1) == b""
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    assert server.is_good()
    eventually(lambda: held_connections(server) == [0, 0])
    assert "no descriptors are left" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
