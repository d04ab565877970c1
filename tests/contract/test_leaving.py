"""Clients that leave and deadlines that pass: their work never reaches the engine, and nothing of it stays.

The engine is held by one batch until it is told to let go, so that all others wait in the queue when they leave.
"""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from predictors.server.rpc import messages
from tests.contract.conftest import Starter
from tests.contract.holding import held, waiting, with_a_gate
from tests.contract.openloop import request_of
from tests.contract.server import Server
from tests.eventually import eventually

LEAVING = 200
ROUNDS = 5
WIDE = ("--queue", "5000", "--connections", "400")
BODY = json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}).encode()


def ran(server: Server) -> int:
    return sum(server.state()["batches"].values())


def come_and_leave(server: Server) -> None:
    """Have clients come and leave over HTTP while the engine is busy."""
    clients: list[socket.socket] = []
    for _ in range(LEAVING):
        clients.append(server.connect())
        clients[-1].sendall(request_of(BODY))
    waiting(server, LEAVING + 1)
    for client in clients:
        client.close()


@pytest.mark.row("R9", "of 1,000 canceled while queued ≥ 95 % never reach the engine; no slot leaks")
def test_a_thousand_who_leave_are_not_computed(
    start: Starter, vector_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    server = with_a_gate(start, vector_folder, *WIDE)
    with held(server):
        for _ in range(ROUNDS):
            come_and_leave(server)
            eventually(lambda: server.state()["in_flight"] == 1, pause_s=0.005)
    eventually(lambda: server.state()["in_flight"] == 0)
    computed = ran(server) - 1
    assert computed <= 0.05 * LEAVING * ROUNDS
    assert server.is_good()
    record_property("R9", f"{computed} of {LEAVING * ROUNDS} canceled over HTTP were computed")


@pytest.mark.row("R9", "the same for calls canceled over gRPC")
def test_calls_that_are_canceled_are_not_computed(
    start: Starter, vector_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    server = with_a_gate(start, vector_folder, *WIDE)
    tensor = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([0, 1, 0, 0])
    raw = messages.ModelInferRequest(model_name="tiny", inputs=[tensor]).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer")
        with held(server):
            calls = [infer.future(raw) for _ in range(LEAVING)]
            waiting(server, LEAVING + 1)
            for call in calls:
                call.cancel()
            eventually(lambda: server.state()["in_flight"] == 1, pause_s=0.005)
        assert infer(raw, timeout=60), "the channel serves on"
    computed = ran(server) - 2
    assert computed <= 0.05 * LEAVING
    eventually(lambda: server.state()["in_flight"] == 0)
    record_property("R9", f"{computed} of {LEAVING} canceled over gRPC were computed")


@pytest.mark.control("R9")
def test_who_ignores_that_clients_leave_computes_for_nobody(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, *WIDE, "--without", "cancel")
    with held(server):
        come_and_leave(server)
    eventually(lambda: server.state()["in_flight"] == 0)
    assert ran(server) - 1 > 0.5 * LEAVING
