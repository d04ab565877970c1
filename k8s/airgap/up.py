"""Bringing the cluster up, step by step; each step looks first whether its work is done already."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from k8s.airgap import (
    cache,
    certificate,
    debian,
    dockerd,
    golang,
    host,
    kindconfig,
    manifests,
    network,
    nodeimage,
    nodes,
    sources,
    tools,
    versions,
)
from k8s.airgap.kube import Kubectl
from k8s.airgap.shell import run, say, step, succeeds
from podium.errors import ClusterError, MachineError

CLUSTER = "podium"
STATE = versions.ROOT / ".podium"
KUBECONFIG = STATE / "kubeconfig"
_BUILDER = versions.ROOT / "predictors" / "images" / "build.py"
_CHART = versions.ROOT / "charts" / "platform"
_SITE_VALUES = versions.ROOT / "k8s" / "overlays" / "kind" / "platform-values.yaml"
_READY_S = 120.0


def up(*, with_images: bool = True, with_torch: bool = False) -> None:
    """Bring the cluster up, or bring what runs to the present state of these files.

    Raises:
        PodiumError: a sentence that says what is missing or what failed.
    """
    began = time.monotonic()
    pins = versions.load()
    store = cache.Cache(work=STATE / "airgap", outside=cache.default_folder())
    air_gapped = host.is_air_gapped(os.environ.get("PODIUM_AIRGAP", "auto"))
    say(f"cluster-up: {'without a container registry' if air_gapped else 'upstream images'}; cache {store.outside}")
    if air_gapped and os.geteuid() == 0:
        dockerd.install_packages()
    dockerd.ensure(STATE)
    facts = host.docker_facts()
    host.check(versions.ROOT, air_gapped=air_gapped, facts=facts)
    (STATE / "store").mkdir(parents=True, exist_ok=True)

    with ThreadPoolExecutor(max_workers=1) as beside:
        # Building images waits for the disk and the network more than for the processor, compiling only for that.
        if air_gapped:
            beside.submit(debian.obtain, pins.debian, store)
        images = beside.submit(_build_images, with_torch=with_torch) if with_images else None
        config = yaml.safe_load((versions.ROOT / "kind-config.yaml").read_text())
        classes = kindconfig.node_names(config)
        found = sources.obtain(pins, store)
        kind = tools.find("kind", pins) or tools.install("kind", pins, store)
        kubectl = _kubectl(pins, store, air_gapped=air_gapped)
        fakegpu = golang.obtain(golang.PROGRAMS["fakegpu"], pins, store)
        config = kindconfig.shared_out(config, facts["MemTotal"])
        if air_gapped:
            machine = host.describe(facts)
            name = nodeimage.obtain(pins, store, machine, found.kind)
            config = kindconfig.air_gapped(config, name, softened=machine.softened, cgroup=machine.cgroup)
        _create(kind, config, classes, air_gapped=air_gapped)
        with step("cores of the nodes"):
            for node_class, cores in nodes.cpusets(facts["NCPU"], classes).items():
                nodes.pin(classes[node_class], cores)
        _install(kubectl, pins, found, classes, fakegpu)
        references = images.result() if images else {}
    _load(references, classes)
    _settle_kserve(kubectl, pins, references)
    _platform(pins, store, references)
    say(f"cluster-up: ready after {time.monotonic() - began:.0f} s; kubeconfig {KUBECONFIG.relative_to(versions.ROOT)}")


def _build_images(*, with_torch: bool) -> dict[str, str]:
    if not _BUILDER.exists():
        return {}
    command = [versions.ROOT / ".venv/bin/python", _BUILDER, *(["--with-torch"] if with_torch else [])]
    done = subprocess.run([str(word) for word in command], check=False)
    if done.returncode != 0:
        raise MachineError(f"The image builder ended with status {done.returncode}; what it said is above.")
    references: dict[str, str] = json.loads((STATE / "images.json").read_text())
    return references


def _kubectl(pins: versions.Versions, store: cache.Cache, *, air_gapped: bool) -> Kubectl:
    program = tools.find("kubectl", pins)
    if program is None and not air_gapped:
        raise MachineError(
            f"kubectl {pins.at_least['kubectl']} or newer is missing.",
            hint="Install it: https://kubernetes.io/docs/tasks/tools/",
        )
    if program is None:
        program = tools.install("hyperkube", pins, store, alias="kubectl")
    return Kubectl(program, KUBECONFIG, f"kind-{CLUSTER}")


def _create(kind: Path, config: Mapping[str, Any], classes: Mapping[str, str], *, air_gapped: bool) -> None:
    network.ensure_network()
    if air_gapped:
        network.ensure_rule()
    there = nodes.containers(CLUSTER)
    if there and set(there) != set(classes.values()):
        raise ClusterError(
            f"A cluster {CLUSTER} is there with other nodes than kind-config.yaml names.",
            hint="Remove it with ./scripts/cluster-down, then run this again.",
        )
    stopped = [name for name, running in there.items() if not running]
    if stopped:
        with step(f"starting {', '.join(stopped)}"):
            for name in sorted(stopped, key=lambda name: name != classes["control-plane"]):
                run(["docker", "start", name], what=f"Starting {name}")
    environment = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": network.NAME}
    if not there:
        with step("kind create cluster"):
            command: list[str | Path] = [
                kind,
                "create",
                "cluster",
                "--config",
                "-",
                "--kubeconfig",
                KUBECONFIG,
                "--wait",
                "0s",
            ]
            run(command, what="kind", env=environment, cwd=versions.ROOT, text=json.dumps(config))
        return
    wanted = config["nodes"][0].get("image")
    used = run(
        ["docker", "inspect", "-f", "{{.Config.Image}}", classes["control-plane"]], what="The node image"
    ).strip()
    if wanted and used != wanted:
        say(f"note: the nodes run {used}; these files make {wanted}. To renew: ./scripts/cluster-down, then this again")
    if not KUBECONFIG.exists():
        run([kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", KUBECONFIG], what="kind", env=environment)


def _install(
    kubectl: Kubectl, pins: versions.Versions, found: sources.Sources, classes: Mapping[str, str], fakegpu: Path
) -> None:
    kubectl.call("config", "set-context", kubectl.context, "--namespace", "podium", what="The kubeconfig's namespace")
    with step("KServe and metrics-server"):
        kubectl.apply((versions.ROOT / "k8s/base/namespaces.yaml").read_text(), what="Namespaces")
        definitions = "\n---\n".join(file.read_text() for file in manifests.crd_files(found.kserve))
        kubectl.apply(definitions, what="KServe's custom resource definitions")
        metrics = manifests.metrics_server(
            manifests.read(*sorted(found.metrics_server.glob("[!k]*.yaml"))), image=pins.images["metricsServer"]
        )
        kubectl.apply(manifests.dump(metrics), what="metrics-server")
        files = _webhook_files(kubectl)
        read = manifests.read(*manifests.kserve_files(found.kserve))
        controller = manifests.kserve(read, image=pins.images["kserve"], ca=files["ca.crt"].encode())
        settings = manifests.kserve_settings(_kserve_images(pins, _known_images()))
        secret = manifests.webhook_secret(files)
        kubectl.apply(manifests.dump([controller[0], secret, settings, *controller[1:]]), what="KServe")
    nodes.offer_gpus(classes["a100"], fakegpu)
    with step("waiting for the nodes and the controllers"):
        kubectl.call(
            "wait", "node", "--all", "--for=condition=Ready", f"--timeout={_READY_S:.0f}s", what="Waiting for nodes"
        )
        _move_coredns(kubectl)
        kubectl.rolled_out("kserve", "kserve-controller-manager")
        kubectl.rolled_out("kube-system", "metrics-server")
        kubectl.rolled_out("kube-system", "coredns")


def _webhook_files(kubectl: Kubectl) -> dict[str, str]:
    """Return the certificate that is in force, or a new one: a new one at each start would part CA and server."""
    if kubectl.has("-n", manifests.NAMESPACE, "secret", manifests.WEBHOOK_SECRET):
        data = kubectl.get("-n", manifests.NAMESPACE, "secret", manifests.WEBHOOK_SECRET)["data"]
        return {name: base64.b64decode(value).decode() for name, value in data.items()}
    return certificate.make(f"{manifests.WEBHOOK_SERVICE}.{manifests.NAMESPACE}.svc")


def _move_coredns(kubectl: Kubectl) -> None:
    patch: dict[str, Any] = {"spec": {"template": {"spec": {}}, "replicas": 1}}
    pod = kubectl.get("-n", "kube-system", "deployment", "coredns")["spec"]["template"]["spec"]
    manifests.on_control_plane(pod)
    patch["spec"]["template"]["spec"] = {key: pod[key] for key in ("nodeSelector", "tolerations")}
    arguments = ("-n", "kube-system", "patch", "deployment", "coredns", "--patch", json.dumps(patch))
    kubectl.call(*arguments, what="CoreDNS")


def _known_images() -> dict[str, str]:
    file = STATE / "images.json"
    read: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return read


def _kserve_images(pins: versions.Versions, references: Mapping[str, str]) -> dict[str, str]:
    return {
        "storageInitializer": references.get("storage-initializer", pins.images["kserveStorageInitializer"]),
        "agent": pins.images["kserveAgent"],
        "router": pins.images["kserveRouter"],
    }


def _load(references: Mapping[str, str], classes: Mapping[str, str]) -> None:
    plan = nodes.image_plan(references, classes)
    if plan:
        with step("our images on the nodes"):
            for container, wanted in plan.items():
                for name in nodes.load_images(container, wanted):
                    say(f"  {container}: {name}")


def _settle_kserve(kubectl: Kubectl, pins: versions.Versions, references: Mapping[str, str]) -> None:
    """Name the images that were built meanwhile, and wait until the webhooks answer."""
    images = _kserve_images(pins, references or _known_images())
    documents = [manifests.kserve_settings(images), manifests.storage_container(images["storageInitializer"])]
    # The record passes KServe's own webhook: when it is taken, the webhooks answer.
    kubectl.apply(manifests.dump(documents), what="KServe's settings")


def _platform(pins: versions.Versions, store: cache.Cache, references: Mapping[str, str]) -> None:
    if not (_CHART / "Chart.yaml").exists():
        return
    helm = tools.find("helm", pins) or tools.install("helm", pins, store)
    chosen = {
        key: references[name]
        for key, name in (
            ("ort", "predictor-ort"),
            ("openvino", "predictor-openvino"),
            ("torch", "predictor-torch"),
            ("loadtest", "loadtest"),
        )
        if name in references
    }
    with step("the chart platform"):
        command: list[str | Path] = [
            helm,
            "upgrade",
            "--install",
            "platform",
            _CHART,
            "--namespace",
            "podium-system",
            "--wait",
        ]
        command += ["--kubeconfig", KUBECONFIG, "--kube-context", f"kind-{CLUSTER}", "--timeout", "2m"]
        command += ["--values", _SITE_VALUES] if _SITE_VALUES.exists() else []
        for key, reference in chosen.items():
            command += ["--set-string", f"images.{key}={reference}"]
        run(command, what="The chart platform")


def is_up() -> bool:
    """Return whether the cluster's API server answers to its kubeconfig."""
    return KUBECONFIG.exists() and succeeds(["kubectl", "--kubeconfig", KUBECONFIG, "get", "--raw", "/readyz"])
