"""A replica is replaced under load: clients that keep their connections lose nothing, over HTTP and gRPC.

The form of R1 without a cluster: a Service routes each connection once, when it is opened, and hears of the
end of a replica a moment after the replica does. No client has a retry policy; gRPC's own channels send a
call again that crossed a GOAWAY and that no server has seen, as they do wherever they are not told otherwise.
"""

import http.client
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from predictors.server.rpc import messages
from tests.contract.conftest import Starter
from tests.contract.server import Server
from tests.contract.service import Service
from tests.eventually import eventually

# A client that the machine holds up for longer would send to a replica that has gone.
MARGIN_S = 8.0
LAG_S = 0.5
X = np.array([[0.0, 1.0, 0.0, 0.0]], dtype=np.float32)
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": X.ravel().tolist()}]})


def http_client(port: int, is_over: threading.Event, seen: Counter[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not is_over.is_set():
        try:
            connection.request("POST", "/v2/models/tiny/infer", BODY, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            seen["http ok" if answer.status == 200 else f"http {answer.status}"] += 1
        except (OSError, http.client.HTTPException) as error:
            seen[f"http {type(error).__name__}"] += 1
            connection.close()
    connection.close()


def grpc_client(port: int, is_over: threading.Event, seen: Counter[str]) -> None:
    request = messages.ModelInferRequest(model_name="tiny", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    body = request.SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        while not is_over.is_set():
            try:
                call(body, timeout=60)
                seen["grpc ok"] += 1
            except grpc.RpcError as error:
                seen[f"grpc {error.code().name} {error.details()}"] += 1


@pytest.fixture
def service() -> Iterator[Callable[[int], Service]]:
    made: list[Service] = []

    def make(target: int) -> Service:
        made.append(Service(target))
        return made[-1]

    yield make
    for each in made:
        each.close()


def replaced(
    start: Starter, folder: Path, make: Callable[[int], Service], margin: str, *, workers: str = "1"
) -> Counter[str]:
    """Replace a replica under three clients of each protocol; give what they saw."""
    old, new = (start(folder, "--pre-stop", margin, "--workers", workers, cpus=workers) for _ in range(2))
    seen: Counter[str] = Counter()
    is_over = threading.Event()
    routes: list[tuple[Service, int]] = []
    clients: list[threading.Thread] = []
    for client, port in ((http_client, "http_port"), (grpc_client, "grpc_port")):
        routes.append((make(getattr(old, port)), getattr(new, port)))
        clients += [threading.Thread(target=client, args=(routes[-1][0].port, is_over, seen)) for _ in range(3)]
    for thread in clients:
        thread.start()
    try:
        eventually(lambda: seen["http ok"] > 100 and seen["grpc ok"] > 100)
        hand_over(old, routes)
        assert old.process.wait(60) == 0
        before = dict(seen)
        eventually(lambda: all(seen[kind] > before[kind] + 50 for kind in ("http ok", "grpc ok")))
    finally:
        is_over.set()
        for thread in clients:
            thread.join(30)
    return seen


def hand_over(old: Server, routes: list[tuple[Service, int]]) -> None:
    old.process.send_signal(signal.SIGTERM)
    told = time.monotonic()
    eventually(lambda: time.monotonic() > told + LAG_S, pause_s=0.01)
    for each, target in routes:
        each.route(target)


def failures(seen: Counter[str]) -> dict[str, int]:
    return {kind: count for kind, count in seen.items() if not kind.endswith(" ok")}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nothing_is_lost_when_a_replica_is_replaced(
    start: Starter,
    vector_folder: Path,
    service: Callable[[int], Service],
    record_property: Callable[[str, object], None],
    workers: str,
) -> None:
    seen = replaced(start, vector_folder, service, f"{MARGIN_S}s", workers=workers)
    record_property("R1 on loopback", f"0 failed of {sum(seen.values())}")
    assert failures(seen) == {}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_the_margin_requests_are_lost(
    start: Starter, vector_folder: Path, service: Callable[[int], Service], workers: str
) -> None:
    """The control: the same replacement with the pre-stop margin removed."""
    assert sum(failures(replaced(start, vector_folder, service, "0s", workers=workers)).values()) > 0
