"""`podium bench` against a real `podium serve`: figures, proofs and verdict; an interruption leaves nothing half."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.records import read_record
from podium.cli import run
from podium.measure import is_kept
from tests.contract.procfs import marked
from tests.contract.server import Server, started
from tests.eventually import eventually
from tests.needs import lack

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)
# Wide limits: what is tested is the course of a bench, on a machine that may be busy.
PROFILE = """\
name: brief
level: quick
protocol: v1-json
timeout: 2s
budget: 10m
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
        lack("truth", f"{error}; {error.hint}")
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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a payload and a profile of short blocks; the runs go below it."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "bodies").mkdir()
    (folder / "bodies" / "one.json").write_text(json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}))
    (folder / "brief.yaml").write_text(PROFILE)
    return folder


@pytest.fixture(scope="module")
def words(serving: Server, place: Path) -> list[str]:
    """The command line of a bench at a rate whose blocks are short, without its runs."""
    return [
        *(sys.executable, "-W", "ignore", "-m", "podium", "bench", f"http://127.0.0.1:{serving.http_port}"),
        *("--model", "tiny", "--rate", "300", "--state", f"http://127.0.0.1:{serving.metrics_port}"),
        *("--profile", str(place / "brief.yaml"), "--payloads", str(place / "bodies")),
    ]


@pytest.fixture(scope="module")
def benches(words: list[str], place: Path) -> list[dict[str, Any]]:
    """Two benches of one question."""
    found = []
    for name in ("first", "second"):
        command = [*words, "--name", name, "--slo", "p99<=1500ms, errors<=50%", "-o", "json"]
        done = subprocess.run(
            [*command, "--runs", str(place / "runs")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        # Two blocks of a second are too few for a PASS, whatever the machine does.
        assert done.returncode in {5, 6}, done.stderr
        found.append(json.loads(done.stdout))
    return found


def test_a_bench_measures_proves_and_judges(serving: Server, benches: list[dict[str, Any]], place: Path) -> None:
    bench = benches[0]
    assert bench["slo"] == "p99<=1500ms, errors<=50%, rate>=300/s"
    proofs = {proof["check"]: proof for proof in bench["passport"]}
    assert proofs["co-located"]["ok"]
    assert proofs["wrong-artifact"]["ok"]
    assert proofs["restarted"]["evidence"] == "0 restarts"
    folder = place / "runs" / bench["bench_id"]
    for path in bench["runs"]:
        record = read_record(folder / path)
        assert record.address == serving.state()["address"]
        assert (folder / path).with_suffix(".hdr").is_file()


def test_two_benches_of_one_question_are_compared_diagnosed_and_not_gated(
    benches: list[dict[str, Any]], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = place / "runs"
    names = [bench["bench_id"] for bench in benches]
    kept = [
        {record.schedule_seed for path in (runs / name).rglob("*-hold.json") if is_kept(record := read_record(path))}
        for name in names
    ]
    # On a machine that is too restless to warm up on, all runs of a side may be void, which is 6.
    code = run(["compare", *names, "--unpaired", "--runs", str(runs), "-o", "json"])
    assert code == (0 if all(kept) else 6)
    if code == 0:
        compared = json.loads(capsys.readouterr().out)
        assert {one["name"] for one in compared["figures"]} <= {"p50", "p90", "p99", "rate"}
        assert run(["diagnose", names[0], "--runs", str(runs), "-o", "json"]) == 0
        findings = {one["number"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
        assert findings[4]["sentence"] == "1 threads on 1 CPUs"
        assert findings[7]["sentence"].startswith("parsing takes ")
    assert run(["gate", names[1], "--baseline", names[0], "--runs", str(runs)]) == 3
    assert "a gate takes nothing below standard" in capsys.readouterr().err


def test_an_interruption_leaves_no_process_and_no_half_record(words: list[str], place: Path, tmp_path: Path) -> None:
    # More blocks than are played before it is interrupted, however late that is.
    (tmp_path / "long.yaml").write_text(PROFILE.replace("blocks: 2,", "blocks: 60,"))
    words = [word.replace(str(place / "brief.yaml"), str(tmp_path / "long.yaml")) for word in words]

    def has_a_record() -> bool:
        return any((tmp_path / "runs").rglob("[0-9]*-hold.json"))

    mark = f"{os.getpid()}-bench"
    process = subprocess.Popen(
        [*words, "--runs", str(tmp_path / "runs")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MARK": mark},
    )
    with process:
        # One run is on record then, and the next one is under way or about to be.
        eventually(has_a_record, 120, 0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=200)
    assert process.returncode == 130
    assert marked(mark) == []
    left = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    records = [path for path in left if path.suffix == ".json"]
    assert records
    # No bench.json, which tells of a bench that ended, and of each run all three files or none.
    assert sorted(path for path in left if path not in records) == sorted(
        path.with_suffix(suffix) for path in records for suffix in (".hdr", ".samples")
    )
    for path in records:
        read_record(path)
