"""Several processes behind one set of ports: one server to whoever asks it, probes it, stops it or kills part of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.manifest import file_entries, read_variant, write_variant
from tests.artifacts import WEIGHTS, vector_graph
from tests.bare_models import saved
from tests.contract.conftest import Starter
from tests.contract.held import ENTRY, X, channels, clients, rpc_answer
from tests.contract.procfs import Cost
from tests.contract.server import FREE, Server, ask_once, ended
from tests.eventually import eventually
from tests.ports import free_ports
from tests.running import is_running

TWO = ("--workers", "2")
STUB = "tests.contract.stub"


def two(start: Starter, folder: Path, *flags: str, **options: Any) -> Server:
    return start(folder, *TWO, *flags, cpus="2", **options)


def paced(start: Starter, folder: Path, *flags: str) -> Server:
    """Start two workers whose engines can be held."""
    return two(start, folder, "--pace", "1", "--max-batch", "1", "--stall", "60m", *flags, program=STUB)


def pids(server: Server) -> list[int]:
    return [one["pid"] for one in server.state()["processes"]]


def held_connections(server: Server, door: str = "http") -> list[int]:
    return sorted(one["connections"][door] for one in server.state()["processes"])


@pytest.fixture(scope="module")
def pair(start: Starter, vector_folder: Path) -> Server:
    """Two workers of the vector artifact, shared by the module."""
    return two(start, vector_folder)


def test_both_workers_answer_rightly_over_both_protocols(start: Starter, vector_folder: Path) -> None:
    # A server of its own: who was given more connections before is given fewer now.
    server = two(start, vector_folder)
    expected = (X @ WEIGHTS).ravel()
    for _ in range(6):
        answer = server.post_json("/v2/models/tiny/infer", {"inputs": [ENTRY]})
        assert answer.json["outputs"][0]["data"] == pytest.approx(expected.tolist())
    with channels(server, 4) as opened:
        for channel in opened:
            assert rpc_answer(channel) == pytest.approx(expected)
    counted = [one["requests"] for one in server.state()["processes"]]
    assert [(one["v2-json 200"], one["v2-grpc 200"]) for one in counted] == [(3, 2), (3, 2)]


def test_the_ready_line_and_the_state_are_of_the_whole(pair: Server) -> None:
    state = pair.state()
    assert (pair.ready["workers"], state["workers"], len(state["processes"])) == (2, 2, 2)
    assert (state["threads"], state["cpu_limit"], state["queue"], state["state"]) == (2, 2.0, 32, "ready")
    assert state["pid"] == pair.process.pid
    assert state["pid"] not in pids(pair)
    assert state["rss_bytes"] > sum(one["rss_bytes"] for one in state["processes"])
    assert {"verify", "load", "golden", "warm_up", "total"} == set(state["ready_parts"])
    assert state["ready_parts"]["total"] == pytest.approx(pair.ready["ready_s"], abs=0.001)


def test_probes_and_refusals_of_the_metrics_port(pair: Server) -> None:
    port = pair.metrics_port
    assert pair.ask("GET", "/healthz/live", port=port).json == {"live": True}
    assert pair.ask("GET", "/healthz/ready", port=port).json == {"ready": True}
    assert pair.ask("HEAD", "/healthz/ready", port=port).body == b""
    assert pair.ask("GET", "/nothing", port=port).status == 404
    assert pair.ask("POST", "/metrics", b"", port=port).status == 405


def test_the_engine_is_imported_once_for_all(pair: Server, start: Starter, vector_folder: Path) -> None:
    """What the parent has imported its workers share; the control has one process, which has nobody to share with."""
    engine = "onnxruntime_pybind11_state"
    assert engine in Path(f"/proc/{pair.process.pid}/maps").read_text()
    workers = Path(f"/proc/{pair.process.pid}/task/{pair.process.pid}/children").read_text().split()
    alone = start(vector_folder).process.pid
    shared = [_shared_kib(int(pid)) for pid in workers]
    assert len(shared) == 2
    assert min(shared) > 10 << 10 > _shared_kib(alone)


def _shared_kib(pid: int) -> int:
    """Tell how much of what a process wrote it shares with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Shared_Dirty:"))


