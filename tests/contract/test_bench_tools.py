"""`podium bench` with k6 and with vegeta at one rate against servers whose truth is known: their records agree."""

import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.records import RunRecord, read_record
from loadtest.samples import Samples, read_samples
from loadtest.vegeta import find_vegeta
from podium.cli import run
from podium.measure import is_kept
from tests.loads import payloads
from tests.needs import lack

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)
TOOLS = ("k6", "vegeta")
FAST_MS = 20.0
SLOW_MS = 200.0
BLOCK = 400
# Wide limits, as what is tested is the course of a bench on a machine that may be busy; no warm-up, so that the server
# sees the requests of the hold alone.
PROFILE = """\
name: brief
level: quick
timeout: 2s
budget: 10m
phases: [{kind: hold, arrivals: constant, blocks: 2, block: 1s, restart: false}]
confidence: 0.95
thresholds: {latenessP99: 1.5s, achieved: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 1.0}
"""


@dataclass(frozen=True)
class Benched:
    """A bench as it was printed, its records and samples, and how often the server gave each status meanwhile."""

    bench: dict[str, Any]
    records: list[RunRecord]
    samples: list[Samples]
    given: Counter[str]

    @property
    def codes(self) -> Counter[str]:
        """Requests by status over all runs, void ones among them."""
        return sum((Counter(record.codes) for record in self.records), Counter[str]())

    @property
    def sent(self) -> int:
        """Requests that left in all runs."""
        return sum(record.sent for record in self.records)

    @property
    def is_judged(self) -> bool:
        """Whether a run of it counts."""
        return any(is_kept(record) for record in self.records)


