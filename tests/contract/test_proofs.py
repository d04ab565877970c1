"""Faults that a run's own server, payloads or way can have: each voids a real run on loopback by exactly its name."""

import asyncio
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from loadtest.errors import GeneratorError
from loadtest.evidence import server_state
from loadtest.k6 import find_k6
from loadtest.payloads import Answer, PayloadSet
from loadtest.profile import load_profile
from loadtest.runrecord import ProofRecord
from loadtest.slo import parse_slo
from loadtest.verdict import judge
from podium.candidates import planned
from podium.goldenload import encoded
from podium.measure import Course, Measurement, VoidError
from podium.measured import block_of
from podium.runbook import RunBook
from podium.serving import Serving
from podium.targets.target import Candidate, Deployment, Planned
from podium.targets.trial import TrialTarget
from predictors.imaging import preprocessing
from predictors.manifest import address_of, read_variant
from predictors.runtimes import load_runtime
from tests.artifacts import LABELS, image_artifact, jpeg
from tests.eventually import eventually
from tests.needs import lack
from tests.ports import free_ports
from tests.slowmodels import deep_artifact

Tensor = npt.NDArray[np.float32]
Write = Callable[[Path], list[Tensor]]

pytestmark = pytest.mark.timeout(180)

RATE = 60.0
# Wide where a busy machine shows; what is planted here is no question of speed.
PROFILE = """\
name: planted
level: quick
payload: {{dir: ., mix: [{{glob: "*", share: 1.0}}], seed: 7}}
protocol: {protocol}
timeout: 2s
budget: 10m
phases: [{{kind: single-stream, requests: 60}}, {{kind: hold, blocks: 1, block: 1500ms, restart: false}}]
confidence: 0.95
thresholds: {{latenessP99: 1.5s, achieved: 0.5, throttled: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 0.02}}
"""
_SLOWER_S = 0.02
# Evenly spaced arrivals, of which the same share meets a server that stands still in each block.
HELD = PROFILE.replace("block: 1500ms", "arrivals: constant, block: 10s")
_FROZEN_S = 0.3


@pytest.fixture(autouse=True, scope="module")
def _generator() -> None:
    try:
        find_k6()
    except GeneratorError as error:
        lack("truth", f"{error}; {error.hint}")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a server and a generator need a core each")


@dataclass
class Way:
    """A proxy between generator and server that lets each piece of a request wait, for as long as it is told."""

    target: int
    port: int = 0
    wait_s: float = 0.0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    async def serve(self, ready: threading.Event) -> None:
        async with await asyncio.start_server(self._connected, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pass_on(reader, ahead, waits=True), self._pass_on(behind, writer, waits=False))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, waits: bool) -> None:
        try:
            while piece := await reader.read(1 << 16):
                if waits and self.wait_s:
                    await asyncio.sleep(self.wait_s)
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    """Run a proxy before a port."""
    way, ready = Way(port), threading.Event()

    def run() -> None:
        asyncio.set_event_loop(way.loop)
        with pytest.raises(asyncio.CancelledError):
            way.loop.run_until_complete(way.serve(ready))
        way.loop.run_until_complete(way.loop.shutdown_asyncgens())
        way.loop.close()

    def end() -> None:
        for task in asyncio.all_tasks(way.loop):
            task.cancel()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(20)
    try:
        yield way
    finally:
        way.loop.call_soon_threadsafe(end)
        thread.join(20)


@dataclass
class Scenery:
    """A real server with its payloads and their right answers, and what a run of it is measured by."""

    deployment: Deployment
    measurement: Measurement
    answers: tuple[Answer, ...]
    folder: Path
    courses: int = 0

    def course(self, known: Planned) -> Course:
        """Return a new course of the server that is up, as if the artifact had been planned so."""
        self.courses += 1
        candidate = replace(self.deployment.candidate, planned=known)
        book = RunBook(self.folder / f"runs-{self.courses}", candidate.variant_id, "local")
        return Course(replace(self.deployment, candidate=candidate), book)

    def proofs(self, course: Course) -> dict[str, ProofRecord]:
        """Return the proofs of the last run of a course."""
        return {proof.check: proof for proof in course.book.runs[-1].record.passport}

    def hold(self, course: Course, *, block: int = 0) -> str | None:
        """Play a block, and return what it is void by."""
        try:
            self.measurement.hold_block(course, rate=RATE, block=block)
        except VoidError as error:
            return error.void
        return None


