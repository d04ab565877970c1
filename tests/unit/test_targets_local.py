"""The local target: real server processes of tiny artifacts, on their cores and ports, and their end."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.shot import Shot
from podium.doctor import Check, examine
from podium.errors import MachineError
from podium.targets import local
from podium.targets.local import LocalTarget
from podium.targets.target import Candidate, Deployment
from predictors.manifest import address_of
from tests.artifacts import vector_artifact
from tests.eventually import eventually
from tests.loads import payloads, program
from tests.ports import free_ports
from tests.running import is_running

CORES = sorted(os.sched_getaffinity(0))
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="a server and a generator need a core each")


def target(folder: Path, *, cpus: int = 1, first_port: int | None = None) -> LocalTarget:
    return LocalTarget(
        model="tiny",
        protocol="v2-json",
        cpus=cpus,
        first_port=free_ports(4) if first_port is None else first_port,
        folder=folder,
        race_id="race-7",
    )


def candidate(folder: Path, name: str = "tiny-ort-fp32") -> Candidate:
    return Candidate(name, "local", address_of(folder), folder)


def pid_of(deployment: Deployment) -> int:
    return int(deployment.identity.removeprefix("pid "))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    found = target(tmp_path_factory.mktemp("race"))
    yield found
    found.cleanup()


@pytest.fixture
def deployment(place: LocalTarget, artifact: Path) -> Deployment:
    return place.deploy(candidate(artifact))


@pytest.fixture
def generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PODIUM_K6", "PODIUM_VEGETA"):
        monkeypatch.setenv(name, str(program(tmp_path, "", name)))


def test_server_and_generator_have_cores_of_their_own(tmp_path: Path) -> None:
    found = target(tmp_path, first_port=20000)
    assert found.server_cores == {CORES[-1]}
    assert found.generator_cores == set(CORES[:-1][:2])
    assert not found.server_cores & found.generator_cores


def test_a_machine_with_ports_cores_and_generators_is_fit(tmp_path: Path, generators: None) -> None:
    target(tmp_path).check(2)


def test_a_server_that_takes_every_core_leaves_none_for_the_generator(tmp_path: Path, generators: None) -> None:
    with pytest.raises(MachineError) as refused:
        target(tmp_path, cpus=len(CORES), first_port=20000).check(1)
    assert str(refused.value) == (
        f"This machine offers {len(CORES)} cores, and a server of {len(CORES)} leaves none for the load generator."
    )
    assert "node class 'local'" in refused.value.hint


def test_a_port_that_is_taken_is_named_with_another_base(tmp_path: Path, generators: None) -> None:
    base = free_ports(4)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 3))
        taken.listen()
        found = target(tmp_path, first_port=base)
        found.check(1)
        with pytest.raises(MachineError) as refused:
            found.check(2)
    assert str(refused.value) == f"Port {base + 3} on 127.0.0.1 cannot be used: Address already in use."
    assert f"--port {base + 100}" in refused.value.hint


@pytest.mark.parametrize("missing", ["PODIUM_K6", "PODIUM_VEGETA"])
def test_a_generator_that_is_missing_is_found_out_before_anything_starts(
    tmp_path: Path, generators: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def seen() -> Check:
        return next(one for one in examine(tmp_path) if f"PODIUM_{one.name.upper()}" == missing)

    target(tmp_path).check(1)
    assert "there is no" not in seen().found
    monkeypatch.setenv(missing, str(tmp_path / "none"))
    with pytest.raises(GeneratorError, match="there is no") as refused:
        target(tmp_path).check(1)
    # The doctor says the same of it as the race.
    assert seen().status == "missing"
    assert str(refused.value) in seen().found
    assert seen().remedy == refused.value.hint


def test_a_deployment_is_a_ready_server_on_its_core(place: LocalTarget, deployment: Deployment) -> None:
    assert deployment.ready_seconds > 0
    assert deployment.endpoint.protocol == "v2-json"
    with urllib.request.urlopen(f"{deployment.endpoint.url}/v2/models/tiny", timeout=10) as answer:  # noqa: S310
        assert json.load(answer)["name"] == "tiny"
    facts = place.observe(deployment)
    assert (facts.alive, facts.ending, facts.identity) == (True, "", deployment.identity)
    assert facts.cores == place.server_cores
    assert facts.state["address"] == deployment.candidate.address
    assert facts.state["threads"] == 1
    environment = Path(f"/proc/{pid_of(deployment)}/environ").read_bytes().split(b"\0")
    assert b"PODIUM_RACE=race-7" in environment
    assert b"OMP_NUM_THREADS=1" in environment


def test_a_proxy_of_the_environment_stands_between_nobody(
    tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(local, "READY_DEADLINE_S", 60.0)
    found = target(tmp_path)
    try:
        facts = found.observe(found.deploy(candidate(artifact)))
        assert facts.state["address"] == address_of(artifact)
    finally:
        found.cleanup()


def test_deploying_again_gives_the_running_server(place: LocalTarget, deployment: Deployment) -> None:
    assert place.deploy(deployment.candidate) is deployment


def test_a_state_page_that_does_not_answer_is_an_empty_state(place: LocalTarget, deployment: Deployment) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/debug/state"
        facts = place.observe(replace(deployment, endpoint=replace(deployment.endpoint, state_url=url)))
    assert (facts.alive, facts.state, facts.cores) == (True, {}, place.server_cores)
    health = replace(deployment.endpoint, state_url=(deployment.endpoint.state_url or "").replace("debug", "no"))
    assert place.observe(replace(deployment, endpoint=health)).state == {}


def test_loading_is_the_generators_business(
    place: LocalTarget, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_K6", str(tmp_path / "none"))
    shot = Shot("closed", users=1, timeout_s=1, requests=1)
    with pytest.raises(GeneratorError, match="there is no k6"):
        place.load(deployment, shot, payloads(tmp_path / "payloads"), tmp_path / "work")


def test_a_second_candidate_has_ports_of_its_own_and_keeps_them(tmp_path: Path, artifact: Path) -> None:
    base = free_ports(4)
    found = target(tmp_path, first_port=base)
    try:
        first = found.deploy(candidate(artifact, "one"))
        second = found.deploy(candidate(artifact, "two"))
        assert first.endpoint.url == f"http://127.0.0.1:{base}"
        assert first.endpoint.state_url == f"http://127.0.0.1:{base + 1}/debug/state"
        assert second.endpoint.url == f"http://127.0.0.1:{base + 2}"
        assert second.endpoint.state_url == f"http://127.0.0.1:{base + 3}/debug/state"
        found.remove(first.candidate)
        assert not is_running(pid_of(first))
        assert is_running(pid_of(second))
        again = found.deploy(first.candidate)
        assert again.endpoint == first.endpoint
        assert again.identity != first.identity
        os.kill(pid_of(again), signal.SIGKILL)
        # The last of its threads may end a little later than the first.
        eventually(lambda: not found.observe(again).alive)
        facts = found.observe(again)
        assert (facts.alive, facts.identity, facts.cores, facts.state) == (False, again.identity, frozenset(), {})
        assert facts.ending.startswith("signal SIGKILL; its log ends: ")
        assert (tmp_path / "one" / "local" / "server.log").is_file()
        anew = found.deploy(first.candidate)
        assert anew.identity != again.identity
        assert sorted(found.cleanup()) == ["one", "two"]
        assert not any(is_running(pid_of(one)) for one in (second, anew))
        assert found.cleanup() == []
    finally:
        found.cleanup()


def test_an_interruption_right_after_the_start_leaves_no_server(
    tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []

    def interrupted(pid: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "prefer", interrupted)
    found = target(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        found.deploy(candidate(artifact))
    assert is_running(pids[0])
    assert found.cleanup() == ["tiny-ort-fp32"]
    assert not is_running(pids[0])


def test_removing_what_is_not_there_does_nothing(tmp_path: Path, artifact: Path) -> None:
    target(tmp_path, first_port=20000).remove(candidate(artifact))


def test_a_server_that_refuses_its_artifact_is_named_with_its_log(tmp_path: Path) -> None:
    folder = vector_artifact(tmp_path / "artifact")
    broken = candidate(folder)
    (folder / "model.onnx").write_bytes(b"damaged")
    found = target(tmp_path / "race")
    with pytest.raises(MachineError) as refused:
        found.deploy(broken)
    assert "tiny-ort-fp32 did not start: exit code " in str(refused.value)
    assert "model.onnx" in str(refused.value)
    log = tmp_path / "race" / "tiny-ort-fp32" / "local" / "server.log"
    assert refused.value.hint == f"Read {log}, or start it alone: podium serve {folder}"


def test_a_server_that_is_not_ready_in_time_is_ended(
    tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "READY_DEADLINE_S", 0.05)
    found = target(tmp_path)
    with pytest.raises(MachineError, match="tiny-ort-fp32 was not ready within 0 s"):
        found.deploy(candidate(artifact))
    assert found.cleanup() == []
