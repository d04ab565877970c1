"""Start, faults while serving, and the end: what is accepted is answered, whatever signal comes."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from predictors.manifest import file_entries, read_variant, write_variant
from tests.artifacts import WEIGHTS, image_artifact, vector_artifact
from tests.contract.conftest import Starter
from tests.contract.holding import held, hold, waiting, with_a_gate
from tests.contract.server import FREE, Server
from tests.eventually import eventually
from tests.ports import free_ports

X = {"instances": [[0.0, 1.0, 0.0, 0.0]]}


def ask(server: Server) -> int:
    """Give the status, 0 where no answer came."""
    try:
        return server.post_json("/v1/models/tiny:predict", X).status
    except (OSError, http.client.HTTPException):
        return 0


def failed_start(*arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "predictors.server", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout == ""
    sentence = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentence) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.returncode, sentence[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_work_in_flight_is_finished_before_the_end(start: Starter, vector_folder: Path, number: signal.Signals) -> None:
    server = with_a_gate(start, vector_folder)
    with ThreadPoolExecutor(6) as pool:
        with held(server):
            accepted = [pool.submit(ask, server) for _ in range(6)]
            waiting(server, 7)
            server.process.send_signal(number)
            eventually(lambda: server.state()["state"] != "ready", pause_s=0.005)
        assert [future.result() for future in accepted] == [200] * 6
    assert server.process.wait(60) == 0


def test_killed_hard_it_loses_work(start: Starter, vector_folder: Path) -> None:
    """The control: the requests above can fail."""
    server = with_a_gate(start, vector_folder)
    with ThreadPoolExecutor(7) as pool:
        hold(server, pool)
        accepted = [pool.submit(ask, server) for _ in range(6)]
        waiting(server, 7)
        server.stop(signal.SIGKILL)
        assert [future.result() for future in accepted] == [0] * 6


def test_the_pre_stop_margin_is_served(start: Starter, vector_folder: Path) -> None:
    """The margin is longer than any test takes, so that it ends with the test and not by itself."""
    server = start(vector_folder, "--pre-stop", "9m", "--grace", "10m")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.state()["state"] == "draining", pause_s=0.005)
    for path in ("/v2/health/ready", "/v2/models/tiny/ready", "/v1/models/tiny"):
        assert server.ask("GET", path).status == 503
    assert server.ask("GET", "/healthz/ready", port=server.metrics_port).status == 503
    assert server.ask("GET", "/v2/health/live").status == 200
    assert ask(server) == 200, "who has not heard yet is served"
    server.stop(signal.SIGKILL)


def test_after_the_pre_stop_margin_new_work_is_refused(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, "--pre-stop", "100ms", "--grace", "5m")
    with held(server):
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.state()["state"] == "refusing", pause_s=0.005)
        answer = server.post_json("/v1/models/tiny:predict", X)
    assert (answer.status, answer.json["code"]) == (503, "not_ready")
    assert answer.headers["connection"] == "close"
    assert answer.headers["retry-after"] == "1"
    assert server.process.wait(60) == 0, "what was accepted was answered"


def test_the_grace_time_ends_what_does_not_end(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, "--grace", "200ms")
    with ThreadPoolExecutor(2) as pool:
        hold(server, pool)
        waits = pool.submit(ask, server)
        waiting(server, 2)
        assert server.stop() == 1
        assert waits.result() == 0


def test_an_engine_that_fails_tells_nothing_but_an_id(start: Starter, tmp_path: Path) -> None:
    server = start(vector_artifact(tmp_path, name="tiny", fail_on_negative=True))
    answer = server.post_json("/v1/models/tiny:predict", {"instances": [[-1.0, 0, 0, 0]]})
    assert answer.status == 500
    assert answer.json == {"error": "the prediction failed", "code": "internal", "id": answer.json["id"]}
    assert server.is_good()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (failure,) = [line for line in lines if line["event"] == "request failed"]
    assert failure["id"] == answer.json["id"]
    assert "INVALID_ARGUMENT" in failure["trace"]


def test_a_port_in_use_is_one_sentence_before_anything_is_loaded(vector_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, sentence = failed_start(str(vector_folder), *FREE, "--http-port", port)
    assert code == 4
    assert sentence == f"error: 127.0.0.1:{port}: the port is in use"


def flipped(vector_folder: Path, folder: Path) -> Path:
    """Return a copy of an artifact with one bit of a weight flipped, which no parser sees."""
    shutil.copytree(vector_folder, folder)
    path = folder / "model.onnx"
    data = bytearray(path.read_bytes())
    weights = WEIGHTS.tobytes()
    assert data.count(weights) == 1
    data[data.index(weights)] ^= 0x10
    path.write_bytes(data)
    return folder


@pytest.mark.row("R27", "one bit of a weight flipped: never ready, one sentence, exit code 3")
def test_a_flipped_bit_never_gets_ready(
    vector_folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = flipped(vector_folder, tmp_path / "damaged")
    code, sentence = failed_start(str(folder), *FREE)
    assert code == 3
    assert "model.onnx differs" in sentence
    record_property("R27", "refused by its digest before an engine reads it")


@pytest.mark.control("R27")
def test_without_digests_the_flipped_bit_is_served(start: Starter, vector_folder: Path, tmp_path: Path) -> None:
    """Too small a change for golden answers, and the engine has no doubt."""
    folder = flipped(vector_folder, tmp_path / "damaged")
    server = start(folder, "--without", "digests", program="tests.contract.stub")
    assert ask(server) == 200


@pytest.mark.row("R27", "another answer than the golden one: never ready, with output and difference")
def test_a_wrong_golden_answer_never_gets_ready(
    vector_folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(vector_folder, folder)
    path = folder / "golden" / "output-0.npy"
    np.save(path, np.load(path) + 1)
    write_variant(folder, read_variant(folder).model_copy(update={"files": file_entries(folder)}))
    code, sentence = failed_start(str(folder), *FREE)
    assert code == 3
    assert "golden output logits is off by 1" in sentence
    record_property("R27", "refused: golden output logits is off by 1")


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    folder = image_artifact(tmp_path)
    variant = read_variant(folder)
    assert variant.preprocessing is not None
    spec = variant.preprocessing.model_copy(update={"hash": "0" * 64})
    write_variant(folder, variant.model_copy(update={"preprocessing": spec}))
    code, sentence = failed_start(str(folder), *FREE)
    assert code == 3
    assert "another preprocessing" in sentence


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing-ort-fp32", "--cpus", "1"), "there is no variant nothing-ort-fp32"),
        (("x", "--cpus", "1", "--queue", "0"), "queue"),
        (("--cpus", "1"), "variant"),
        (("x", "--cpus", "1", "--grace", "5"), "is no duration"),
    ],
)
def test_a_start_that_makes_no_sense_is_one_sentence(arguments: tuple[str, ...], told: str) -> None:
    code, sentence = failed_start(*arguments)
    assert code == 3
    assert told in sentence


def test_probes_are_answered_while_the_engine_loads(start: Starter, tmp_path: Path) -> None:
    """A model whose golden run takes long: the port answers "not ready" meanwhile."""
    folder = vector_artifact(tmp_path, name="tiny", work=1100)
    port = free_ports(1)
    seen: list[int] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), 60) as connection:
                    connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    seen.append(int(connection.recv(100).split()[1]))
            except (ConnectionError, IndexError):
                done.wait(0.01)

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        server = start(folder, "--http-port", str(port), "--max-batch", "1")
        eventually(lambda: seen and seen[-1] == 200)
    finally:
        done.set()
        prober.join()
    assert 503 in seen
    assert sorted(seen, reverse=True) == seen, "ready once and for all"
    assert server.http_port == port


def stopped_early(folder: Path) -> tuple[int, str]:
    """Tell a server to stop as soon as it listens; return its exit code and what it printed."""
    port = free_ports(1)
    command = [sys.executable, "-m", "predictors.server", str(folder), "--cpus", "1"]
    process = subprocess.Popen(
        [*command, "--http-port", str(port), "--grpc-port", "0", "--metrics-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def is_listening() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 60):
                return True
        except ConnectionError:
            return False

    try:
        eventually(is_listening, pause_s=0.002)
        process.terminate()
        out, _ = process.communicate(timeout=60)
        return process.returncode, out
    finally:
        process.kill()
        process.communicate()


def test_told_to_stop_while_it_loads_it_ends_at_once(tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path, name="tiny", work=1600)
    # Where the machine holds this process up, the server may be ready before it is told.
    for _ in range(3):
        code, out = stopped_early(folder)
        assert code == 0
        if not out:
            return
    raise AssertionError(f"it was ready each time: {out}")
