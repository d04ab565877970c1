"""How requests and servers end, and that records say so: closed, refused, timed out, dead in the middle, wrong inside.

Each ending is planted in a server whose number of requests is known, and the record must hold exactly that class. The
plain server is the control of all of them.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadtest.payloads import PayloadSet
from loadtest.play import play
from loadtest.records import RunRecord, read_record, record_from
from loadtest.runrecord import RunIdentity
from loadtest.schedule import constant
from loadtest.shot import Endpoint, Outcome, Shot
from tests.loads import payloads
from tests.truth.conftest import GENERATOR_CORES, Serve
from tests.truth.test_truth import look_at

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)
TIMEOUT_S = 1.0
REQUESTS = 60
IDENTITY = RunIdentity(
    id="01-hold",
    race="pie",
    variant="pie",
    address="",
    node_class="local",
    phase="hold",
    level="quick",
    profile_digest="",
    fingerprint="",
    node="here",
)
# Wide limits: what is tested is what a record says, on a machine that may be busy.
PROFILE = """\
name: brief
level: quick
protocol: v1-image
timeout: 2s
budget: 5m
phases: [{kind: hold, blocks: 3, block: 1s, restart: false}]
confidence: 0.95
thresholds: {latenessP99: 1.5s, achieved: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 1.0}
"""


def sent(k6: Path, endpoint: Endpoint, bodies: PayloadSet, folder: Path) -> tuple[Outcome, RunRecord]:
    """Send a known number of requests, and return what came of it and its record."""
    shot = Shot("open", users=40, timeout_s=TIMEOUT_S, schedule=constant(30.0, REQUESTS / 30), seconds=REQUESTS / 30)
    outcome = play(endpoint, shot, bodies, workdir=folder, cores=GENERATOR_CORES, k6=k6)
    return outcome, record_from([outcome], IDENTITY, endpoint, file="01-hold.hdr", rate=30.0)


@pytest.mark.parametrize(("every", "closed"), [(10, REQUESTS // 10), (0, 0)])
def test_a_server_that_closes_every_tenth_connection_is_told_and_nothing_is_sent_again(
    k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path, every: int, closed: int
) -> None:
    endpoint = serve(service_ms=1, close_every=every)
    outcome, record = sent(k6, endpoint, bodies, tmp_path)
    assert record.codes == {"200": REQUESTS - closed, **({"0": closed} if closed else {})}
    assert record.unanswered == ({"reset": closed} if closed else {})
    assert (record.misses, record.wrong) == (closed, 0)
    assert len(look_at(endpoint)["sizes"]) == outcome.generator.http_requests == REQUESTS


def test_a_refusal_and_a_time_out_are_no_resets(k6: Path, serve: Serve, bodies: PayloadSet, tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound, and nobody listens: nobody else can come to listen there meanwhile.
        taken.bind(("127.0.0.1", 0))
        nobody = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}", "v1-image", "pie")
        _, refused = sent(k6, nobody, bodies, tmp_path)
    _, late = sent(k6, serve(service_ms=1000 * (TIMEOUT_S + REQUESTS)), bodies, tmp_path)
    for record, why in ((refused, "refused"), (late, "timed-out")):
        assert (record.codes, record.unanswered) == ({"0": REQUESTS}, {why: REQUESTS})
        assert (record.misses, record.answered) == (REQUESTS, 0)


def test_over_grpc_a_refusal_and_a_time_out_are_told_apart_too(k6: Path, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "tensors").mkdir()
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    (tmp_path / "tensors" / "0.bin").write_bytes(json.dumps({"inputs": [tensor]}).encode() + bytes(8))
    tensors = PayloadSet.from_mix([("*.bin", 1.0)], tmp_path / "tensors", seed=7)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}", "grpc", "pie")
        _, refused = sent(k6, nobody, tensors, tmp_path)
    assert refused.unanswered == {"refused": REQUESTS}
    _, late = sent(k6, serve(service_ms=1000 * (TIMEOUT_S + REQUESTS), grpc=1), tensors, tmp_path)
    # A server that keeps the deadline too may say so first, which is an answer.
    assert set(late.unanswered) == {"timed-out"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    payloads(tmp_path / "bodies", 2)
    (tmp_path / "brief.yaml").write_text(PROFILE)
    return tmp_path


def benched(endpoint: Endpoint, place: Path) -> tuple[int, dict[str, Any], list[RunRecord]]:
    """Bench a server to the end, and return the exit code, what was printed and the records of the hold."""
    words = ["-m", "podium", "bench", endpoint.url, "--model", "pie", "--rate", "50", "-o", "json"]
    words += ["--profile", str(place / "brief.yaml"), "--payloads", str(place / "bodies")]
    words += ["--slo", "p99<=1900ms, errors<=50%", "--runs", str(place / "runs")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), records_of(place)


def records_of(place: Path) -> list[RunRecord]:
    return [read_record(path) for path in sorted((place / "runs").rglob("[0-9]*-hold.json"))]


def test_a_server_that_dies_in_the_middle_of_a_bench_voids_that_run_and_no_finished_one(
    k6: Path, serve: Serve, place: Path
) -> None:
    code, bench, records = benched(serve(service_ms=1, die_at=600), place)
    assert (code, bench["status"], bench["void"]) == (6, "VOID", "restarted")
    *finished, died = records
    assert finished
    for whole in finished:
        assert whole.void != "restarted"
        assert (whole.codes, whole.unanswered) == ({"200": whole.sent}, {})
    # Those under way lost their connection, and nobody was there for the rest.
    assert died.void == "restarted"
    assert died.unanswered["refused"] > 0
    assert set(died.unanswered) <= {"reset", "refused"}
    assert sum(died.unanswered.values()) == died.codes["0"] == died.misses
    assert died.codes["200"] + died.codes["0"] == died.planned.requests


def test_a_server_that_answers_200_with_an_error_body_is_wrong_and_void(k6: Path, serve: Serve, place: Path) -> None:
    code, bench, records = benched(serve(service_ms=1, error_every=3), place)
    assert (code, bench["status"], bench["void"]) == (6, "VOID", "wrong-answers")
    for record in records:
        assert (set(record.codes), record.unanswered, record.void) == ({"200"}, {}, "wrong-answers")
        assert record.wrong == record.misses
        assert record.sent / 3 - 1 <= record.wrong <= record.sent / 3 + 1


@pytest.mark.parametrize("options", [{}, {"close_every": 10}])
def test_a_server_that_lives_and_answers_is_neither_void_nor_wrong(
    k6: Path, serve: Serve, place: Path, options: Mapping[str, float]
) -> None:
    _, bench, records = benched(serve(service_ms=1, **options), place)
    assert bench["void"] not in {"restarted", "wrong-answers"}
    assert len(records) == 3
    for record in records:
        assert record.void not in {"restarted", "wrong-answers"}
        assert record.wrong == 0
        assert set(record.unanswered) == ({"reset"} if options else set())
