"""Bringing the cluster up, step by step; each step looks first whether its work is done already."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
    nodeimage,
    nodes,
    sources,
    tools,
    versions,
)
from k8s.airgap.kube import Kubectl
from k8s.airgap.shell import run, say, step
from k8s.airgap.site import Site
from podium.errors import ClusterError, MachineError

_BUILDER = versions.ROOT / "predictors" / "images" / "build.py"
_CHART = versions.ROOT / "charts" / "platform"
_SITE_VALUES = versions.ROOT / "k8s" / "overlays" / "kind" / "platform-values.yaml"
_CHART_IMAGES = {
    "ort": "predictor-ort",
    "openvino": "predictor-openvino",
    "torch": "predictor-torch",
    "loadtest": "loadtest",
}
_READY_S = 120


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cluster is made of: programs, others' files, kind's configuration for this machine."""

    pins: versions.Versions
    store: cache.Cache
    site: Site
    air_gapped: bool
    cores: int
    kind: Path
    kubectl: Kubectl
    helm: Path
    fakegpu: Path
    sources: sources.Sources
    config: dict[str, Any]

    @property
    def classes(self) -> dict[str, str]:
        """Return the nodes' containers by node class."""
        return kindconfig.node_names(self.config)


def up(site: Site, *, with_images: bool = True, with_torch: bool = False, only_build: bool = False) -> None:
    """Bring the cluster up, or bring what runs to the present state of these files.

    Args:
        site: which cluster.
        with_images: build and load Podium's own images.
        with_torch: also the one with PyTorch.
        only_build: make everything and start nothing.

    Raises:
        PodiumError: a sentence that says what is missing or what failed.
    """
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as beside:
        parts, images = _prepare(site, beside, with_images=with_images, with_torch=with_torch)
        if not only_build:
            _create(parts)
            with step("cores of the nodes"):
                for node_class, cores in nodes.cpusets(parts.cores, parts.classes).items():
                    nodes.pin(parts.classes[node_class], cores)
            _install(parts)
        references = images.result() if images else {}
    if not only_build:
        _load(references, parts.classes)
        _settle_kserve(parts, references)
        _platform(parts, references)
    done = "everything is built" if only_build else f"ready; kubeconfig {site.kubeconfig}"
    say(f"cluster-up: {done} ({time.monotonic() - began:.0f} s)")


def _prepare(
    site: Site, beside: ThreadPoolExecutor, *, with_images: bool, with_torch: bool
) -> tuple[Parts, Future[dict[str, str]] | None]:
    pins = versions.load()
    store = cache.Cache(work=site.state / "airgap", outside=cache.default_folder())
    air_gapped = host.is_air_gapped(os.environ.get("PODIUM_AIRGAP", "auto"))
    say(f"cluster-up: {'without a container registry' if air_gapped else 'upstream images'}; cache {store.outside}")
    if air_gapped and os.geteuid() == 0:
        dockerd.install_packages()
    dockerd.ensure(site.state)
    facts = host.docker_facts()
    host.check(versions.ROOT, air_gapped=air_gapped, facts=facts)
    (site.state / "store").mkdir(parents=True, exist_ok=True)
    # These wait for the disk and the network more than for the processor; compiling needs nothing else.
    base = beside.submit(debian.obtain, pins.debian, store) if air_gapped else None
    images = beside.submit(_build_images, site, with_torch=with_torch) if with_images else None
    found = sources.obtain(pins, store)
    kind = tools.find("kind", pins) or tools.install("kind", pins, store)
    config = kindconfig.shared_out(yaml.safe_load((versions.ROOT / "kind-config.yaml").read_text()), facts["MemTotal"])
    if base is not None:
        machine = host.describe(facts)
        name = nodeimage.obtain(pins, store, machine, found.kind, base.result)
        config = kindconfig.air_gapped(config, name, softened=machine.softened, cgroup=machine.cgroup)
    parts = Parts(
        pins=pins,
        store=store,
        site=site,
        air_gapped=air_gapped,
        cores=facts["NCPU"],
        kind=kind,
        kubectl=_kubectl(pins, store, site, air_gapped=air_gapped),
        helm=tools.find("helm", pins) or tools.install("helm", pins, store),
        fakegpu=golang.obtain(golang.PROGRAMS["fakegpu"], pins, store),
        sources=found,
        config=config,
    )
    return parts, images


def _build_images(site: Site, *, with_torch: bool) -> dict[str, str]:
    if not _BUILDER.exists():
        return {}
    command = [versions.ROOT / ".venv/bin/python", _BUILDER, *(["--with-torch"] if with_torch else [])]
    done = subprocess.run([str(word) for word in command], check=False)
    if done.returncode != 0:
        raise MachineError(f"The image builder ended with status {done.returncode}; what it said is above.")
    references: dict[str, str] = json.loads((site.state / "images.json").read_text())
    return references


