"""A server that asks for keys: every route of every protocol, with no key, a wrong, an expired and a right one.

The control of all of them is the same server without keys, which serves the same requests to anybody.
"""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest

from predictors.server.keys import digest_of, line_of, new_key
from predictors.server.rpc import messages
from tests.contract.conftest import Starter
from tests.contract.openloop import request_of
from tests.contract.server import FREE, Answer, Server, read_to_end
from tests.eventually import eventually
from tests.planted import hits

Record = Callable[[str, object], None]
Code = grpc.StatusCode
BODY = json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}).encode()
V2_BODY = json.dumps(
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.0, 1.0, 0.0, 0.0]}]}
).encode()
JSON = {"content-type": "application/json"}
OPEN = ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready")
# What a router may make of a path, and what it may take for another.
ROUTES = [
    *(
        ("GET", path)
        for path in ("/v2", "/v2/models", "/v1/models", "/v1/models/tiny", "/v2/models/tiny", "/v2/models/tiny/config")
    ),
    *(("GET", path) for path in ("/", "/nothing", "/metrics", "/debug/state", "/healthz/live", "/v2/models/other")),
    *(("GET", path) for path in ("//v2/health/live", "/v2/health/live/", "/v2//health/live", "/v2/health/live/../..")),
    *(("GET", path) for path in ("/v2/health%2Flive", "/V2/health/live", "/v2/health/live;x", "/v2/health/%6cive")),
    *(("POST", path) for path in ("/v1/models/tiny:predict", "/v1/models/tiny%3Apredict", "/v2/models/tiny/infer")),
    *(("POST", path) for path in ("/v1/models/tiny:explain", "/v2/repository/index", *OPEN)),
    *((method, "/v2/health/live") for method in ("PUT", "DELETE", "OPTIONS", "PATCH")),
    ("HEAD", "/v2/models/tiny"),
]


class Keys(NamedTuple):
    """The keys of the file, and two that are not in it or not any more."""

    right: str
    second: str
    expired: str
    stranger: str

    def wrong(self) -> dict[str, dict[str, str]]:
        """Headers that let nobody in, by what is wrong with them."""
        digest = f"sha256:{digest_of(self.right).hex()}"
        words = {
            "unknown": self.stranger,
            "expired": self.expired,
            "its hash": digest,
            "cut": self.right[:-1],
            "no": "",
        }
        found = {name: {"authorization": f"Bearer {word}"} for name, word in words.items()}
        basic = {"authorization": f"Basic {self.right}"}
        return {"none": {}, "another scheme": basic, "another header": {"x-api-key": self.right}, **found}

    @property
    def login(self) -> dict[str, str]:
        """The headers of a right one."""
        return {"authorization": f"Bearer {self.right}"}


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys(*(new_key() for _ in range(4)))


