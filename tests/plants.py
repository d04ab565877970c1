"""Deployments with one planted cause of slowness each, and healthy ones: real servers of this machine under real load.

What one machine cannot be (a CPU without int8 instructions, two sockets) is pretended in what the target says of it,
and nothing else is. Needs k6, two cores, and for CPU quotas a machine whose control groups may be written.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtest.shot import Endpoint
from podium.bench import run_bench
from podium.benchplan import plan_bench
from podium.cpugroup import cpu_group
from podium.goldenload import golden_payloads
from podium.serving import Serving
from podium.slowness import Finding, diagnose
from podium.symptoms import read_symptoms
from podium.targets.target import Candidate, Deployment, ServerFacts
from podium.targets.trial import TrialTarget
from podium.targets.url import UrlTarget
from predictors.benchmark import benchmark
from predictors.manifest import read_variant
from predictors.measured import write_measured
from predictors.store import Store
from tests.artifacts import image_artifact, jpeg
from tests.ports import free_ports
from tests.slowmodels import conv_artifact, deep_artifact, dynamic_artifact, openvino_artifact, wide_artifact

__all__ = ["HEALTHY", "PLANTS", "Diagnosed", "Garden", "Plant"]

Build = Callable[[Path], Path]

# Wide limits: what is looked at is the server, on a machine that may be busy.
_PROFILE = """\
name: plant
level: quick
payload: {{dir: ., mix: [{{glob: "*", share: 1.0}}], seed: 7}}
protocol: {protocol}
timeout: 2s
budget: 10m
phases: [{phases}]
confidence: 0.95
thresholds: {{latenessP99: 1.5s, achieved: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 1.0}}
"""
_LOOK = "{{kind: single-stream, requests: 80}}, {offline}{{kind: hold, blocks: 1, block: 1s, restart: false}}"
_TRY = "{{kind: warmup, atLeast: 20, atMost: 5s}}, {{kind: hold, blocks: {pairs}, block: 1s, restart: false}}"


@dataclass(frozen=True, slots=True)
class Plant:
    """A deployment.

    Attributes:
        number: of the planted cause; None for a healthy one.
        name: in words.
        build: writes its artifact.
        serving: fields of how it is served that are not at their default.
        protocol: how it is asked.
        rate: of the hold.
        others: further variants of its model in the store.
        proxy: CPU share of a proxy before it; 0 for one without a quota, None for no proxy.
        features: CPU features that the machine is pretended to have.
        memory: what the server is pretended to say of its memory.
        is_benchmarked: the raw engines are measured too.
        cure: the same without the cause, where `podium diagnose --apply` cannot make it.
        is_crowded: many ask at once before the hold, so that batches of one size follow each other.
    """

    number: int | None
    name: str
    build: Build
    serving: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = "v2-binary"
    rate: float = 300.0
    others: tuple[Build, ...] = ()
    proxy: float | None = None
    features: tuple[str, ...] | None = None
    memory: Mapping[str, int] | None = None
    is_benchmarked: bool = False
    cure: Mapping[str, Any] | None = None
    is_crowded: bool = False

    @property
    def cured(self) -> "Plant":
        """Return the deployment without its cause."""
        return replace(self, **(self.cure or {}))

    @property
    def needs_quota(self) -> bool:
        """Return whether a process of it is held to a CPU quota."""
        return bool(self.proxy) or self.serving.get("quota") is not None


def _int8(folder: Path) -> Path:
    return deep_artifact(folder, layers=24, variant="deep-ort-int8", precision="int8")


def _azure(folder: Path) -> Path:
    # In onnxruntime's CPU package this provider is there, and takes no operator.
    return deep_artifact(folder, variant="deep-ort-fp32-azure", provider="AzureExecutionProvider")


def _light(folder: Path) -> Path:
    return deep_artifact(folder, layers=8)


_FILLED = {"max_delay_s": 0.01, "gather": 8}
_FAR = {"nodes": 2, "cpu_nodes": 1, "near_bytes": 60 << 20, "far_bytes": 40 << 20}
_NEAR = {**_FAR, "near_bytes": 99 << 20, "far_bytes": 1 << 20}

PLANTS = (
    Plant(
        1,
        "a CPU without int8 instructions (pretended) under an int8 model",
        _int8,
        others=(_light,),
        features=("avx2", "fma"),
        is_benchmarked=True,
    ),
    Plant(2, "convolutions quantized dynamically", dynamic_artifact, others=(conv_artifact,), rate=150.0),
    Plant(3, "a provider that takes no operator", _azure, others=(deep_artifact,)),
    Plant(4, "four threads on one core", deep_artifact, {"cpus": 4.0}),
    Plant(5, "a CPU quota below the work", deep_artifact, {"quota": 0.3}, rate=200.0),
    Plant(6, "a proxy without enough CPU", _light, proxy=0.1, rate=150.0, cure={"proxy": 0.0}),
    Plant(7, "large tensors as JSON", wide_artifact, protocol="v2-json", rate=120.0),
    Plant(8, "memory on the far socket (pretended)", _light, memory=_FAR, cure={"memory": _NEAR}),
    Plant(9, "a batching delay for lonely requests", _light, {"max_delay_s": 0.003, "gather": 8}, rate=100.0),
    Plant(
        10,
        "batch sizes that are new at run time",
        openvino_artifact,
        {"warm": "none", "gather": 4, "max_batch": 4},
        rate=100.0,
        is_crowded=True,
    ),
)
HEALTHY = (
    Plant(None, "a deep model on one core", deep_artifact),
    Plant(None, "images", image_artifact, protocol="v1-image"),
    Plant(
        None,
        "OpenVINO, every batch size warm",
        openvino_artifact,
        {"gather": 4, "max_batch": 4},
        rate=100.0,
        is_crowded=True,
    ),
    Plant(None, "small tensors as JSON", _light, protocol="v2-json"),
    Plant(None, "a delay that fills batches", _light, _FILLED, rate=450.0),
)


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """A plant that was loaded and looked at; `bench` names its runs."""

    plant: Plant
    bench: str
    findings: tuple[Finding, ...]

    @property
    def causes(self) -> tuple[int, ...]:
        """Return the numbers of the causes that were named."""
        return tuple(one.number for one in self.findings if one.outcome == "cause")


class _PretendedTarget(UrlTarget):
    """A URL target on a machine, or of a server, that is pretended to be another."""

    plant: Plant

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        facts = super().environment(node_class)
        return facts if self.plant.features is None else {**facts, "cpu_features": list(self.plant.features)}

    def observe(self, deployment: Deployment) -> ServerFacts:
        facts = super().observe(deployment)
        if self.plant.memory is None:
            return facts
        return replace(facts, state={**facts.state, "memory": dict(self.plant.memory)})


@dataclass(frozen=True)
class Garden:
    """A folder in which plants are grown: artifacts, a store, and runs."""

    root: Path

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.root / "runs"

    def store_of(self, plant: Plant) -> Store:
        """Return the store of a plant, with its artifact and the others of its model."""
        place = self.root / "".join(sign if sign.isalnum() else "-" for sign in plant.name)
        store = Store(place / "store")
        if not place.is_dir():
            for number, build in enumerate((*plant.others, plant.build)):
                store.put(build(place / f"artifact-{number}"))
        return store

    def profile(self, *, protocol: str = "v2-binary", pairs: int = 0, is_crowded: bool = False) -> Path:
        """Write a profile: for a look, or with pairs for a trial."""
        path = self.root / f"{protocol}-{pairs}-{is_crowded}.yaml"
        crowd = "{kind: offline, for: 1s}, " if is_crowded else ""
        phases = _TRY.format(pairs=pairs) if pairs else _LOOK.format(offline=crowd)
        path.write_text(_PROFILE.format(protocol=protocol, phases=phases), encoding="utf-8")
        return path

    def look_at(self, plant: Plant) -> Diagnosed:
        """Serve a plant, load it as a person would, and return what is found."""
        store = self.store_of(plant)
        stored = store.list()[0]
        with self._served(plant, store) as (url, state):
            plan = plan_bench(
                url,
                profile=str(self.profile(protocol=plant.protocol, is_crowded=plant.is_crowded)),
                payloads=self._payloads(plant, stored.folder),
                model=read_variant(stored.folder).model.name,
                rate=plant.rate,
                state=state,
                name=f"plant-{plant.number or 'none'}",
                runs=self.runs,
            )
            target = _PretendedTarget(plan.endpoint, plan.payloads)
            target.plant = plant
            folder, bench = run_bench(plan, target=target)
        if plant.is_benchmarked:
            for one in store.list():
                points = benchmark(one.folder, read_variant(one.folder), threads=1, sizes=(1,), seconds=0.5)
                write_measured(one.folder, bench.fingerprint, engine=points)
        seen = read_symptoms(folder.name, runs=self.runs, store=store)
        return Diagnosed(plant, folder.name, diagnose(seen))

    def _payloads(self, plant: Plant, artifact: Path) -> Path:
        folder = self.root / f"payloads-{plant.protocol}-{artifact.name[:12]}"
        if plant.protocol == "v1-image":
            folder.mkdir(exist_ok=True)
            (folder / "one.jpg").write_bytes(jpeg(1))
            return folder
        golden_payloads(artifact, folder, protocol=plant.protocol)
        return folder

    @contextmanager
    def _served(self, plant: Plant, store: Store) -> Iterator[tuple[str, str]]:
        """Serve a plant, and give its URL and that of its state."""
        stored = store.list()[0]
        variant = read_variant(stored.folder)
        serving = Serving(stored.folder, stored.address, variant.model.name, None, plant.protocol, **plant.serving)
        with ExitStack() as stack:
            target = TrialTarget(
                {"planted": serving}, first_port=free_ports(4), folder=self.root / "logs", race_id="plants"
            )
            stack.callback(target.cleanup)
            hashed = variant.preprocessing.hash if variant.preprocessing else None
            up = target.deploy(Candidate("planted", "local", stored.address, stored.folder, hashed))
            url = up.endpoint.url
            if plant.proxy is not None:
                url = stack.enter_context(_proxy(plant.proxy, up.endpoint, target.server_cores))
            yield url, str(up.endpoint.state_url)


@contextmanager
def _proxy(cpus: float, endpoint: Endpoint, cores: frozenset[int]) -> Iterator[str]:
    """Put a proxy before a server, held to a CPU share unless it is 0, and give its URL."""
    listen, target = free_ports(1), int(endpoint.url.rpartition(":")[2])
    with ExitStack() as stack:
        prefix: tuple[str, ...] = ()
        if cpus:
            group = cpu_group(cpus)
            stack.callback(group.remove)
            prefix = group.prefix
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.forwarder", str(listen), str(target)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        stack.callback(process.wait, 20)
        stack.callback(process.kill)
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        assert process.stdout.readline() == "ready\n"
        yield f"http://127.0.0.1:{listen}"
