"""Connections that a test holds open, over HTTP and over gRPC."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from predictors.server.rpc import messages
from tests.contract.server import Server

X = np.array([[0.0, 1.0, 2.0, 3.0]], dtype=np.float32)
ENTRY = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": X.ravel().tolist()}
READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: h\r\n\r\n"


@contextmanager
def clients(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that have been answered once."""
    opened = []
    try:
        for _ in range(count):
            opened.append(server.connect())
            opened[-1].sendall(READY)
            assert opened[-1].recv(4096).startswith(b"HTTP/1.1 200")
        yield opened
    finally:
        for each in opened:
            each.close()


def rpc_answer(channel: grpc.Channel) -> Any:
    request = messages.ModelInferRequest(model_name="tiny", raw_input_contents=[X.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    raw = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(request.SerializeToString(), timeout=60)
    return np.frombuffer(messages.ModelInferResponse.FromString(raw).raw_output_contents[0], "<f4")


@contextmanager
def channels(server: Server, count: int) -> Iterator[list[grpc.Channel]]:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    opened = [grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()