@contextmanager
def scenery(folder: Path, artifact: Path, protocol: str, *, sent: Write, text: str = PROFILE) -> Iterator[Scenery]:
    """Serve an artifact."""
    variant = read_variant(artifact)
    hashed = None if variant.preprocessing is None else variant.preprocessing.hash
    place = folder / "payloads"
    place.mkdir()
    tensors = sent(place)
    runtime = load_runtime(artifact, variant, threads=1)
    found = [int(runtime.run({"x": one[None]})[variant.outputs[0].name].argmax()) for one in tensors]
    runtime.close()
    profile = folder / "profile.yaml"
    profile.write_text(text.format(protocol=protocol))
    serving = Serving(artifact, address_of(artifact), variant.model.name, hashed, protocol)
    payloads = PayloadSet.from_mix([("*", 1.0)], place, seed=7)
    with ExitStack() as stack:
        target = TrialTarget({"planted": serving}, first_port=free_ports(4), folder=folder / "logs", race_id="proofs")
        stack.callback(target.cleanup)
        candidate = Candidate("planted", "local", serving.address, artifact, hashed, planned(variant))
        measurement = Measurement(
            target=target,
            profile=load_profile(str(profile)),
            payloads=payloads,
            payload_digest=payloads.sha256,
            race_id="proofs",
            fingerprint="f" * 12,
            cpus=1.0,
            seed=7,
            workdir=folder / "work",
            say=lambda _text: None,
        )
        labels = variant.labels or tuple(map(str, range(max(found) + 1)))
        answers = tuple((number, labels[number]) for number in found)
        yield Scenery(target.deploy(candidate), measurement, answers, folder)


def images(folder: Path) -> list[Tensor]:
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return [preprocessing("mnist-28", {}).decode(jpeg(number)) for number in range(6)]


def tensors(folder: Path) -> list[Tensor]:
    values = [preprocessing("mnist-28", {}).decode(jpeg(number)) for number in range(6)]
    for number, value in enumerate(values):
        (folder / f"{number}.bin").write_bytes(encoded({"x": value[None]}, "v2-binary"))
    return values


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenery]:
    """Serve a small model of images."""
    folder = tmp_path_factory.mktemp("served")
    with scenery(folder, image_artifact(folder / "artifact"), "v1-image", sent=images) as found:
        yield found


@pytest.mark.parametrize(("protocol", "sent"), [("v1-image", images), ("v2-binary", tensors), ("grpc", tensors)])
def test_a_server_that_answers_with_other_classes_is_void_by_wrong_answers(
    tmp_path: Path, protocol: str, sent: Write
) -> None:
    artifact = image_artifact(tmp_path / "artifact")
    with scenery(tmp_path, artifact, protocol, sent=sent) as found:
        assert len({place for place, _ in found.answers}) > 1
        right = found.course(replace(planned(read_variant(artifact)), answers=found.answers))
        assert found.hold(right) is None
        proof = found.proofs(right)["wrong-answers"]
        assert proof.evidence == f"0 of {right.book.runs[-1].record.sent} checked answers differ"
        # As of a server whose labels moved on by one, for one of the payloads.
        place = (found.answers[0][0] + 1) % len(LABELS)
        moved = ((place, LABELS[place]), *found.answers[1:])
        wrong = found.course(replace(planned(read_variant(artifact)), answers=moved))
        assert found.hold(wrong) == "wrong-answers"
        share = found.proofs(wrong)["wrong-answers"].value
        assert isinstance(share, float)
        assert 0.1 < share < 0.25
        # Nothing is known of the others.
        assert found.hold(found.course(Planned(answers=(None, *found.answers[1:])))) is None


