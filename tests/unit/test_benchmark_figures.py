"""What benchmarks make of what they saw: a cost without the start, a round that lost a connection, runs with the
machine's counters beside them, and rows that the machine spoiled."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import coordinated_omission, decoder, generator, real_races
from loadtest.records import RunRecord
from loadtest.schedule import poisson
from loadtest.shot import GeneratorFacts, Shot

FACTS = GeneratorFacts("k6", "v2.2.0", 1, 1.0, 10.0, 0, 90_000_000, 5000, 0, (0,))


def test_the_cost_of_a_request_is_without_that_of_the_start() -> None:
    shot = Shot("open", users=400, timeout_s=2, schedule=poisson(500.0, 10.0, 1), seconds=10.0)
    one = generator.first_of(shot)
    assert one.schedule is not None
    assert (one.users, len(one.schedule)) == (400, 1)
    start = replace(FACTS, cpu_seconds=0.3)
    assert generator.cpu_us(FACTS, start, requests=5001) == pytest.approx(140)
    # The control: a start that costs nothing.
    assert generator.cpu_us(FACTS, replace(start, cpu_seconds=0.0), requests=5001) == pytest.approx(200)


class Answers(BaseHTTPRequestHandler):
    """Answers as many requests as it may with 200, and all others with 503."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.left -= 1  # type: ignore[attr-defined]
        self.send_response(200 if self.server.left >= 0 else 503)  # type: ignore[attr-defined]
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("left", [5, 1_000_000])
def test_a_round_that_lost_a_connection_is_no_round(server: ThreadingHTTPServer, left: int) -> None:
    server.left = left  # type: ignore[attr-defined]
    seen = SimpleNamespace(port=server.server_address[1], path="/", state=lambda: {"cpu_s": 1.0})
    if left > 5:
        assert decoder.asked(cast(decoder.Server, seen), b"jpeg", 3, 0.2)["rps"] > 0
    else:
        with pytest.raises(RuntimeError, match="status 503"):
            decoder.asked(cast(decoder.Server, seen), b"jpeg", 3, 0.2)


def run(void: str | None) -> RunRecord:
    return cast(RunRecord, SimpleNamespace(void=void, lateness=SimpleNamespace(p99_ms=0.2)))


def test_a_run_has_its_own_counters_beside_it_and_no_warm_ups() -> None:
    """A run that was not warm is followed by another warm-up."""
    played = [("closed", 0.1), ("open", 0.2), ("closed", 0.3), ("open", 0.4)]
    pressures = [(kind, {"pressure": amount}) for kind, amount in played]
    rows = real_races.beside([run("not-warm"), run(None)], pressures)
    assert [(row["void"], row["pressure"]) for row in rows] == [("not-warm", 0.2), (None, 0.4)]
    assert real_races.beside([], pressures[:1]) == []
    with pytest.raises(ValueError, match="shorter"):
        real_races.beside([run(None)] * 3, pressures)


def test_a_row_that_the_machine_spoiled_is_marked() -> None:
    tool = next(iter(coordinated_omission.TOOLS))
    rows: list[dict[str, object]] = [
        {"stall_s": stall_s, "tool": tool, "p99_error": 0.01, "max_error": -0.02, "steady": stall_s < 1}
        for stall_s in (0.1, 1.0)
    ]
    marked = coordinated_omission.table(rows)
    assert f"| {tool} | +1.0% / -2.0% | +1.0% / -2.0% \\* |" in marked
    assert marked.splitlines()[-1].startswith("\\* in none of 4 tries")
    assert "*" not in coordinated_omission.table([{**row, "steady": True} for row in rows])
