"""An engine that does not come back from a batch: not ready, then not alive, and ready again when it does."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bare_models import looping_graph, saved
from tests.contract.conftest import Starter
from tests.contract.holding import held, with_a_gate
from tests.contract.server import Server
from tests.eventually import eventually

TURNS = 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("loop") / "loop", looping_graph())


def infer(server: Server, turns: float) -> int:
    entry = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [turns, 0]}
    headers = {"x_podium_timeout_ms": "200000"}
    return server.post_json("/v2/models/loop/infer", {"inputs": [entry]}, **headers).status


def turns_for(server: Server, seconds: float) -> float:
    """Find how many turns take about so long here and now."""
    answer = server.post_json(
        "/v2/models/loop/infer",
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [TURNS, 0]}]},
        x_podium_timing="1",
    )
    compute_ms = float(answer.headers["x-podium-timing"].split("compute;dur=")[1].split(",")[0])
    return seconds * 1000 / compute_ms * TURNS


def statuses(server: Server, model: str) -> tuple[int, int, int, int]:
    """Give readiness and liveness of the metrics port, then of the data port."""
    side = server.metrics_port
    return (
        server.ask("GET", "/healthz/ready", port=side).status,
        server.ask("GET", "/healthz/live", port=side).status,
        server.ask("GET", f"/v2/models/{model}/ready").status,
        server.ask("GET", "/v2/health/live").status,
    )


@pytest.mark.row("R23", "a stalled engine: first not ready, then not alive, and both again when it goes on")
def test_a_stalled_engine_is_not_ready_then_not_alive_and_recovers(
    start: Starter, vector_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    server = with_a_gate(start, vector_folder, "--stall", "3s")
    assert statuses(server, "tiny") == (200, 200, 200, 200)
    with held(server):
        eventually(lambda: statuses(server, "tiny") == (503, 200, 503, 200), pause_s=0.02)
        eventually(lambda: statuses(server, "tiny") == (503, 503, 503, 503), pause_s=0.02)
        assert server.state()["computing_s"] > 9
    eventually(lambda: statuses(server, "tiny") == (200, 200, 200, 200))
    record_property("R23", "a bound of 3 s: not ready, then not alive after 9 s, ready once it goes on")


@pytest.mark.control("R23")
def test_health_that_asks_no_engine_sees_nothing(start: Starter, folder: Path) -> None:
    """The control, with an engine that really computes: where the bound is never reached, a long batch goes unseen."""
    server = start(folder, "--stall", "60m")
    turns = turns_for(server, 3)
    seen: set[tuple[int, int, int, int]] = set()
    request = threading.Thread(target=infer, args=(server, turns))
    request.start()

    def is_over() -> bool:
        seen.add(statuses(server, "loop"))
        return not request.is_alive()

    eventually(is_over, deadline_s=120, pause_s=0.02)
    assert seen == {(200, 200, 200, 200)}