@pytest.fixture(scope="module")
def key_file(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    lines = [
        line_of("vision", keys.right),
        line_of("vision", keys.second),
        line_of("kitchen", keys.expired, not_after="2020-01-01T00:00:00Z"),
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def asking(start: Starter, vector_folder: Path, key_file: Path) -> Server:
    return start(vector_folder, "--keys", str(key_file))


def ask(server: Server, route: tuple[str, str], headers: dict[str, str]) -> Answer:
    body = BODY if route[0] in ("POST", "PUT", "PATCH") else None
    return server.ask(*route, body, {**(JSON if body else {}), **headers})


@pytest.mark.row("S10", "HTTP: no, a wrong, an expired key on every route and odd paths: 401; health alone is open")
def test_every_route_asks_for_a_key(asking: Server, keys: Keys, record_property: Record) -> None:
    refused = 0
    for route in ROUTES:
        for name, headers in keys.wrong().items():
            answer = ask(asking, route, headers)
            assert answer.status == 401, (route, name)
            assert answer.headers["www-authenticate"].startswith('Bearer realm="podium"')
            if route[0] != "HEAD":
                assert set(answer.json) == {"error", "code", "id"}
                assert answer.json["code"] in ("no_key", "unknown_key", "expired_key")
            refused += 1
        assert ask(asking, route, keys.login).status != 401, route
        assert ask(asking, route, {"authorization": f"bearer {keys.second}"}).status != 401, route
    for path in OPEN:
        for method in ("GET", "HEAD"):
            assert ask(asking, (method, path), {}).status == 200
    for path in ("/metrics", "/debug/state", "/healthz/live", "/healthz/ready"):
        assert asking.ask("GET", path, port=asking.metrics_port).status == 200
    record_property("S10", f"{refused} requests on {len(ROUTES)} routes: 401 each")


@pytest.mark.control("S10")
def test_without_keys_the_same_requests_are_anybodys(server: Server, keys: Keys) -> None:
    for route in ROUTES:
        for headers in keys.wrong().values():
            assert ask(server, route, headers).status != 401
    assert server.is_good()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert code_of(channel, "inference.GRPCInferenceService/ModelInfer", infer_request()) is Code.OK


def test_a_right_key_gets_right_answers_in_every_protocol(asking: Server, keys: Keys) -> None:
    answer = asking.ask("POST", "/v1/models/tiny:predict", BODY, {**JSON, **keys.login})
    assert answer.json["predictions"][0]["label"] == "cheese"
    answer = asking.ask("POST", "/v2/models/tiny/infer", V2_BODY, {**JSON, **keys.login})
    assert answer.json["outputs"][0]["shape"][0] == 1
    for body in (BODY, V2_BODY):
        path = "/v1/models/tiny:predict" if body is BODY else "/v2/models/tiny/infer"
        assert asking.ask("POST", path, body, JSON).status == 401


def test_a_connection_stays_where_the_whole_request_was_here(asking: Server, keys: Keys) -> None:
    """Else who is above its share for a moment would pay for a new connection each time."""
    statuses = []
    with asking.connect() as connection:
        stream = connection.makefile("rb")
        for key in ("", keys.right, "x", "", keys.right):
            login = f"Authorization: Bearer {key}\r\n" if key else ""
            # In one piece: a head that comes before its body is refused without waiting for that.
            connection.sendall(request_of(BODY, headers=login))
            head = b"".join(iter(stream.readline, b"\r\n")).lower()
            stream.read(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            statuses.append(int(head.split(b" ", 2)[1]))
            assert b"connection: close" not in head
    assert statuses == [401, 200, 401, 401, 200]


def test_several_requests_at_once_on_a_connection_are_told_apart(asking: Server, keys: Keys) -> None:
    def request(login: str, end: str = "") -> bytes:
        return f"GET /v2/models/tiny HTTP/1.1\r\nHost: h\r\n{login}{end}\r\n".encode()

    good = f"Authorization: Bearer {keys.right}\r\n"
    answers = asking.raw(request(good) + request(good, "Connection: close\r\n"))
    assert answers.count(b"HTTP/1.1 200 ") == 2
    # Behind a refused one nothing is read: what follows it may be its body.
    answers = asking.raw(request(good) + request("") + request(good))
    assert answers.count(b"HTTP/1.1 200 ") == 1
    assert answers.count(b"HTTP/1.1 401 ") == 1


@pytest.mark.row("S10", "10 MB with a bad key, declared, in chunks or awaited: refused and closed after the head")
@pytest.mark.parametrize("form", ["declared", "chunked", "expected"])
def test_no_body_is_read_without_a_key(
    start: Starter, image_folder: Path, key_file: Path, form: str, record_property: Record
) -> None:
    server = start(image_folder, "--keys", str(key_file), "--max-batch", "256")
    size = 10 << 20
    framing = {
        "declared": f"Content-Length: {size}\r\n",
        "chunked": "Transfer-Encoding: chunked\r\n",
        "expected": f"Content-Length: {size}\r\nExpect: 100-continue\r\n",
    }[form]
    head = f"POST /v1/models/gray:predict HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n{framing}\r\n"
    before = server.state()["rss_bytes"]
    with server.connect() as connection:
        # The head alone is answered: nothing of the body was waited for.
        connection.sendall(head.encode())
        told = read_to_end(connection)
        assert told.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in told
        assert b"100 Continue" not in told
        sent = 0
        try:
            while sent < size:
                sent += connection.send(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < size, "it took the whole body"
    assert server.state()["rss_bytes"] - before < 8 << 20
    record_property("S10", f"{form}: 401 after the head")


def infer_request(fill: int = 0) -> bytes:
    request = messages.ModelInferRequest(model_name="tiny")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(np.array([[0.0, 1.0, 0.0, 0.0]], np.float32).tobytes() + b"x" * fill)
    return bytes(request.SerializeToString())


def code_of(channel: grpc.Channel, method: str, request: bytes, metadata: Any = None) -> grpc.StatusCode:
    try:
        channel.unary_unary(f"/{method}")(request, timeout=60, metadata=metadata)
    except grpc.RpcError as error:
        found: grpc.StatusCode = error.code()
        return found
    return Code.OK


@pytest.fixture
def channel(asking: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{asking.grpc_port}", [("grpc.enable_retries", 0)]) as found:
        yield found


@pytest.mark.row("S10", "gRPC: the same for every method, UNAUTHENTICATED; what probes ask is open")
def test_every_method_asks_for_a_key(channel: grpc.Channel, keys: Keys, record_property: Record) -> None:
    name = messages.ModelMetadataRequest(name="tiny").SerializeToString()
    closed = {
        "inference.GRPCInferenceService/ModelInfer": infer_request(),
        "inference.GRPCInferenceService/ModelMetadata": name,
        "inference.GRPCInferenceService/ModelConfig": name,
        "inference.GRPCInferenceService/ServerMetadata": b"",
        "grpc.health.v1.Health/Watch": b"",
        "inference.GRPCInferenceService/Nothing": b"",
        "no/slash/here": b"",
        "/inference.GRPCInferenceService/ServerLive": b"",
        "inference.GRPCInferenceService/ServerLive/": b"",
    }
    refused = 0
    for method, request in closed.items():
        for kind, headers in keys.wrong().items():
            metadata = tuple(headers.items())
            assert code_of(channel, method, request, metadata) is Code.UNAUTHENTICATED, (method, kind)
            refused += 1
        if not method.endswith("Watch"):
            assert code_of(channel, method, request, tuple(keys.login.items())) is not Code.UNAUTHENTICATED
    twice = (("authorization", f"Bearer {keys.right}"), ("authorization", f"Bearer {keys.right}"))
    assert code_of(channel, "inference.GRPCInferenceService/ModelInfer", infer_request(), twice) is Code.UNAUTHENTICATED
    for method in ("ServerLive", "ServerReady"):
        assert code_of(channel, f"inference.GRPCInferenceService/{method}", b"") is Code.OK
    ready = messages.ModelReadyRequest(name="tiny").SerializeToString()
    assert code_of(channel, "inference.GRPCInferenceService/ModelReady", ready) is Code.OK
    assert code_of(channel, "grpc.health.v1.Health/Check", b"") is Code.OK
    record_property("S10", f"{refused} calls of {len(closed)} methods: UNAUTHENTICATED each")


def test_a_refused_call_says_what_http_says(channel: grpc.Channel, keys: Keys) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(infer_request(), timeout=60)
    found = dict(caught.value.trailing_metadata())
    assert found["x-podium-code"] == "no_key"
    assert found["www-authenticate"].startswith("Bearer ")
    assert "authorization" in caught.value.details()
    answer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(
        infer_request(), timeout=60, metadata=tuple(keys.login.items())
    )
    assert messages.ModelInferResponse.FromString(answer).outputs[0].shape[0] == 1


def test_what_probes_ask_may_not_be_long(channel: grpc.Channel, keys: Keys) -> None:
    """Else it would take the room of those who have a key; with one, the same message is read and then refused."""
    long = messages.HealthCheckRequest(service="x" * 2000).SerializeToString()
    assert code_of(channel, "grpc.health.v1.Health/Check", long) is Code.RESOURCE_EXHAUSTED
    method = "inference.GRPCInferenceService/ModelInfer"
    assert code_of(channel, method, infer_request(2000), tuple(keys.login.items())) is Code.INVALID_ARGUMENT


@pytest.mark.row("S10", "a key that was presented, right or wrong, and its hash: in no log, metric, state or answer")
def test_no_key_is_told_to_anybody(
    start: Starter, vector_folder: Path, tmp_path: Path, record_property: Record
) -> None:
    right, wrong = new_key(), new_key()
    path = tmp_path / "keys"
    path.write_text(line_of("vision", right, in_flight="1"))
    server = start(vector_folder, "--keys", str(path))
    told: list[bytes] = []
    for key in (right, wrong):
        login = {"authorization": f"Bearer {key}"}
        for route in ROUTES:
            answer = ask(server, route, login)
            told += [answer.body, str(dict(answer.headers)).encode()]
        told.append(server.raw(f"POST /v2 HTTP/1.1\r\nAuthorization: Bearer {key}\r\nX:\x01\r\n\r\n".encode()))
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            assert code_of(channel, "x/Y", b"", tuple(login.items())) in (Code.UNAUTHENTICATED, Code.UNIMPLEMENTED)
    # A file in which somebody wrote the key itself is refused, and the log says so without it.
    path.write_text(f"vision {right}\n")
    eventually(lambda: server.state()["keys"]["readings"]["refused"] == 1)
    pages = [server.ask("GET", path, port=server.metrics_port).body for path in ("/metrics", "/debug/state")]
    assert b'podium_tenant_requests_total{outcome="admitted",tenant="vision"' in pages[0]
    log = server.log.read_text()
    assert "holds a key itself" in log
    for secret in (right, wrong, digest_of(right).hex(), digest_of(wrong).hex()):
        assert hits(secret, log, *pages, *told, str(server.ready)) == []
    record_property("S10", f"2 keys and their hashes: 0 hits in the log and {len(told) + len(pages)} pages")
    # The control: what is logged is found.
    with server.log.open("a") as stream:
        logging.StreamHandler(stream).emit(logging.LogRecord("x", logging.INFO, "", 0, right, None, None))
    assert hits(right, server.log) == [str(server.log)]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), ("", "has no key"), ("vision", "line 1 of the file of keys has no hash")],
)
def test_a_server_whose_file_is_wrong_never_listens(
    vector_folder: Path, tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    command = [sys.executable, "-m", "predictors.server", str(vector_folder), *FREE, "--keys", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr


def test_series_are_bound_by_the_file(asking: Server, keys: Keys) -> None:
    def series() -> set[str]:
        text = asking.ask("GET", "/metrics", port=asking.metrics_port).body.decode()
        return {
            line.rpartition(" ")[0] for line in text.splitlines() if line.startswith(("podium_tenant", "podium_keys"))
        }

    before = series()
    assert len(before) == 2 * 2 + 2 + 3 + 2
    for number in range(50):
        ask(
            asking, ("GET", f"/v2/models/m{number}"), {"authorization": f"Bearer {new_key()}", "x-tenant": f"t{number}"}
        )
    assert series() == before


def test_a_client_that_says_nothing_holds_up_nobody(asking: Server, keys: Keys) -> None:
    with socket.create_connection(("127.0.0.1", asking.http_port)) as silent:
        silent.sendall(b"GET /v2 HTTP/1.1\r\nAuthor")
        assert asking.ask("GET", "/v2", headers=keys.login).status == 200