def _kubectl(pins: versions.Versions, store: cache.Cache, site: Site, *, air_gapped: bool) -> Kubectl:
    program = tools.find("kubectl", pins)
    if program is None and not air_gapped:
        raise MachineError(
            f"kubectl {pins.at_least['kubectl']} or newer is missing.",
            hint="Install it: https://kubernetes.io/docs/tasks/tools/",
        )
    if program is None:
        program = tools.install("hyperkube", pins, store, alias="kubectl")
    return Kubectl(program, site.kubeconfig, site.context)


def _create(parts: Parts) -> None:
    site, classes = parts.site, parts.classes
    site.network.ensure()
    if parts.air_gapped:
        site.network.ensure_rule()
    there = nodes.containers(site.cluster)
    if there and set(there) != set(classes.values()):
        raise ClusterError(
            f"A cluster {site.cluster} is there with other nodes than kind-config.yaml names.",
            hint="Remove it with ./scripts/cluster-down, then run this again.",
        )
    stopped = [name for name, running in there.items() if not running]
    if stopped:
        with step(f"starting {', '.join(stopped)}"):
            for name in sorted(stopped, key=lambda name: name != classes["control-plane"]):
                run(["docker", "start", name], what=f"Starting {name}")
    environment = {"KIND_EXPERIMENTAL_DOCKER_NETWORK": site.network.name}
    if not there:
        with step("kind create cluster"):
            command: list[str | Path] = [parts.kind, "create", "cluster", "--config", "-"]
            command += ["--kubeconfig", site.kubeconfig]
            run(command, what="kind", env=environment, cwd=versions.ROOT, text=json.dumps(parts.config))
        return
    wanted = parts.config["nodes"][0].get("image")
    asked = ["docker", "inspect", "-f", "{{.Config.Image}}", classes["control-plane"]]
    used = run(asked, what="The node image").strip()
    if wanted and used != wanted:
        say(f"note: the nodes run {used}; these files make {wanted}. To renew: ./scripts/cluster-down, then this again")
    if not site.kubeconfig.exists():
        export: list[str | Path] = [
            parts.kind,
            "export",
            "kubeconfig",
            "--name",
            site.cluster,
            "--kubeconfig",
            site.kubeconfig,
        ]
        run(export, what="kind", env=environment)


def _install(parts: Parts) -> None:
    kubectl, pins = parts.kubectl, parts.pins
    kubectl.call("config", "set-context", kubectl.context, "--namespace", "podium", what="The kubeconfig's namespace")
    with step("KServe and metrics-server"):
        kubectl.apply((versions.ROOT / "k8s/base/namespaces.yaml").read_text(), what="Namespaces")
        definitions = "\n---\n".join(file.read_text() for file in manifests.crd_files(parts.sources.kserve))
        kubectl.apply(definitions, what="KServe's custom resource definitions")
        metrics = manifests.metrics_server(
            manifests.read(*sorted(parts.sources.metrics_server.glob("[!k]*.yaml"))), image=pins.images["metricsServer"]
        )
        kubectl.apply(manifests.dump(metrics), what="metrics-server")
        files = _webhook_files(kubectl)
        read = manifests.read(*manifests.kserve_files(parts.sources.kserve))
        controller = manifests.kserve(read, image=pins.images["kserve"], ca=files["ca.crt"].encode())
        settings = manifests.kserve_settings(_kserve_images(pins, _known_images(parts.site)))
        secret = manifests.webhook_secret(files)
        kubectl.apply(manifests.dump([controller[0], secret, settings, *controller[1:]]), what="KServe")
    nodes.offer_gpus(parts.classes["a100"], parts.fakegpu)
    with step("waiting for the nodes and the controllers"):
        ready = ("--for=condition=Ready", f"--timeout={_READY_S}s")
        kubectl.call("wait", "node", "--all", *ready, what="Waiting for nodes")
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


def _known_images(site: Site) -> dict[str, str]:
    file = site.state / "images.json"
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
            for container, names in nodes.load_images(plan).items():
                say(f"  {container}: {', '.join(names)}")


def _settle_kserve(parts: Parts, references: Mapping[str, str]) -> None:
    """Name the images that were built meanwhile, and wait until the webhooks answer."""
    images = _kserve_images(parts.pins, references or _known_images(parts.site))
    documents = [manifests.kserve_settings(images), manifests.storage_container(images["storageInitializer"])]
    # The record passes KServe's own webhook: when it is taken, the webhooks answer.
    parts.kubectl.apply(manifests.dump(documents), what="KServe's settings")


def _platform(parts: Parts, references: Mapping[str, str]) -> None:
    if not (_CHART / "Chart.yaml").exists() or not references:
        return
    with step("the chart platform"):
        command: list[str | Path] = [
            parts.helm,
            "upgrade",
            "--install",
            "platform",
            _CHART,
            "--wait",
            "--timeout",
            "2m",
        ]
        command += ["--namespace", "podium-system"]
        command += ["--kubeconfig", parts.site.kubeconfig, "--kube-context", parts.site.context]
        command += ["--values", _SITE_VALUES] if _SITE_VALUES.exists() else []
        for key, name in _CHART_IMAGES.items():
            if name in references:
                command += ["--set-string", f"images.{key}={references[name]}"]
        run(command, what="The chart platform")
