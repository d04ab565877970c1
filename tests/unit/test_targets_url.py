"""The URL target: who serves there, what is refused before anything is sent, and what stays unknown."""

import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.payloads import PayloadSet
from loadtest.shot import Endpoint
from podium.errors import ConfigError, MachineError
from podium.evidence import Scene, prove
from podium.targets.listener import cores_of, is_local, listeners
from podium.targets.target import Candidate, Deployment
from podium.targets.url import UrlTarget
from tests.loads import mixed_samples, outcome, payloads
from tests.simulated import HOLD, profile


class _Answers(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._say(self.status, b'{"error": "no such model"}')

    def do_GET(self) -> None:
        self._say(200, json.dumps({"address": "a" * 64, "pid": 77, "threads": 1}).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def photos(tmp_path: Path) -> PayloadSet:
    return payloads(tmp_path / "photos")


@pytest.fixture(autouse=True)
def _k6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "k6"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PODIUM_K6", str(program))


def endpoint(port: int, protocol: str = "v1-image", host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(f"http://{host}:{port}", protocol, "food", f"http://127.0.0.1:{port}/debug/state")


def deployment(target: UrlTarget, folder: Path) -> Deployment:
    return target.deploy(Candidate("mine", "url", "", folder))


def test_the_listening_process_is_found_with_its_cores(port: int) -> None:
    assert listeners(port) == {os.getpid()}
    assert cores_of(listeners(port)) == os.sched_getaffinity(0)
    assert cores_of(frozenset({2**22 + 1})) == frozenset()
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        assert listeners(unbound.getsockname()[1]) == frozenset()
    assert listeners(port, Path("/nowhere")) == frozenset()


def test_this_machine_is_told_from_others() -> None:
    assert is_local("127.0.0.1")
    assert is_local("localhost")
    assert not is_local("192.0.2.1")
    assert not is_local("no-such-host.invalid")


def test_a_server_that_may_use_every_core_is_refused_with_what_helps(port: int, photos: PayloadSet) -> None:
    with pytest.raises(MachineError, match="would measure itself") as refused:
        UrlTarget(endpoint(port), photos).check(1)
    assert str(os.getpid()) in refused.value.hint or "another machine" in refused.value.hint


def test_the_generator_that_is_asked_for_must_be_there_and_no_other(
    photos: PayloadSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_VEGETA", str(tmp_path / "missing"))
    with pytest.raises(GeneratorError, match="there is no vegeta"):
        UrlTarget(endpoint(9), photos, tool="vegeta").check(1)
    monkeypatch.setenv("PODIUM_VEGETA", str(tmp_path / "k6"))
    monkeypatch.setenv("PODIUM_K6", str(tmp_path / "missing"))
    with pytest.raises(GeneratorError, match="there is no k6"):
        UrlTarget(endpoint(9), photos).check(1)
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        with pytest.raises(MachineError, match="nothing answers"):
            UrlTarget(endpoint(unbound.getsockname()[1]), photos, tool="vegeta").check(1)


def test_an_address_where_nobody_listens_is_refused(photos: PayloadSet) -> None:
    with socket.socket() as unbound:
        unbound.bind(("127.0.0.1", 0))
        with pytest.raises(MachineError, match=r"nothing answers at 127\.0\.0\.1"):
            UrlTarget(endpoint(unbound.getsockname()[1]), photos).check(1)


@pytest.mark.parametrize("status", [200, 429, 503])
def test_a_server_of_other_cores_may_be_loaded_even_where_it_is_busy(
    port: int, photos: PayloadSet, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Answers, "status", status)
    monkeypatch.setattr("podium.targets.url.cores_of", lambda _pids: frozenset({10_000}))
    target = UrlTarget(endpoint(port), photos)
    target.check(1)
    assert target.generator_cores <= os.sched_getaffinity(0)


def test_a_server_that_refuses_the_request_is_told_before_thousands_are_sent(
    port: int, photos: PayloadSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Answers, "status", 404)
    monkeypatch.setattr("podium.targets.url.cores_of", lambda _pids: frozenset({10_000}))
    with pytest.raises(ConfigError, match=r"answers 404 to 000.jpg: .*no such model"):
        UrlTarget(endpoint(port), photos).check(1)
    # The same over gRPC is for the run to say.
    UrlTarget(endpoint(port, "grpc"), photos).check(1)


def test_a_server_here_is_observed_as_its_process(port: int, photos: PayloadSet, tmp_path: Path) -> None:
    target = UrlTarget(endpoint(port), photos)
    facts = target.observe(deployment(target, tmp_path))
    assert (facts.alive, facts.identity, facts.node) == (True, f"pid {os.getpid()}", "")
    assert facts.state["threads"] == 1
    assert target.environment("url")["server"] == "this machine"
    assert target.room("url") is None
    target.remove(Candidate("mine", "url", "", tmp_path))
    assert target.cleanup() == ()


def scene(target: UrlTarget, photos: PayloadSet, folder: Path) -> Scene:
    seen = target.observe(deployment(target, folder))
    cores = target.generator_cores
    return Scene("local", 1.0, "", None, cores, photos, photos.sha256, seen, seen, None, is_concurrent=False)


def test_of_a_stranger_on_this_machine_nothing_is_claimed(
    port: int, photos: PayloadSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podium.targets.url.listeners", lambda _port: frozenset())
    target = UrlTarget(Endpoint(f"http://127.0.0.1:{port}", "v1-image", "food"), photos)
    proofs, _ = prove(outcome(mixed_samples()), scene(target, photos, tmp_path), profile(HOLD).thresholds)
    unknown = {proof.check for proof in proofs if proof.ok is None}
    assert unknown >= {"co-located", "throttled", "thread-mismatch", "scaled", "restarted", "wrong-artifact"}
    assert not unknown & {"late", "under-offered", "dropped", "generator-limited", "wrong-clock", "payload-drift"}


def test_a_server_elsewhere_is_known_by_what_its_state_page_says(port: int, photos: PayloadSet, tmp_path: Path) -> None:
    target = UrlTarget(endpoint(port, host="192.0.2.1"), photos)
    facts = target.observe(deployment(target, tmp_path))
    assert (facts.identity, facts.node) == ("pid 77", "192.0.2.1")
    assert target.environment("url")["server"] == "192.0.2.1"
