"""Asking along several ways by turns, against small servers on loopback and a clock that only sleeping moves."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest import turns
from loadtest.payloads import PayloadSet
from loadtest.shot import Endpoint
from loadtest.turns import Way, WayTimes, ask_by_turns
from tests.loads import payloads
from tests.ports import free_ports

pytestmark = pytest.mark.unit

ENDPOINT = Endpoint("http://127.0.0.1:9", "v1-image", "pie", headers={"authorization": "Bearer one"})
ROUNDS, OPENING = 24, 5


class Clock:
    """A clock for the schedule: sleeping moves it, and whoever serves may."""

    perf_counter_ns = staticmethod(time.perf_counter_ns)

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(turns, "time", found)
    return found


class Servers:
    """Servers by name, and what they were asked: name, path, body and headers, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.connections: Counter[str] = Counter()
        self.does: dict[str, Callable[[int], int]] = {}

    @contextmanager
    def serving(self, name: str) -> Iterator[Way]:
        """Serve; `does` says by the number of a request, from 0, which status it gets."""
        servers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                servers.connections[name] += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                number = sum(one[0] == name for one in servers.asked)
                servers.asked.append((name, self.path, body, dict(self.headers)))
                does = servers.does.get(name)
                status = 200 if does is None else does(number)
                answer = b'{"error": "the queue is full"}'
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Way(name=name, url=f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def ways(servers: Servers) -> Iterator[list[Way]]:
    with ExitStack() as stack:
        yield [stack.enter_context(servers.serving(name)) for name in ("pod", "service", "ingress")]


@pytest.fixture
def sent(tmp_path: Path) -> PayloadSet:
    return payloads(tmp_path / "payloads")


def asked(ways: list[Way], sent: PayloadSet, *, timeout_s: float = 30.0) -> tuple[WayTimes, ...]:
    return ask_by_turns(ways, ENDPOINT, sent, rate=12.0, seconds=2.0, timeout_s=timeout_s)


def test_each_round_sends_one_payload_along_every_way_and_each_is_first_as_often(
    servers: Servers, ways: list[Way], sent: PayloadSet
) -> None:
    ways[2] = ways[2].model_copy(update={"headers": {"Host": "pie.example"}})
    found = asked(ways, sent)
    assert [(one.name, len(one.times_ns), one.error) for one in found] == [
        (way.name, ROUNDS - OPENING, "") for way in ways
    ]
    assert all(time_ns > 0 for one in found for time_ns in one.times_ns)
    rounds = [servers.asked[first : first + 3] for first in range(0, len(servers.asked), 3)]
    assert len(rounds) == ROUNDS
    assert all({name for name, *_ in one} == {"pod", "service", "ingress"} for one in rounds)
    assert all(len({body for _, _, body, _ in one}) == 1 for one in rounds)
    assert len({body for _, _, body, _ in servers.asked}) == len(sent.files)
    assert Counter(one[0][0] for one in rounds) == {"pod": 8, "service": 8, "ingress": 8}
    # Each pair is asked in both orders as often.
    before = Counter([name for name, *_ in one].index("pod") < [n for n, *_ in one].index("service") for one in rounds)
    assert before[True] == before[False]
    assert servers.connections == {"pod": 1, "service": 1, "ingress": 1}
    for name, path, _, headers in servers.asked:
        assert path == "/v1/models/pie:predict"
        assert (headers["authorization"], headers["content-type"]) == ("Bearer one", "image/jpeg")
        assert (headers["Host"] == "pie.example") == (name == "ingress")


def test_a_way_that_fails_ends_with_a_sentence_and_the_others_go_on(
    servers: Servers, ways: list[Way], sent: PayloadSet
) -> None:
    servers.does["service"] = lambda number: 503 if number == 9 else 200
    found = {one.name: one for one in asked(ways, sent)}
    assert found["service"].times_ns == ()
    assert found["service"].error == 'request 10 was answered 503: {"error": "the queue is full"}'
    assert [len(found[name].times_ns) for name in ("pod", "ingress")] == [ROUNDS - OPENING] * 2
    # No request is sent twice, and none after the one that failed.
    assert Counter(name for name, *_ in servers.asked)["service"] == 10


def test_a_way_that_leads_nowhere_or_may_not_be_taken_is_not_asked(
    servers: Servers, ways: list[Way], sent: PayloadSet
) -> None:
    nobody = Way(name="nobody", url=f"http://127.0.0.1:{free_ports(1)}")
    locked = Way(name="locked", url="https://127.0.0.1:1")
    broken = Way(name="broken", url="http://[::1")
    refused = ways[1].model_copy(update={"refused": "it is no Service of the namespace vision"})
    found = {one.name: one for one in asked([ways[0], nobody, locked, broken, refused], sent)}
    assert len(found["pod"].times_ns) == ROUNDS - OPENING
    assert "request 1 was not answered: " in found["nobody"].error
    assert "refused" in found["nobody"].error
    assert found["locked"].error == "https://127.0.0.1:1 is no address of plain HTTP"
    assert "is no address" in found["broken"].error
    assert found["service"].error == "it is no Service of the namespace vision"
    assert servers.connections == {"pod": 1}


def test_a_way_that_does_not_answer_is_waited_for_once(servers: Servers, ways: list[Way], sent: PayloadSet) -> None:
    ended = threading.Event()
    # Whatever it would answer comes when the other way is through.
    servers.does["service"] = lambda _number: 200 if ended.wait(60) else 500
    try:
        pod, service = asked(ways[:2], sent, timeout_s=0.1)
    finally:
        ended.set()
    assert (service.times_ns, service.error) == ((), "request 1 was not answered: timed out")
    assert len(pod.times_ns) == ROUNDS - OPENING
    assert Counter(name for name, *_ in servers.asked)["service"] == 1


def test_slow_answers_make_fewer_rounds_and_no_longer_probe(
    servers: Servers, ways: list[Way], sent: PayloadSet, clock: Clock
) -> None:
    def slow(_number: int) -> int:
        clock.sleep(0.25)
        return 200

    servers.does["pod"] = slow
    found = asked(ways[:2], sent)
    # The last of nine rounds begins when the two seconds are over.
    assert [len(one.times_ns) for one in found] == [9 - OPENING] * 2
    assert clock.now == 102.25