@contextmanager
def served(*flags: str) -> Iterator[str]:
    """Serve on the last core, so that the generators have the others."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.delayed", *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
    finally:
        os.sched_setaffinity(0, cores)
    with process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for find in (find_k6, find_vegeta):
        try:
            find()
        except GeneratorError as error:
            lack("truth", f"{error}; {error.hint}")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a bench needs a core for the server and one for the generator")
    folder = tmp_path_factory.mktemp("tools")
    payloads(folder / "bodies")
    (folder / "brief.yaml").write_text(PROFILE)
    return folder


def benched(place: Path, name: str, tool: str, *flags: str) -> Benched:
    """Bench a new server to the end."""
    words = [sys.executable, "-W", "ignore", "-m", "podium", "bench"]
    with served(*flags) as url:
        words += [url, "--model", "pie", "--rate", "200", "--tool", tool, "--name", f"{name}-{tool}", "-o", "json"]
        words += ["--profile", str(place / "brief.yaml"), "--payloads", str(place / "bodies")]
        done = subprocess.run(
            [*words, "--runs", str(place / "runs")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.stdout, done.stderr
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310
            given: Counter[str] = Counter(json.load(answer))
    bench = json.loads(done.stdout)
    paths = sorted((place / "runs" / bench["bench_id"]).rglob("[0-9]*-hold.json"))
    records = [read_record(path) for path in paths]
    return Benched(bench, records, [read_samples(path.with_suffix(".samples")) for path in paths], given)


@pytest.fixture(scope="module")
def fast(place: Path) -> dict[str, Benched]:
    """Both tools on a server that answers everything."""
    return {tool: benched(place, "fast", tool, "--service-ms", str(FAST_MS)) for tool in TOOLS}


@pytest.fixture(scope="module")
def failing(place: Path) -> dict[str, Benched]:
    """Both tools on a slow server that refuses every tenth request."""
    flags = ("--service-ms", str(SLOW_MS), "--refuse-every", "10")
    return {tool: benched(place, "failing", tool, *flags) for tool in TOOLS}


def test_both_tools_leave_the_same_records_with_their_names_in_them(fast: dict[str, Benched]) -> None:
    for tool, found in fast.items():
        assert found.bench["tool"] == tool
        assert found.records
        for record, samples in zip(found.records, found.samples, strict=True):
            assert (record.generator.tool, record.generator.runners) == (tool, 1)
            assert record.planned.requests == sum(record.codes.values()) == len(samples) == BLOCK
            assert (record.planned.rate, record.latency.clock) == (200.0, "intended")
            assert (samples.intended_ns[1:] - samples.intended_ns[:-1] == 5_000_000).all()
    assert set(fast["k6"].bench) == set(fast["vegeta"].bench)
    assert fast["k6"].records[0].schedule_seed == fast["vegeta"].records[0].schedule_seed


def test_both_count_what_the_server_gave_and_a_refused_tenth_alike(
    fast: dict[str, Benched], failing: dict[str, Benched]
) -> None:
    for tool in TOOLS:
        good, bad = fast[tool], failing[tool]
        # One request was sent before the load, to see whether it is taken; it is number 0 of each server.
        assert good.codes["200"] == good.sent == good.given["200"] - 1
        assert good.codes["503"] == good.given["503"] == 0
        assert bad.codes["503"] == bad.sent // 10 == bad.given["503"] - 1
        assert bad.codes["200"] == bad.sent - bad.sent // 10 == bad.given["200"]
        for record, samples in zip(bad.records, bad.samples, strict=True):
            assert record.misses >= record.codes["503"] > 0
            assert int(samples.good.sum()) == record.codes["200"]


def test_both_measure_the_servers_time_and_tell_a_slow_one(
    fast: dict[str, Benched], failing: dict[str, Benched]
) -> None:
    for tool in TOOLS:
        for found, service_ms in ((fast[tool], FAST_MS), (failing[tool], SLOW_MS)):
            for samples in found.samples:
                came = samples.answered
                assert (samples.latency_actual_ns[came] >= service_ms * 1e6).all()
                assert (samples.lateness_ns[samples.sent] >= 0).all()
        medians = [record.latency.p50_ms or 0.0 for record in fast[tool].records]
        assert FAST_MS * 0.999 <= min(medians) <= max(medians) < SLOW_MS
        assert all((record.latency.p50_ms or 0.0) >= SLOW_MS * 0.999 for record in failing[tool].records)


def test_what_vegeta_cannot_prove_is_said_by_name_and_all_else_is_proven(fast: dict[str, Benched]) -> None:
    proofs = {
        tool: {proof.check: proof for record in found.records for proof in record.passport}
        for tool, found in fast.items()
    }
    unknown = {tool: {name for name, proof in known.items() if proof.ok is None} for tool, known in proofs.items()}
    assert unknown["vegeta"] - unknown["k6"] == {"wrong-answers"}
    told = proofs["vegeta"]["wrong-answers"].evidence
    assert told == "not measured; vegeta looks into no answer of status 2xx"
    assert proofs["k6"]["wrong-answers"].ok
    for check in ("wrong-clock", "dropped", "payload-drift", "co-located", "errors-hidden"):
        assert proofs["vegeta"][check].ok, check


def test_benches_of_vegeta_are_compared_and_diagnosed_and_not_mixed_with_k6s(
    place: Path, fast: dict[str, Benched], failing: dict[str, Benched], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("--runs", str(place / "runs"), "-o", "json")
    mine, theirs, other = (one.bench["bench_id"] for one in (fast["vegeta"], fast["k6"], failing["vegeta"]))
    # On a machine that is too restless all runs of a side may be void, which is 6.
    code = run(["compare", mine, other, "--unpaired", *runs])
    assert code == (0 if fast["vegeta"].is_judged and failing["vegeta"].is_judged else 6)
    capsys.readouterr()
    if code == 0 and fast["k6"].is_judged:
        assert run(["compare", theirs, mine, "--unpaired", *runs]) == 3
        assert "generator: k6 and vegeta" in " ".join(capsys.readouterr().err.split())
        assert run(["diagnose", mine, *runs]) == 0
