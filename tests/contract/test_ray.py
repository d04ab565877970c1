"""Ray Serve behind our front end: right answers, its own batches, and what happens when its processes end.

Ray starts once for these tests, because that takes seconds; so they stand in the order of what they do to it.
"""

import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from predictors.imaging import preprocessing
from predictors.manifest import RuntimeSpec, read_variant, write_variant
from tests.artifacts import image_artifact, jpeg
from tests.contract.conftest import Starter
from tests.contract.server import Server
from tests.eventually import eventually
from tests.running import is_running

# Ray's start alone takes seven processes that import it; on a busy machine that is long.
pytestmark = pytest.mark.timeout(300)

MODEL = "tinyimg"
INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image artifact, for Ray."""
    folder = image_artifact(tmp_path_factory.mktemp("artifact"))
    spec = RuntimeSpec(name="ray", provider="CPUExecutionProvider")
    write_variant(folder, read_variant(folder).model_copy(update={"id": f"{MODEL}-ray-fp32", "runtime": spec}))
    return folder


@pytest.fixture(scope="module")
def server(start: Starter, folder: Path) -> Server:
    """The one server; it writes where Ray's processes find it."""
    return start(folder, "--max-delay", "100ms", "--gather", "4")


def binary(server: Server, images: np.ndarray) -> np.ndarray:
    """Ask over V2 with binary tensors both ways."""
    raw = images.astype(np.float32).tobytes()
    head = (
        f'{{"inputs":[{{"name":"x","shape":{list(images.shape)},"datatype":"FP32",'
        f'"parameters":{{"binary_data_size":{len(raw)}}}}}],"parameters":{{"binary_data_output":true}}}}'
    ).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    answer = server.ask("POST", INFER, head + raw, headers)
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    return np.frombuffer(answer.body[length:], dtype=np.float32).reshape(len(images), 3)


def picture(server: Server, seed: int) -> int:
    """Ask with a raw JPEG body; return the status."""
    path = f"/v1/models/{MODEL}:predict"
    return server.ask("POST", path, jpeg(seed), {"content-type": "image/jpeg"}).status


def readiness(server: Server) -> int:
    return server.ask("GET", "/healthz/ready", port=server.metrics_port).status


def children(pid: int) -> list[int]:
    """Return all processes below one, by id."""
    table = subprocess.run(["ps", "-wweo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [(int(line.split()[0]), int(line.split()[1])) for line in table.splitlines()]
    found: list[int] = []
    wanted = {pid}
    while below := [child for child, parent in pairs if parent in wanted and child not in found]:
        found += below
        wanted = set(below)
    return found


def alive(pids: Sequence[int]) -> list[int]:
    """Return those that have not ended."""
    return [pid for pid in pids if is_running(pid)]


def below(server: Server, words: str) -> int:
    """Return the process of the server's whose command line has these words."""
    pids = set(children(server.process.pid))
    table = subprocess.run(["ps", "-wweo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    found = [int(line.split()[0]) for line in table.splitlines() if words in line]
    return next(pid for pid in found if pid in pids)


def test_the_golden_answers_come_back_over_the_wire(server: Server, folder: Path) -> None:
    golden, expected = (np.load(folder / "golden" / f"{kind}-0.npy") for kind in ("input", "output"))
    np.testing.assert_allclose(binary(server, golden), expected, rtol=1e-4, atol=1e-4)
    three = np.repeat(golden, 3, axis=0)
    np.testing.assert_allclose(binary(server, three), np.repeat(expected, 3, axis=0), rtol=1e-4, atol=1e-4)


def test_a_raw_image_gets_the_answer_of_its_tensor(server: Server) -> None:
    path = f"/v1/models/{MODEL}:predict"
    answer = server.ask("POST", path, jpeg(1), {"content-type": "image/jpeg"})
    logits = binary(server, preprocessing("mnist-28", {}).decode(jpeg(1))[None])[0]
    best = int(logits.argmax())
    assert answer.json["predictions"][0]["label"] == ("apple", "bread", "cheese")[best]


def test_ray_batches_what_comes_together_and_the_sizes_are_counted(server: Server) -> None:
    before = server.state()["batches"]
    with ThreadPoolExecutor(8) as callers:
        assert set(callers.map(lambda seed: picture(server, seed), range(24))) == {200}
    batches = {int(size): count - before.get(size, 0) for size, count in server.state()["batches"].items()}
    assert sum(size * count for size, count in batches.items()) == 24
    assert sum(count for size, count in batches.items() if size > 1) > 0
    assert max(batches) <= 4
    text = server.ask("GET", "/metrics", port=server.metrics_port).body.decode()
    assert f'podium_batch_size_bucket{{le="4",variant="{MODEL}-ray-fp32"}}' in text


def test_what_comes_one_after_the_other_is_not_batched(server: Server) -> None:
    """The control for the test before."""
    before = server.state()["batches"]
    assert {picture(server, seed) for seed in range(3)} == {200}
    after = server.state()["batches"]
    assert after["1"] - before.get("1", 0) == 3
    assert {size: count for size, count in after.items() if size != "1"} == {
        size: count for size, count in before.items() if size != "1"
    }


def test_a_process_of_ray_that_computes_nothing_is_not_missed(server: Server) -> None:
    """The control for the next test: it is the replica's end that counts."""
    monitor = below(server, "log_monitor.py")
    subprocess.run(["kill", "-KILL", str(monitor)], check=True)
    eventually(lambda: alive([monitor]) == [])
    assert (readiness(server), picture(server, 1)) == (200, 200)


def test_no_replica_is_not_ready_and_the_next_one_answers(server: Server) -> None:
    first = below(server, "ServeReplica")
    assert (readiness(server), picture(server, 1)) == (200, 200)
    subprocess.run(["kill", "-KILL", str(first)], check=True)
    eventually(lambda: readiness(server) == 503, deadline_s=60, pause_s=0.02)
    refused = server.ask("POST", f"/v1/models/{MODEL}:predict", jpeg(1), {"content-type": "image/jpeg"})
    # A new replica may be there already; until then the client is told when to come again.
    assert refused.status == 200 or (refused.status == 503 and int(refused.headers["retry-after"]) >= 1)
    eventually(lambda: readiness(server) == 200, deadline_s=60, pause_s=0.2)
    assert below(server, "ServeReplica") != first
    assert picture(server, 1) == 200
    assert server.ask("GET", "/healthz/live", port=server.metrics_port).status == 200


def test_sigterm_ends_every_process_of_ray(server: Server) -> None:
    pids = alive(children(server.process.pid))
    assert len(pids) >= 4
    assert server.stop(signal.SIGTERM, timeout_s=60) == 0
    eventually(lambda: alive(pids) == [], deadline_s=60, pause_s=0.1)
