"""What is not there cannot be misused: no management on the data port, no labels from requests, no forged logs.

The control of the first is KServe's own model server around the same model, which unloads it for anybody who
asks and whose refusals tell how it is made.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from predictors.server.rpc import messages
from tests.artifacts import vector_artifact
from tests.contract.conftest import Starter
from tests.contract.malformed.calls import good_call
from tests.contract.malformed.generator import cases_of
from tests.contract.server import Server, ask_once
from tests.contract.test_thousand import LEAK, exchanged, last_answer
from tests.eventually import eventually
from tests.ports import free_ports

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
ANSWERED = {
    **{path: {"GET", "HEAD"} for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v1/models")},
    **{path: {"GET", "HEAD"} for path in ("/v1/models/tiny", "/v2/models/tiny", "/v2/models/tiny/ready")},
    **{path: {"GET", "HEAD"} for path in ("/v2/models/tiny/versions/1", "/v2/models/tiny/versions/1/ready")},
    **{path: {"GET", "HEAD"} for path in ("/v2/models/tiny/config", "/v2/models/tiny/versions/1/config")},
    **{
        path: {"POST"}
        for path in ("/v1/models/tiny:predict", "/v2/models/tiny/infer", "/v2/models/tiny/versions/1/infer")
    },
}
MANAGEMENT = (
    *(f"/v2/repository/models/tiny/{word}" for word in ("load", "unload")),
    *("/v2/repository/index", "/v2/repository", "/metrics", "/debug/state", "/debug/pprof", "/debug", "/healthz/live"),
    *("/healthz/ready", "/docs", "/openapi.json", "/redoc", "/admin", "/shutdown", "/quitquitquit", "/env", "/config"),
    *("/v2/logging", "/v2/trace/setting", "/v2/cudasharedmemory/status", "/v2/systemsharedmemory/status", "/status"),
    *(
        "/v2/models/tiny/trace/setting",
        "/v2/models/tiny/stats",
        "/v2/models/stats",
        "/v1/models/tiny:load",
        "/",
        "/favicon.ico",
    ),
    *("/v1/models/tiny:unload", "/v2/models/tiny/load", "/v2/models/tiny/unload", "/v2/models/tiny:unload"),
)
RPCS = (
    *(
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "RepositoryIndex",
        "ModelStatistics",
        "TraceSetting",
    ),
    *("LogSettings", "SystemSharedMemoryRegister", "CudaSharedMemoryRegister", "ModelStreamInfer"),
)
Record = Callable[[str, object], None]


@pytest.mark.row("S9", "only the listed routes answer, over HTTP and gRPC; nothing loads, unloads, profiles or debugs")
def test_only_the_routes_that_are_listed_answer(server: Server, record_property: Record) -> None:
    answered = {}
    for path in (*ANSWERED, *MANAGEMENT):
        statuses = {method: server.ask(method, path).status for method in METHODS}
        answered[path] = {method for method, status in statuses.items() if status not in (404, 405, 501)}
        assert 500 not in statuses.values()
    assert {path: methods for path, methods in answered.items() if methods} == ANSWERED
    asked = len(answered) * len(METHODS)
    services = (messages.INFERENCE, "grpc.reflection.v1.ServerReflection", "grpc.channelz.v1.Channelz")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        for service in services:
            for name in RPCS:
                with pytest.raises(grpc.RpcError) as caught:
                    channel.unary_unary(f"/{service}/{name}")(b"", timeout=60)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert channel.unary_unary(f"/{messages.INFERENCE}/ModelInfer")(good_call(), timeout=60)
    assert server.ask("GET", "/v2/models/tiny/ready").status == 200
    record_property("S9", f"{asked} requests and {len(services) * len(RPCS)} calls, {len(ANSWERED)} routes answer")


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """KServe's own server around the same model; gives its port."""
    folder = vector_artifact(tmp_path_factory.mktemp("sdk"))
    http_port = free_ports(2)
    grpc_port = http_port + 1
    command = [sys.executable, "-W", "ignore", "-m", "tests.contract.sdk_server", "tiny", str(folder)]
    flags = [f"--http_port={http_port}", f"--grpc_port={grpc_port}"]
    process = subprocess.Popen(
        [*command, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ)
    )

    def is_ready() -> bool:
        try:
            return ask_once(http_port, "GET", "/v2/models/tiny/ready").status == 200
        except OSError:
            return False

    try:
        eventually(is_ready, deadline_s=200, pause_s=0.2)
        yield http_port
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(60)