def test_time_that_a_proxy_takes_under_load_alone_is_unexplained(served: Scenery) -> None:
    port = int(served.deployment.endpoint.url.rpartition(":")[2])
    with way_to(port) as way:
        through = replace(served.deployment.endpoint, url=f"http://127.0.0.1:{way.port}")
        # A way that is slow all the time explains itself.
        for alone_s, void in ((3 * _SLOWER_S, None), (0.0, "unexplained-time")):
            course = served.course(Planned())
            course.deployment = replace(course.deployment, endpoint=through)
            way.wait_s = alone_s
            assert served.measurement.single_stream(course) is not None
            way.wait_s = _SLOWER_S
            assert served.hold(course) == void
            proof = served.proofs(course)["unexplained-time"]
            assert proof.ok is (void is None)
            assert "9 parts sum to" in proof.evidence


def standing_still(served: Scenery, pid: int) -> threading.Thread:
    """Return a thread that stops a server's process for a moment, some four seconds after requests come."""

    def asked() -> int:
        found = server_state(served.measurement.target.observe(served.deployment).state, "")
        return 0 if found is None else found.requests or 0

    first = asked()

    def stop() -> None:
        eventually(lambda: asked() > first + 4 * RATE)
        os.kill(pid, signal.SIGSTOP)
        try:
            threading.Event().wait(_FROZEN_S)
        finally:
            os.kill(pid, signal.SIGCONT)

    return threading.Thread(target=stop)


def test_a_server_that_stands_still_in_each_block_fails_and_is_not_void(tmp_path: Path) -> None:
    artifact = image_artifact(tmp_path / "artifact")
    with scenery(tmp_path, artifact, "v1-image", sent=images, text=HELD) as served:
        pid = int(served.measurement.target.observe(served.deployment).identity.removeprefix("pid "))
        for is_frozen in (False, True):
            course = served.course(Planned())
            assert served.measurement.single_stream(course) is not None
            for block in range(3):
                thread = standing_still(served, pid)
                if is_frozen:
                    thread.start()
                void = served.hold(course, block=block)
                if is_frozen:
                    thread.join(60)
                assert void is None
            blocks = [block_of(run) for run in course.book.runs if run.record.phase == "hold"]
            verdict = judge(blocks, parse_slo("p99<=100ms"), level="quick")
            # Three blocks are too few for a PASS, and enough for a FAIL.
            assert (verdict.status == "FAIL") is is_frozen, verdict.reasons
            evidence = served.proofs(course)["unexplained-time"].evidence
            # A busy machine may do the same to the other.
            assert not is_frozen or "came in bursts" in evidence, evidence


def test_what_somebody_else_asks_meanwhile_is_counted(served: Scenery) -> None:
    over = threading.Event()
    url = served.deployment.endpoint.target

    def ask() -> None:
        while not over.wait(0.02):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(urllib.request.Request(url, b"no image", {"content-type": "image/jpeg"}))  # noqa: S310

    assert served.hold(served.course(Planned())) is None
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        course = served.course(Planned())
        assert served.hold(course) == "errors-hidden"
    finally:
        over.set()
        asking.join(20)
    assert "requests more than were sent" in served.proofs(course)["errors-hidden"].evidence


def test_a_payload_that_changed_since_the_race_began_is_told(served: Scenery) -> None:
    path = served.measurement.payloads.files[0]
    before = path.read_bytes()
    try:
        path.write_bytes(jpeg(99))
        assert served.hold(served.course(Planned())) == "payload-drift"
    finally:
        path.write_bytes(before)
    assert served.hold(served.course(Planned())) is None


def test_a_provider_that_takes_no_operator_is_a_fallback(tmp_path: Path) -> None:
    for provider, void in (("CPUExecutionProvider", None), ("AzureExecutionProvider", "provider-fallback")):
        folder = tmp_path / provider
        artifact = deep_artifact(folder / "artifact", layers=4, width=64, provider=provider)

        def sent(place: Path) -> list[Tensor]:
            value = np.random.default_rng(3).normal(size=64).astype(np.float32)
            (place / "0.bin").write_bytes(encoded({"x": value[None]}, "v2-binary"))
            return [value]

        with scenery(folder, artifact, "v2-binary", sent=sent) as found:
            course = found.course(planned(read_variant(artifact)))
            assert found.hold(course) == void
            assert "operators run on" in found.proofs(course)["provider-fallback"].evidence