def test_the_metrics_are_the_sum_of_what_both_did(start: Starter, vector_folder: Path) -> None:
    server = two(start, vector_folder)
    for _ in range(10):
        assert server.is_good()
    server.post_json("/v1/models/tiny:predict", {})
    page = server.ask("GET", "/metrics", port=server.metrics_port).body.decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    labels = 'protocol="v1-json",variant="tiny-ort-fp32"'
    assert float(samples[f'podium_requests_total{{code="200",{labels}}}']) == 10
    assert float(samples[f'podium_requests_total{{code="400",{labels}}}']) == 1
    assert float(samples[f'podium_request_seconds_bucket{{le="+Inf",{labels}}}']) == 10
    assert float(samples['podium_batch_size_count{variant="tiny-ort-fp32"}']) == 10
    assert float(samples['podium_in_flight{variant="tiny-ort-fp32"}']) == 0
    each = [one["requests"]["v1-json 200"] for one in server.state()["processes"]]
    assert (sum(each), min(each) > 0) == (10, True)
    assert "pid" not in page
    assert "worker" not in page


def test_connections_are_shared_out_evenly(pair: Server) -> None:
    eventually(lambda: held_connections(pair) == [0, 0] == held_connections(pair, "grpc"))
    with clients(pair, 8) as opened:
        assert held_connections(pair) == [4, 4]
        # Whoever leaves makes room where it was.
        for each in opened[:8:2]:
            each.close()
        eventually(lambda: sum(held_connections(pair)) == 4)
        with clients(pair, 4):
            assert held_connections(pair) == [4, 4]
    eventually(lambda: held_connections(pair) == [0, 0])
    with channels(pair, 8) as dialed:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(rpc_answer, dialed))
        assert held_connections(pair, "grpc") == [4, 4]


def test_who_hands_over_without_counting_gives_all_to_one(start: Starter, vector_folder: Path) -> None:
    """The control: the same connections with the choice taken out."""
    server = two(start, vector_folder, "--without", "fairness", program=STUB)
    with clients(server, 8):
        assert held_connections(server) == [0, 8]


def test_no_descriptor_is_left_of_connections(start: Starter, vector_folder: Path) -> None:
    server = two(start, vector_folder)
    processes = [Cost(pid) for pid in (server.process.pid, *pids(server))]
    before = [process.files() for process in processes]
    for _ in range(20):
        with clients(server, 4):
            pass
    with channels(server, 20) as opened:
        for channel in opened:
            rpc_answer(channel)
    eventually(lambda: held_connections(server) == [0, 0] == held_connections(server, "grpc"))
    # The event loop opens a few of its own when it needs them first; of the connections each process had fifty.
    eventually(lambda: all(now.files() <= then + 5 for now, then in zip(processes, before, strict=True)))


def test_the_limit_of_connections_is_that_of_all_together(start: Starter, vector_folder: Path) -> None:
    server = two(start, vector_folder, "--connections", "5")

    def is_refused() -> bool:
        answer = server.ask("GET", "/v2/health/ready")
        assert (answer.status, answer.headers.get("retry-after")) in ((200, None), (503, "1"))
        return answer.status == 503

    with clients(server, 5) as opened:
        assert held_connections(server) == [2, 3]
        assert [is_refused() for _ in range(4)] == [True] * 4
        opened[0].close()
        eventually(lambda: not is_refused())
    eventually(lambda: not is_refused())


