"""Faults planted around a run on the real cluster: each gives its proof's name, and the run without it is valid."""

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtest.payloads import PayloadSet
from loadtest.profile import load_profile
from loadtest.schedule import poisson
from loadtest.shot import Shot
from podium.cluster.access import Access
from podium.cluster.adapter import Cluster
from podium.cluster.deployment import helm_on
from podium.cluster.helm import Helm
from podium.cluster.site import read_platform
from podium.evidence import Scene, prove
from podium.nodeclass import load_node_class
from podium.targets.cluster import ClusterTarget
from podium.targets.target import Candidate, Deployment
from predictors.manifest import address_of, read_variant
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl, images
from tests.cluster.stock import stocked
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NODE, LOAD_NODE = "podium-worker", "podium-worker3"
CLASS_LABEL = "feature.node.kubernetes.io/cpu-model.vendor_id"
PATIENCE_S = 60.0
TRIES = 3
SHOT = Shot("open", users=16, timeout_s=2.0, schedule=poisson(25, 4, 1), seconds=4.0, seed=1)
# What a busy machine does to a short run is no fault of these tests; whatever else fails is.
LIMITS = load_profile("quick").thresholds.model_copy(
    update={"lateness_p99_s": 0.2, "achieved": 0.9, "throttled": 1.0, "generator_cpu": 1.0, "little": 0.9}
)
BAD_SECOND = {"late", "generator-limited", "growing-queue", "inconsistent"}


@dataclass(frozen=True, slots=True)
class Elsewhere(Helm):
    """Helm that places load generators on the tested node."""

    def upgrade(self, release: str, chart: str, values: Mapping[str, Any]) -> None:
        """Install a release; that of the chart `loadtest` goes to the tested node."""
        here = {"nodeSelector": {"podium.dev/node-class": None, "kubernetes.io/hostname": NODE}}
        # A frozen dataclass with slots is made anew, which `super()` without arguments does not see.
        Helm.upgrade(self, release, chart, {**values, **(here if chart == "loadtest" else {})})


@dataclass(frozen=True, slots=True)
class Bench:
    """A cluster target in a namespace of its own, and what it plays."""

    target: ClusterTarget
    payloads: PayloadSet
    work: Path

    def failing(
        self,
        deployment: Deployment,
        plant: Callable[[], object] = lambda: None,
        *,
        throttled: float = 1.0,
        beside: Callable[[], object] = lambda: None,
    ) -> list[str]:
        """Play a shot, plant a fault before it is over, and return the proofs that fail, the void's name first.

        `beside` is called beside the shot, and comes back once its fault is gone.
        """
        limits = LIMITS.model_copy(update={"throttled": throttled})
        failed: list[str] = []
        for _ in range(TRIES):
            before = self.target.observe(deployment)
            with ThreadPoolExecutor(1) as pool:
                planted = pool.submit(beside)
                outcome = self.target.load(deployment, SHOT, self.payloads, self.work)
                planted.result()
            plant()
            after = self.target.observe(deployment)
            scene = Scene(
                node="cluster",
                cpus=1.0,
                address=deployment.candidate.address,
                preprocessing_hash=None,
                generator_cores=self.target.generator_cores,
                payloads=self.payloads,
                race_payloads=self.payloads.sha256,
                before=before,
                after=after,
                warmup=None,
                is_concurrent=False,
            )
            proofs, void = prove(outcome, scene, limits)
            failed = [proof.check for proof in proofs if proof.ok is False]
            assert failed[:1] == ([] if void is None else [void])
            if BAD_SECOND.isdisjoint(failed):
                break
        return failed


@pytest.fixture
def sent(tmp_path: Path) -> PayloadSet:
    folder = tmp_path / "payloads"
    folder.mkdir()
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.5, 1.0, 1.5, 2.0]}
    (folder / "one.json").write_text(json.dumps({"inputs": [tensor]}))
    return PayloadSet.from_mix([("*.json", 1.0)], folder, seed=7)


@pytest.fixture
def candidates(namespace: Kubectl, tmp_path: Path) -> Iterator[dict[str, Candidate]]:
    """Stock an artifact as it should be, and another one whose place holds something else."""
    right = vector_artifact(tmp_path / "tiny", name="tiny")
    planned = vector_artifact(tmp_path / "small", name="small")
    other = vector_artifact(tmp_path / "other", name="small", work=1)
    places = {f"tiny/{address_of(right)}": right, f"small/{address_of(planned)}": other}
    with stocked(namespace, places):
        yield {
            name: Candidate(read_variant(folder).id, "epyc", address_of(folder), folder)
            for name, folder in (("right", right), ("wrong", planned))
        }


