"""`podium bench` against a real `podium serve`: figures, proofs and verdict; an interruption leaves nothing half."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.records import read_record
from tests.contract.race.conftest import need
from tests.contract.server import Server, started
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
# Wide limits: what is tested is the course of a bench, on a machine that may be busy.
PROFILE = """\
name: brief
level: quick
protocol: v1-json
timeout: 2s
budget: 1m
phases: [{kind: warmup, atLeast: 20, atMost: 20s}, {kind: hold, blocks: 2, block: 1s, restart: false}]
confidence: 0.95
thresholds: {latenessP99: 1.5s, achieved: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 1.0}
"""


@pytest.fixture(scope="module")
def serving(vector_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the last core, so that the generator has the others."""
    try:
        find_k6()
    except GeneratorError as error:
        need(f"{error}; {error.hint}")
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("a bench needs a core for the server and one for the generator")
    os.sched_setaffinity(0, {max(cores)})
    try:
        server = started(vector_folder, tmp_path_factory.mktemp("log") / "server.log")
    finally:
        os.sched_setaffinity(0, cores)
    yield server
    server.stop()
    if server.process.stdout is not None:
        server.process.stdout.close()


@pytest.fixture
def words(serving: Server, tmp_path: Path) -> list[str]:
    """The command line of a bench at a rate whose blocks are short."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.json").write_text(json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}))
    (tmp_path / "brief.yaml").write_text(PROFILE)
    places = ["--profile", str(tmp_path / "brief.yaml"), "--payloads", str(tmp_path / "photos")]
    return [
        *(sys.executable, "-W", "ignore", "-m", "podium", "bench", f"http://127.0.0.1:{serving.http_port}"),
        *("--model", "tiny", "--rate", "300", "--state", f"http://127.0.0.1:{serving.metrics_port}"),
        *("--runs", str(tmp_path / "runs"), *places),
    ]


def test_a_bench_measures_proves_and_judges(serving: Server, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*words, "--slo", "p99<=1500ms, errors<=50%", "-o", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # Two blocks of a second are too few for a verdict, whatever the machine does.
    assert done.returncode == 6, done.stderr
    bench = json.loads(done.stdout)
    assert bench["slo"] == "p99<=1500ms, errors<=50%, rate>=300/s"
    proofs = {proof["check"]: proof for proof in bench["passport"]}
    assert proofs["co-located"]["ok"]
    assert proofs["wrong-artifact"]["ok"]
    assert proofs["restarted"]["evidence"] == "0 restarts"
    (folder,) = (tmp_path / "runs").iterdir()
    for run in bench["runs"]:
        record = read_record(folder / run)
        assert record.address == serving.state()["address"]
        assert (folder / run).with_suffix(".hdr").is_file()


def test_an_interruption_leaves_no_process_and_no_half_record(words: list[str], tmp_path: Path) -> None:
    def is_holding() -> bool:
        return any("shot-" in str(path) or path.name == "work" for path in (tmp_path / "runs").rglob("*"))

    mark = f"{os.getpid()}-bench"
    process = subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "MARK": mark}
    )
    with process:
        eventually(is_holding, 60, 0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert _marked(mark) == []
    left = [path.name for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [name for name in left if not name.endswith((".json", ".hdr", ".samples"))] == []
    for path in (tmp_path / "runs").rglob("*.json"):
        read_record(path)


def _marked(mark: str) -> list[str]:
    """Return the command lines of processes that inherited the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