@contextmanager
def loading(folder: Path, log: Path, late: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start two workers of which one is held while it loads; give the process and the first of its ports."""
    port = free_ports(3)
    ports = ["--http-port", str(port), "--grpc-port", str(port + 1), "--metrics-port", str(port + 2)]
    command = [sys.executable, "-m", STUB, str(folder), *TWO, "--cpus", "2", *ports, "--late", str(late), *flags]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        eventually(lambda: one_is_loaded(port + 2))
        yield process, port
    finally:
        process.terminate()
        process.communicate(timeout=60)


def one_is_loaded(port: int) -> bool:
    with suppress(ConnectionError):
        return bool(ask_once(port, "GET", "/debug/state").json["gather"])
    return False


def seen_ready(port: int) -> list[int]:
    return [ask_once(port, "GET", "/v2/health/ready").status for _ in range(4)]


def test_it_is_not_ready_before_the_slower_worker_is(vector_folder: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    with loading(vector_folder, tmp_path / "log", late) as (process, port):
        assert ask_once(port + 2, "GET", "/healthz/ready").json == {"ready": False}
        assert ask_once(port + 2, "GET", "/healthz/live").json == {"live": True}
        assert ask_once(port + 2, "GET", "/debug/state").json["state"] == "loading"
        assert seen_ready(port) == [503] * 4
        late.unlink()
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        assert seen_ready(port) == [200] * 4
        assert ask_once(port + 2, "GET", "/healthz/ready").json == {"ready": True}


def test_a_worker_that_does_not_wait_is_ready_before_the_server(vector_folder: Path, tmp_path: Path) -> None:
    """The control: of those who ask, every other one is told that it is ready."""
    late = tmp_path / "late"
    with loading(vector_folder, tmp_path / "log", late, "--without", "company") as (_, port):
        assert sorted(seen_ready(port)) == [200, 200, 503, 503]


def test_told_to_stop_while_it_loads_it_ends_without_a_word(vector_folder: Path, tmp_path: Path) -> None:
    with loading(vector_folder, tmp_path / "log", tmp_path / "late") as (process, port):
        workers = [one["pid"] for one in ask_once(port + 2, "GET", "/debug/state").json["processes"]]
        process.terminate()
        assert process.communicate(timeout=60)[0] == ""
        assert process.returncode == 0
        assert not any(map(is_running, workers))


def answered(server: Server, pool: ThreadPoolExecutor) -> Any:
    """Hold one engine, and give what will become of the request that does."""
    body = b'{"instances": [[200000.0, 0.0, 0.0, 0.0]]}'
    headers = {"content-type": "application/json", "x-podium-timeout-ms": "200000"}
    return pool.submit(server.ask, "POST", "/v1/models/tiny:predict", body, headers, timeout_s=200)


@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_worker_ends_the_server(start: Starter, vector_folder: Path, number: int) -> None:
    server = two(start, vector_folder)
    workers = pids(server)
    os.kill(workers[number - 1], signal.SIGKILL)
    assert server.process.wait(60) == 4
    assert not any(map(is_running, workers))
    sentence = server.log.read_text().splitlines()[-1]
    assert sentence.startswith(f"error: worker {number} (process {workers[number - 1]}) was killed by SIGKILL (")


def test_before_it_ends_the_others_finish_what_they_accepted(start: Starter, vector_folder: Path) -> None:
    server = paced(start, vector_folder)
    with ThreadPoolExecutor(1) as pool:
        asking = answered(server, pool)
        eventually(lambda: server.state()["in_flight"] == 1, pause_s=0.005)
        idle, busy = sorted(server.state()["processes"], key=lambda one: one["in_flight"])
        os.kill(idle["pid"], signal.SIGKILL)
        eventually(lambda: not is_running(idle["pid"]))
        for path, status in (("/healthz/live", 503), ("/healthz/ready", 503), ("/debug/state", 503)):
            assert server.ask("GET", path, port=server.metrics_port).status == status
        assert server.process.poll() is None
        os.kill(busy["pid"], signal.SIGUSR1)
        assert asking.result().status == 200
    assert server.process.wait(60) != 0
    assert not is_running(busy["pid"])


def test_without_that_half_a_server_would_go_on(start: Starter, vector_folder: Path) -> None:
    """The control: nobody looks whether the workers live."""
    server = two(start, vector_folder, "--grace", "60m", "--without", "kinship", program=STUB)
    os.kill(pids(server)[0], signal.SIGKILL)
    eventually(lambda: server.ask("GET", "/debug/state", port=server.metrics_port).status == 503)
    assert [server.is_good() for _ in range(4)] == [True] * 4
    assert server.process.poll() is None
    # Told to stop, it waits for the dead one as long as its grace time.
    assert ended([server], 1.0) == [server]


def test_a_worker_killed_while_it_drains_is_not_waited_for(start: Starter, vector_folder: Path) -> None:
    server = paced(start, vector_folder, "--grace", "60m")
    with ThreadPoolExecutor(1) as pool:
        asking = answered(server, pool)
        eventually(lambda: server.state()["in_flight"] == 1, pause_s=0.005)
        busy = max(server.state()["processes"], key=lambda one: one["in_flight"])
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.state()["state"] == "refusing", pause_s=0.005)
        os.kill(busy["pid"], signal.SIGKILL)
        assert server.process.wait(60) == 1
        assert asking.exception() is not None
    assert f"(process {busy['pid']}) was killed by SIGKILL" in server.log.read_text()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_killed_parent_leaves_no_worker(start: Starter, vector_folder: Path, is_stopped: bool) -> None:
    server = two(start, vector_folder)
    workers = pids(server)
    if is_stopped:
        # One that can hear of nothing any more.
        os.kill(workers[0], signal.SIGSTOP)
    server.stop(signal.SIGKILL)
    eventually(lambda: not any(map(is_running, workers)))


def test_without_the_kernels_help_a_stopped_worker_stays(start: Starter, vector_folder: Path) -> None:
    """The control: the others see that the parent's end of the link is closed, that one does not."""
    server = two(start, vector_folder, "--without", "parent", program=STUB)
    stopped, other = pids(server)
    os.kill(stopped, signal.SIGSTOP)
    try:
        server.stop(signal.SIGKILL)
        eventually(lambda: not is_running(other))
        assert is_running(stopped)
    finally:
        os.kill(stopped, signal.SIGKILL)


def test_work_in_flight_in_both_is_finished_before_the_end(start: Starter, vector_folder: Path) -> None:
    server = paced(start, vector_folder, "--grace", "5m")
    workers = pids(server)
    with ThreadPoolExecutor(6) as pool:
        asking = [answered(server, pool) for _ in range(6)]
        eventually(lambda: [one["in_flight"] for one in server.state()["processes"]] == [3, 3], pause_s=0.005)
        # As a terminal does it: to all processes at once.
        for pid in (server.process.pid, *workers):
            os.kill(pid, signal.SIGINT)
        eventually(lambda: server.state()["state"] == "refusing", pause_s=0.005)
        answer = server.post_json("/v1/models/tiny:predict", {"instances": X.tolist()})
        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        os.kill(workers[0], signal.SIGUSR1)
        eventually(lambda: server.state()["in_flight"] == 3, pause_s=0.005)
        assert is_running(workers[0]), "who has finished waits for the others"
        os.kill(workers[1], signal.SIGUSR1)
        assert [each.result().status for each in asking] == [200] * 6
    assert server.process.wait(60) == 0
    assert not any(map(is_running, workers))


def test_the_grace_time_ends_what_does_not_end(start: Starter, vector_folder: Path) -> None:
    """The control: with no grace to speak of, the same work is lost and the exit code says so."""
    server = paced(start, vector_folder, "--grace", "200ms")
    workers = pids(server)
    with ThreadPoolExecutor(1) as pool:
        asking = answered(server, pool)
        eventually(lambda: server.state()["in_flight"] == 1, pause_s=0.005)
        assert server.stop() == 1
        assert asking.exception() is not None
    assert not any(map(is_running, workers))


def refused(*arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "podium", "serve", *arguments], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("{")]