@pytest.fixture
def make(namespace: Kubectl, sent: PayloadSet, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    cluster = Cluster.connect(Access(STANDARD, ALLOWED[0], namespace.namespace))
    made: list[ClusterTarget] = []

    def bench(kind: type[Helm] = Helm, *, runners: int = 1) -> Bench:
        helm = helm_on(cluster)
        target = ClusterTarget(
            cluster,
            kind(helm.program, helm.namespace, helm.kubeconfig, helm.context),
            read_platform(cluster),
            classes={"epyc": load_node_class("epyc", "kind")},
            protocol="v2-json",
            race_id=f"pie-20261121-100000-{uuid.uuid4().hex[:6]}",
            runners=runners,
        )
        made.append(target)
        (tmp_path / "work").mkdir()
        return Bench(target, sent, tmp_path / "work")

    yield bench
    for target in made:
        target.cleanup()
    cluster.close()


def pods(namespace: Kubectl, name: str) -> list[str]:
    """Return the pods of a service that are to stay."""
    listed = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={name}")["items"]
    return sorted(one["metadata"]["name"] for one in listed if "deletionTimestamp" not in one["metadata"])


def is_ready(namespace: Kubectl, name: str) -> bool:
    listed = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={name}")["items"]
    return [
        any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
        for pod in listed
    ] == [True]


def test_each_fault_of_the_tested_pod_gives_its_proofs_name(
    namespace: Kubectl, make: Callable[..., Bench], candidates: dict[str, Candidate]
) -> None:
    bench = make(Helm)
    deployment = bench.target.deploy(candidates["right"])
    name = deployment.endpoint.model
    assert bench.failing(deployment) == []

    try:
        leaves = ("label", "node", NODE, f"{CLASS_LABEL}-")
        assert bench.failing(deployment, lambda: namespace.run(*leaves)) == ["misplaced"]
    finally:
        namespace.run("label", "node", NODE, f"{CLASS_LABEL}=AMD", "--overwrite")
    assert bench.failing(deployment) == []

    def restart() -> None:
        (pod,) = pods(namespace, name)
        namespace.run("delete", "pod", pod, "--now")
        eventually(lambda: pods(namespace, name) not in ([], [pod]) and is_ready(namespace, name), PATIENCE_S, 0.3)

    # Its batches are counted from nothing again, so other proofs may fail besides; the name is that of the first.
    assert bench.failing(deployment, restart)[0] == "restarted"
    deployment = bench.target.deploy(candidates["right"])
    assert bench.failing(deployment) == []

    def scale() -> None:
        # KServe takes back what is changed at the Deployment alone.
        more = json.dumps({"spec": {"predictor": {"minReplicas": 2, "maxReplicas": 2}}})
        namespace.run("patch", "isvc", name, "--type=merge", "-p", more)
        eventually(lambda: len(pods(namespace, name)) == 2, PATIENCE_S)

    assert bench.failing(deployment, scale) == ["scaled"]
    bench.target.remove(candidates["right"])

    assert bench.failing(bench.target.deploy(candidates["wrong"])) == ["wrong-artifact"]


def test_a_service_that_answers_from_two_variants_is_told(
    namespace: Kubectl, make: Callable[..., Bench], candidates: dict[str, Candidate]
) -> None:
    bench = make(Helm)
    deployment = bench.target.deploy(candidates["right"])
    assert bench.failing(deployment) == []
    name = deployment.endpoint.model
    stranger = beside(namespace, name, serving=f"small/{candidates['wrong'].address}")
    # The stranger has answered some of the requests, which the pod of the variant has not counted.
    assert bench.failing(deployment)[0] == "wrong-artifact"
    assert bench.target.observe(deployment).strangers
    namespace.run("delete", "pod", stranger, "--now")
    eventually(lambda: not bench.target.observe(deployment).strangers, PATIENCE_S)
    assert bench.failing(deployment) == []


def beside(namespace: Kubectl, name: str, *, serving: str) -> str:
    """Start a pod of another artifact that the Service of a variant sends to as well, and return its name."""
    (pod,) = pods(namespace, name)
    spec = namespace.get("pod", pod)["spec"]
    selector = namespace.get("service", f"{name}-predictor")["spec"]["selector"]
    for container in spec["containers"]:
        for mount in container["volumeMounts"]:
            if mount["mountPath"] == "/mnt/models":
                mount["subPath"] = serving
    metadata = {"name": "stranger", "labels": selector}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    namespace.run("wait", "pod/stranger", "--for=condition=Ready", "--timeout=60s")
    endpoints = ("endpointslices", "-l", f"kubernetes.io/service-name={name}-predictor")
    eventually(
        lambda: sum(len(one.get("endpoints") or ()) for one in namespace.get(*endpoints)["items"]) == 2, PATIENCE_S
    )
    return "stranger"


def test_a_pod_that_is_held_back_by_its_cpu_limit_is_throttled(
    namespace: Kubectl, make: Callable[..., Bench], candidates: dict[str, Candidate]
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("the limit is lowered behind Kubernetes' back, on a node of kind")
    bench = make(Helm)
    deployment = bench.target.deploy(candidates["right"])
    assert "throttled" not in bench.failing(deployment, throttled=0.9)
    (pod,) = pods(namespace, deployment.endpoint.model)
    lower_limit(namespace.get("pod", pod)["metadata"]["uid"])
    assert bench.failing(deployment, throttled=0.05) == ["throttled"]


def lower_limit(uid: str, quota_us: int = 2_000) -> None:
    """Give the containers of a pod so much of each tenth of a second, on cgroups v1 or v2."""
    script = f"""
    for file in $(find /sys/fs/cgroup -depth -path '*{uid}*' -name cpu.cfs_quota_us); do echo {quota_us} >$file; done
    for file in $(find /sys/fs/cgroup -depth -path '*{uid}*' -name cpu.max); do echo {quota_us} 100000 >$file; done
    """
    subprocess.run(["docker", "exec", NODE, "sh", "-c", script], check=True, capture_output=True)


@pytest.fixture
def generator_image(cluster: Kubectl) -> Iterator[None]:
    """Bring the load generator's image to the tested node, which usually has none of it."""
    if shutil.which("docker") is None:
        pytest.skip("images are brought to a node of kind with docker")
    image = images(cluster)["loadtest"]
    there = subprocess.run(
        ["docker", "exec", NODE, "crictl", "inspecti", "-q", image], check=False, capture_output=True
    )
    if there.returncode == 0:
        yield
        return
    export = f"docker exec {LOAD_NODE} ctr -n k8s.io images export - {image}"
    subprocess.run(f"{export} | docker exec -i {NODE} ctr -n k8s.io images import -", shell=True, check=True)  # noqa: S602
    yield
    subprocess.run(["docker", "exec", NODE, "ctr", "-n", "k8s.io", "images", "rm", image], check=True)


@pytest.mark.usefixtures("generator_image")
def test_a_generator_on_the_tested_node_is_co_located(
    make: Callable[..., Bench], candidates: dict[str, Candidate]
) -> None:
    bench = make(Elsewhere)
    failed = bench.failing(bench.target.deploy(candidates["right"]))
    assert failed == ["co-located"]


# What one runner sends to the results server leaves at a kilobyte a second, what it sends to the variant at once. The
# way back is quick, so the runner thinks its clock has come apart from the server's by half of what a question takes.
SLOW_QUESTIONS = """
for try in $(seq 1200); do generator=$(pgrep -n -x k6) && break; sleep 0.05; done
exec nsenter -t $generator -n sh -c '
    tc qdisc add dev eth0 root handle 1: htb default 1
    tc class add dev eth0 parent 1: classid 1:1 htb rate 1gbit
    tc class add dev eth0 parent 1: classid 1:2 htb rate 8kbit burst 1 cburst 1
    tc filter add dev eth0 parent 1: protocol ip u32 match ip dport PORT 0xffff flowid 1:2
    sleep 10
    tc qdisc del dev eth0 root'
"""


def test_runners_that_disagree_about_the_start_are_told(
    namespace: Kubectl, make: Callable[..., Bench], candidates: dict[str, Candidate]
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("a runner's questions are slowed down on a node of kind")
    bench = make(Helm, runners=2)
    deployment = bench.target.deploy(candidates["right"])
    assert bench.failing(deployment) == []
    services = namespace.get("services", "-l", "podium.dev/race")["items"]
    (port,) = {one["spec"]["ports"][0]["port"] for one in services if one["metadata"]["name"].endswith("-results")}
    script = SLOW_QUESTIONS.replace("PORT", str(port))

    def slow_down() -> None:
        subprocess.run(["docker", "exec", LOAD_NODE, "sh", "-c", script], check=True, capture_output=True, timeout=120)

    assert bench.failing(deployment, beside=slow_down) == ["wrong-clock"]
    assert bench.failing(deployment) == []
