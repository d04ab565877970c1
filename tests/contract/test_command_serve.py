"""`podium serve` is the same server behind the command line's exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from predictors.fingerprint import environment, fingerprint
from predictors.measured import Batching, write_measured
from predictors.server.keys import line_of, new_key
from tests.artifacts import vector_artifact
from tests.contract.conftest import Starter
from tests.contract.server import FREE

COMMAND = [sys.executable, "-m", "podium", "serve"]


def test_it_serves_until_it_is_told_to_stop(vector_folder: Path) -> None:
    environment = {**os.environ, "PREDICTOR_QUEUE": "7"}
    process = subprocess.Popen(
        [*COMMAND, str(vector_folder), *FREE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", ready["metrics_port"]), 10) as connection:
            connection.sendall(b"GET /debug/state HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            state = connection.makefile("rb").read().partition(b"\r\n\r\n")[2]
        assert json.loads(state)["queue"] == 7
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=200)
        assert process.returncode == 0
        assert out == ""
    finally:
        process.kill()
        process.communicate()


def test_a_port_in_use_is_exit_code_four(vector_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = [str(vector_folder), *FREE, "--http-port", port]
        ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 4
    assert f"127.0.0.1:{port}: the port is in use" in ended.stderr


@pytest.mark.parametrize("program", [COMMAND, [sys.executable, "-m", "predictors.server"]])
def test_an_address_that_is_not_ours_is_exit_code_four(vector_folder: Path, program: list[str]) -> None:
    arguments = [str(vector_folder), *FREE, "--host", "192.0.2.1"]
    ended = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 4
    assert "cannot listen on 192.0.2.1:0: Cannot assign requested address" in ended.stderr
    assert "choose another address" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["nothing-ort-fp32", *FREE], "there is no variant"), (["x", *FREE, "--queue", "0"], "queue")],
)
def test_what_cannot_be_served_is_exit_code_three(arguments: list[str], told: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 3
    assert told in ended.stderr


def test_batches_are_gathered_as_the_benchmark_recorded(start: Starter, tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path)
    where = fingerprint(environment("local", 1.0))
    write_measured(folder, where, batching=Batching(max_batch=3, delay_us=0, threads=1))
    server = start(folder)
    assert server.ready["gather"] == 3
    assert start(folder, "--gather", "2").ready["gather"] == 2


@pytest.mark.parametrize(
    ("flags", "workers"),
    [((), 2), (("--workers", "1"), 1), (("--queue", "1"), 1), (("--keys", "keys"), 1)],
    ids=["recorded", "told", "nothing to divide", "with keys"],
)
def test_as_many_workers_as_the_benchmark_recorded(
    start: Starter, tmp_path: Path, flags: tuple[str, ...], workers: int
) -> None:
    folder = vector_artifact(tmp_path / "artifact")
    where = fingerprint(environment("local", 2.0))
    write_measured(folder, where, batching=Batching(max_batch=1, delay_us=0, instances=2, threads=1))
    (tmp_path / "keys").write_text(line_of("one", new_key()) + "\n")
    server = start(folder, *(str(tmp_path / one) if one == "keys" else one for one in flags), cpus="2")
    assert server.state()["workers"] == workers


def test_a_share_that_nobody_measured_is_one_worker(start: Starter, tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path)
    where = fingerprint(environment("local", 4.0))
    write_measured(folder, where, batching=Batching(max_batch=1, delay_us=0, instances=4, threads=1))
    assert start(folder, cpus="2").state()["workers"] == 1