def test_a_model_that_is_refused_is_told_once(vector_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(vector_folder, folder)
    path = folder / "golden" / "output-0.npy"
    np.save(path, np.load(path) + 1)
    write_variant(folder, read_variant(folder).model_copy(update={"files": file_entries(folder)}))
    code, told = refused(str(folder), *FREE, "--cpus", "2", *TWO)
    assert code == 3
    assert sum("golden output logits is off by 1" in line for line in told) == 1


def test_a_ray_replica_is_not_doubled(vector_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    shutil.copytree(vector_folder, folder)
    variant = read_variant(folder)
    write_variant(folder, variant.model_copy(update={"runtime": variant.runtime.model_copy(update={"name": "ray"})}))
    code, told = refused(str(folder), *FREE, "--cpus", "2", *TWO)
    assert code == 3
    assert "is served by a Ray replica, which is a process of its own already" in " ".join(told)


def test_a_bare_model_is_served_by_several_too(start: Starter, tmp_path: Path) -> None:
    server = two(start, saved(tmp_path / "tiny", vector_graph()))
    for _ in range(4):
        answer = server.post_json("/v2/models/tiny/infer", {"inputs": [ENTRY]})
        assert answer.json["outputs"][0]["data"] == pytest.approx((X @ WEIGHTS).ravel().tolist())
    assert server.log.read_text().count("unverified: a bare model") == 1
