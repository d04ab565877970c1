"""Start, faults while serving, and the end: what is accepted is answered, whatever signal comes."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from predictors.manifest import file_entries, read_variant, write_variant
from tests.artifacts import image_artifact, vector_artifact
from tests.contract.conftest import Starter
from tests.contract.server import FREE, Answer, Server
from tests.eventually import eventually

X = {"instances": [[0.0, 1.0, 0.0, 0.0]]}
SLOW = ("--gather", "1", "--max-batch", "1")


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose engine takes about a tenth of a second."""
    return vector_artifact(tmp_path_factory.mktemp("slow"), name="slow", work=1100)


def ask(server: Server) -> int:
    """Give the status, 0 where no answer came."""
    try:
        return server.post_json("/v1/models/slow:predict", X).status
    except (ConnectionError, OSError):
        return 0


def failed_start(*arguments: str) -> tuple[int, str, float]:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "predictors.server", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == ""
    sentence = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentence) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.returncode, sentence[0], time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_work_in_flight_is_finished_before_the_end(start: Starter, slow_folder: Path, number: signal.Signals) -> None:
    server = start(slow_folder, *SLOW)
    with ThreadPoolExecutor(6) as pool:
        accepted = [pool.submit(ask, server) for _ in range(6)]
        eventually(lambda: server.state()["in_flight"] == 6, pause_s=0.002)
        code = server.stop(number)
        assert [future.result() for future in accepted] == [200] * 6
    assert code == 0


def test_killed_hard_it_loses_work(start: Starter, slow_folder: Path) -> None:
    """The control: the requests above can fail."""
    server = start(slow_folder, *SLOW)
    with ThreadPoolExecutor(6) as pool:
        accepted = [pool.submit(ask, server) for _ in range(6)]
        eventually(lambda: server.state()["in_flight"] == 6, pause_s=0.002)
        server.stop(signal.SIGKILL)
        assert 0 in [future.result() for future in accepted]


def test_the_pre_stop_margin_is_served_and_then_new_work_is_refused(start: Starter, slow_folder: Path) -> None:
    server = start(slow_folder, *SLOW, "--pre-stop", "1500ms")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.state()["state"] == "draining", pause_s=0.005)
    for path in ("/v2/health/ready", "/v2/models/slow/ready", "/v1/models/slow"):
        assert server.ask("GET", path).status == 503
    assert server.ask("GET", "/healthz/ready", port=server.metrics_port).status == 503
    assert server.ask("GET", "/v2/health/live").status == 200
    assert ask(server) == 200, "who has not heard yet is served"

    def ask_until_refused() -> Answer | None:
        try:
            while (answer := server.post_json("/v1/models/slow:predict", X)).status == 200:
                pass
        except OSError:
            return None  # it had ended: all that was accepted was answered
        return answer

    with ThreadPoolExecutor(4) as pool:
        endings = [future.result() for future in [pool.submit(ask_until_refused) for _ in range(4)]]
    refused = [answer for answer in endings if answer is not None]
    assert refused
    for answer in refused:
        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        assert answer.headers["connection"] == "close"
        assert answer.headers["retry-after"] == "1"
    assert server.process.wait(20) == 0


def test_the_grace_time_ends_what_does_not_end(start: Starter, slow_folder: Path) -> None:
    server = start(slow_folder, *SLOW, "--queue", "100", "--grace", "200ms")
    with ThreadPoolExecutor(30) as pool:
        held = [pool.submit(ask, server) for _ in range(30)]
        eventually(lambda: server.state()["in_flight"] >= 20, pause_s=0.002)
        assert server.stop() == 1
        assert 0 in [future.result() for future in held]


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
        code, sentence, seconds = failed_start(str(vector_folder), *FREE, "--http-port", port)
    assert code == 4
    assert sentence == f"error: 127.0.0.1:{port}: the port is in use"
    assert seconds < 60


def test_a_flipped_bit_never_gets_ready(vector_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(vector_folder, folder)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[-20] ^= 0x10
    (folder / "model.onnx").write_bytes(data)
    code, sentence, _ = failed_start(str(folder), *FREE)
    assert code == 3
    assert "model.onnx differs" in sentence


def test_a_wrong_golden_answer_never_gets_ready(vector_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(vector_folder, folder)
    path = folder / "golden" / "output-0.npy"
    np.save(path, np.load(path) + 1)
    write_variant(folder, read_variant(folder).model_copy(update={"files": file_entries(folder)}))
    code, sentence, _ = failed_start(str(folder), *FREE)
    assert code == 3
    assert "golden output logits is off by 1" in sentence


def test_another_preprocessing_is_refused(tmp_path: Path) -> None:
    folder = image_artifact(tmp_path)
    variant = read_variant(folder)
    assert variant.preprocessing is not None
    spec = variant.preprocessing.model_copy(update={"hash": "0" * 64})
    write_variant(folder, variant.model_copy(update={"preprocessing": spec}))
    code, sentence, _ = failed_start(str(folder), *FREE)
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
    code, sentence, _ = failed_start(*arguments)
    assert code == 3
    assert told in sentence


def test_probes_are_answered_while_the_engine_loads(start: Starter, tmp_path: Path) -> None:
    """A model whose golden run takes long: the port answers "not ready" meanwhile."""
    folder = vector_artifact(tmp_path, name="tiny", work=1100)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen: list[int] = []
    done = threading.Event()

    def probe() -> None:
        while not done.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), 5) as connection:
                    connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                    seen.append(int(connection.recv(100).split()[1]))
            except (ConnectionError, IndexError):
                done.wait(0.01)

    prober = threading.Thread(target=probe)
    prober.start()
    server = start(folder, "--http-port", str(port), "--max-batch", "1")
    eventually(lambda: seen and seen[-1] == 200)
    done.set()
    prober.join()
    assert 503 in seen
    assert sorted(seen, reverse=True) == seen, "ready once and for all"
    assert server.http_port == port


def test_told_to_stop_while_it_loads_it_ends_at_once(tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path, name="tiny", work=1600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "predictors.server", str(folder), "--cpus", "1"]
    process = subprocess.Popen(
        [*command, "--http-port", str(port), "--grpc-port", "0", "--metrics-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def is_listening() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5):
                return True
        except ConnectionError:
            return False

    try:
        eventually(is_listening, pause_s=0.002)
        process.terminate()
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert out == "", "it was never ready"
    finally:
        process.kill()
        process.communicate()