@pytest.mark.control("S9")
@pytest.mark.control("S20")
def test_the_sdk_tells_how_it_is_made_and_unloads_its_model_for_anybody(sdk: int) -> None:
    told = [last_answer(exchanged(sdk, case)) for case in (*cases_of("F")[:30], *cases_of("E")[40:100])]
    assert [body for status, body in told if status >= 500 or LEAK.search(body.decode(errors="replace"))]

    assert ask_once(sdk, "POST", "/v2/repository/models/tiny/unload").status == 200
    body = json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}).encode()
    assert ask_once(sdk, "POST", "/v1/models/tiny:predict", body, {"content-type": "application/json"}).status != 200


def series(server: Server) -> int:
    text = server.ask("GET", "/metrics", port=server.metrics_port).body.decode()
    return len([line for line in text.splitlines() if line and not line.startswith("#")])


def names(server: Server, count: int) -> None:
    """Ask for many models, many requests to a connection."""
    for start in range(0, count, 500):
        requests = [f"GET /v2/models/m{n}/ready HTTP/1.1\r\nHost: t{n}\r\n\r\n" for n in range(start, start + 500)]
        last = "GET /v2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        assert server.raw("".join([*requests, last]).encode()).count(b"HTTP/1.1 404 ") == 500


@pytest.mark.row("S25", "10,000 random model names and tenants: 0 new series")
def test_names_of_requests_make_no_series(server: Server, record_property: Record) -> None:
    server.ask("GET", "/v2/models/nobody/ready")
    assert server.is_good()
    before = series(server)
    names(server, 10_000)
    assert series(server) == before
    record_property("S25", f"{before} series before and after")


@pytest.mark.control("S25")
def test_labels_from_requests_make_a_series_each(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, "--without", "bounded-labels", program="tests.contract.stub")
    before = series(server)
    names(server, 500)
    assert series(server) >= before + 500


FORGERIES = (
    "a\x9b31mred",
    "a\x85{}",
    'a","level":"critical","x":"',
    "\xe2\x80\xa8{}",
    "x" * 10_000,
    "%s%n",
    "${jndi:ldap://h}",
)


@pytest.mark.row(
    "S26", "JSON lines only, control characters escaped, ≤ 2 KiB a field; ids of 10 kB, names of 1 MB and ANSI in them"
)
def test_no_request_writes_a_log_line_of_its_own(start: Starter, tmp_path: Path, record_property: Record) -> None:
    server = start(vector_artifact(tmp_path / "fails", fail_on_negative=True))
    failing = {"instances": [[-1.0, 0.0, 0.0, 0.0]]}
    for forged in FORGERIES:
        answer = server.post_json("/v1/models/tiny:predict", failing, x_request_id=forged)
        assert answer.status in (500, 431)
    # A name of a megabyte is refused before there is anything to say of it.
    assert server.ask("GET", f"/v2/models/{'x' * (1 << 20)}").status == 414
    named = {"inputs": [{"name": "x\n" * (1 << 19), "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}
    assert server.post_json("/v2/models/tiny/infer", named).status in (400, 413)
    for head in (b"GET /v2\r\nforged HTTP/1.1\r\n\r\n", b"GET /\x1b[31m HTTP/1.1\r\n\r\n", b"\x1b]0;x\x07\r\n\r\n"):
        server.raw(head, timeout_s=2)
    lines = server.log.read_bytes().splitlines()
    faults = [json.loads(line) for line in lines]
    assert len([fault for fault in faults if fault["event"] == "request failed"]) == len(FORGERIES)
    for line, fault in zip(lines, faults, strict=True):
        assert re.fullmatch(rb"[ -~]+", line)
        assert all(len(value) <= 2048 for value in fault.values() if isinstance(value, str))
        assert fault["level"] in ("info", "warning", "error")
    record_property(
        "S26", f"{len(FORGERIES)} forged ids, {len(lines)} lines, all JSON, longest {max(map(len, lines))} bytes"
    )


@pytest.mark.control("S26")
def test_a_plain_formatter_writes_what_it_is_told(start: Starter, tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path / "fails", fail_on_negative=True)
    server = start(folder, "--without", "log-format", program="tests.contract.stub")
    failing = {"instances": [[-1.0, 0.0, 0.0, 0.0]]}
    server.post_json("/v1/models/tiny:predict", failing, x_request_id="a\x9b31mred")
    assert not re.fullmatch(rb"[ -~\n]+", server.log.read_bytes())
