"""A plan played by a fleet without a race: the chart's three programs, as its Jobs and its Deployment start them."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from loadtest.shot import Endpoint

pytestmark = pytest.mark.truth

SERVICE_MS = 20.0
TRIES = 3
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def run(k6: Path) -> Iterator[Run]:
    with ExitStack() as stack:

        def begin(*words: str) -> subprocess.Popen[str]:
            environment = {**os.environ, "PODIUM_K6": str(k6)}
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield begin


def performed(run: Run, folder: Path, plan: dict[str, Any]) -> tuple[int, str, str, list[int]]:
    """Return the director's exit code and output, and the exit codes of the runners."""
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(plan))
    words = ["--host", "127.0.0.1", "--port", "0", "--folder", str(folder / "data")]
    server = run("loadtest.results_server", *words)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}"
    runners = [
        run("loadtest.cluster_runner", "--results", url, "--folder", str(folder / f"work-{i}"), "--index", str(i))
        for i in range(2)
    ]
    words = ["--plan", str(folder / "plan.json"), "--results", url, "--runners", "2", "--folder", str(folder / "work")]
    director = run("loadtest.director", *words)
    out, err = director.communicate(timeout=120)
    return director.returncode, out, err, [runner.wait(60) for runner in runners]


def test_a_plan_is_played_by_all_runners_and_merged(run: Run, serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    endpoint = serve(service_ms=SERVICE_MS)
    pie = {"pie.jpg": base64.b64encode(b"\xff\xd8" + bytes(100)).decode()}
    plan = {
        "url": endpoint.url,
        "model": endpoint.model,
        "protocol": endpoint.protocol,
        "binaryData": pie,
        "rate": 20,
        "for": "5s",
        "arrivals": "constant",
        "timeout": "2s",
    }
    for number in range(TRIES):
        code, out, err, runners = performed(run, tmp_path / str(number), plan)
        assert code == 0, err
        told = json.loads(out)
        # As in a race, what the machine held up is measured again.
        if told["latency_ms"]["p50"] < SERVICE_MS + 3 and not told["misses"]:
            break
    assert (told["planned"]["requests"], told["sent"], told["good"], told["misses"]) == (100, 100, 100, 0)
    assert told["generator"]["runners"] == 2
    assert told["codes"] == {"200": 100}
    # One worker with a known service time, asked evenly and never faster than it can.
    assert told["latency_ms"]["p50"] == pytest.approx(SERVICE_MS, abs=3.0)
    assert runners == [0, 0], "runners go home when the plan is over"


def test_a_dead_server_is_a_result_and_a_wrong_payload_is_none(run: Run, tmp_path: Path) -> None:
    plan = {"url": "http://127.0.0.1:9", "model": "pie", "rate": 10, "for": "2s", "timeout": "500ms"}
    code, out, err, _ = performed(run, tmp_path / "dead", {**plan, "protocol": "v1-image", "data": {"pie.jpg": "x"}})
    assert code == 0, err
    told = json.loads(out)
    assert told["good"] == 0
    assert told["misses"] == told["planned"]["requests"] > 0
    code, out, err, runners = performed(
        run, tmp_path / "wrong", {**plan, "protocol": "v2-json", "data": {"pie.json": "[]"}}
    )
    assert (code, out) == (2, "")
    assert "payload pie.json is not a v2-json request" in err
    assert runners == [0, 0]
