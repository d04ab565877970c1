"""The load path over gRPC tells the same truth as over HTTP: times as the schedule says, endings told apart."""

import json
from pathlib import Path

import grpc
import numpy as np
import pytest

from loadtest.histogram import Histogram
from loadtest.payloads import PayloadSet
from loadtest.play import play
from loadtest.schedule import constant, poisson, users_for
from loadtest.shot import Endpoint, Shot
from tests.truth.conftest import GENERATOR_CORES, Serve
from tests.truth.test_truth import (
    RATE,
    SEED,
    SERVICE_S,
    STALL_REQUEST,
    STALL_S,
    STEADY_MS,
    TIMEOUT_NS,
    TIMEOUT_S,
    TRIES,
    WITHIN,
    expected_s,
    nearest_rank,
)

SECONDS = 12.0


@pytest.fixture
def tensors(tmp_path: Path) -> PayloadSet:
    """Payloads of different sizes, one item each."""
    folder = tmp_path / "tensors"
    folder.mkdir()
    for number in range(1, 4):
        raw = bytes(4 * 100 * number)
        tensor = {
            "name": "x",
            "shape": [1, 100 * number],
            "datatype": "FP32",
            "parameters": {"binary_data_size": len(raw)},
        }
        (folder / f"{number}.bin").write_bytes(json.dumps({"inputs": [tensor]}).encode() + raw)
    return PayloadSet.from_mix([("*.bin", 1.0)], folder, seed=7)


def look_at(endpoint: Endpoint) -> dict[str, list[float]]:
    """Return what the server says about itself."""
    with grpc.insecure_channel(endpoint.url.removeprefix("http://")) as channel:
        answer = channel.unary_unary("/inference.GRPCInferenceService/Facts")(b"", timeout=60)
    facts: dict[str, list[float]] = json.loads(answer)
    return facts


def test_a_stall_is_measured_as_the_schedule_says(k6: Path, serve: Serve, tensors: PayloadSet, tmp_path: Path) -> None:
    schedule = poisson(RATE, SECONDS, SEED)
    expected = expected_s(schedule, stall=True)
    shot = Shot("open", users=users_for(RATE, 4.0), timeout_s=TIMEOUT_S, schedule=schedule, seconds=SECONDS)
    for _ in range(TRIES):
        endpoint = serve(service_ms=1000 * SERVICE_S, stall_request=STALL_REQUEST, stall_s=STALL_S, grpc=1)
        found = play(endpoint, shot, tensors, workdir=tmp_path / "work", cores=GENERATOR_CORES, k6=k6)
        sent_late_ms = np.percentile(found.samples.lateness_ns / 1e6, 90)
        answered_late_ms = np.percentile(look_at(endpoint)["late_ms"], 90)
        if max(sent_late_ms, answered_late_ms) < STEADY_MS:
            break
    measured = Histogram.of_ns(found.samples.recorded_intended_ns(TIMEOUT_NS))
    for percent in (50, 99, 100):
        truth = nearest_rank(expected, percent)
        assert measured.percentile_ms(percent) == pytest.approx(1000 * truth, rel=WITHIN), f"p{percent}"
    assert bool(found.samples.good.all())


def test_wrong_answers_and_refusals_are_told_apart(k6: Path, serve: Serve, tensors: PayloadSet, tmp_path: Path) -> None:
    endpoint = serve(service_ms=1, wrong_every=7, refuse_every=5, grpc=1)
    shot = Shot("open", users=32, timeout_s=2.0, schedule=constant(49.0, 2.0), seconds=2.0)
    found = play(endpoint, shot, tensors, workdir=tmp_path / "work", cores=GENERATOR_CORES, k6=k6)
    numbers = np.arange(98)
    refused = numbers % 5 == 0
    wrong = (numbers % 7 == 0) & ~refused
    assert int((found.samples.status == 503).sum()) == int(refused.sum())
    assert int((found.samples.answered & ~found.samples.ok).sum()) == int((refused | wrong).sum())
    assert found.generator.http_requests == 98
    # Every payload came whole, in the same proportion as it was planned.
    assert len(set(look_at(endpoint)["sizes"])) == 3


def test_a_server_that_is_not_there_is_data(k6: Path, tensors: PayloadSet, tmp_path: Path) -> None:
    shot = Shot("open", users=8, timeout_s=2.0, schedule=constant(20.0, 1.0), seconds=1.0)
    endpoint = Endpoint("http://127.0.0.1:9", "grpc", "pie")
    found = play(endpoint, shot, tensors, workdir=tmp_path / "work", cores=GENERATOR_CORES, k6=k6)
    assert found.samples.status.tolist() == [0] * 20
    assert found.generator.http_requests == 0
