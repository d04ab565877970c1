"""What runs in the cluster: KServe, metrics-server, Knative, the emulated GPUs, our images and the chart `platform`."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from k8s.airgap import certificate, knativefiles, manifests, nodes, versions
from k8s.airgap.knative import Knative
from k8s.airgap.kube import Kubectl
from k8s.airgap.parts import Parts
from k8s.airgap.shell import run, say, step
from k8s.airgap.site import Site
from k8s.airgap.sources import KnativeSources
from podium.nodeclass import load_node_class, node_class_names

_CHART = versions.ROOT / "charts" / "platform"
_SITE_VALUES = versions.ROOT / "k8s" / "overlays" / "kind" / "platform-values.yaml"
_CHART_IMAGES = {
    "ort": "predictor-ort",
    "openvino": "predictor-openvino",
    "torch": "predictor-torch",
    "ray": "predictor-ray",
    "loadtest": "loadtest",
}
_READY_S = 120


def controllers(parts: Parts) -> None:
    """Install KServe and metrics-server, and wait until they run and every node is ready."""
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
        kubectl.rolled_out(manifests.NAMESPACE, manifests.MANAGER)
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


def knative_definitions(parts: Parts) -> None:
    """Make the kinds of Knative known, where it is asked for; KServe looks for them once, when it starts."""
    if parts.knative is None:
        return
    with step("Knative's custom resource definitions"):
        for files in (knativefiles.namespace_files, knativefiles.definition_files):
            _apply_knative(parts, parts.knative, files, what="Knative's custom resource definitions")
        established = ("--for=condition=Established", f"--timeout={_READY_S}s")
        parts.kubectl.call("wait", f"crd/{knativefiles.DEFINITION}", *established, what="Waiting for Knative's kinds")


def knative(parts: Parts) -> None:
    """Install Knative Serving and Kourier where they are asked for, and wait until they run."""
    if parts.knative is None:
        return
    with step("Knative's images on the nodes"):
        parts.knative.load(parts.classes)
    with step("Knative and Kourier"):
        for files in (knativefiles.ground_files, knativefiles.running_files):
            _apply_knative(parts, parts.knative, files, what="Knative")
        for namespace, deployment in knativefiles.DEPLOYMENTS:
            parts.kubectl.rolled_out(namespace, deployment)
        _apply_knative(parts, parts.knative, knativefiles.last_files, what="Knative")
    if _kserve_is_older(parts.kubectl):
        with step("KServe again, so that it sees Knative"):
            restart = ("rollout", "restart", f"deployment/{manifests.MANAGER}")
            parts.kubectl.call("-n", manifests.NAMESPACE, *restart, what="Starting KServe's manager again")
            parts.kubectl.rolled_out(manifests.NAMESPACE, manifests.MANAGER)


def _apply_knative(parts: Parts, made: Knative, files: Callable[[KnativeSources], list[Path]], *, what: str) -> None:
    documents = knativefiles.rewritten(manifests.read(*files(made.sources)), made.images)
    parts.kubectl.apply(manifests.dump(documents), what=what)


def _kserve_is_older(kubectl: Kubectl) -> bool:
    known = kubectl.get("crd", knativefiles.DEFINITION)["metadata"]["creationTimestamp"]
    label = f"control-plane={manifests.MANAGER}"
    pods = kubectl.get("-n", manifests.NAMESPACE, "pods", "-l", label)["items"]
    # Both are UTC in whole seconds, so texts compare as times.
    return any(pod["status"].get("startTime", "") <= known for pod in pods)


def our_images(references: Mapping[str, str], classes: Mapping[str, str], given_up: threading.Event) -> None:
    """Bring our images to the nodes that need them, as soon as those take any."""
    runtimes = {name: load_node_class(name, "kind").runtimes for name in classes if name in node_class_names()}
    plan = nodes.image_plan(references, classes, runtimes)
    if plan:
        nodes.wait_for_containerd(plan, given_up)
        with step("our images on the nodes"):
            for container, names in nodes.load_images(plan).items():
                say(f"  {container}: {', '.join(names)}")


def settle_kserve(parts: Parts, references: Mapping[str, str]) -> None:
    """Name the images that were built meanwhile, and wait until the webhooks answer."""
    images = _kserve_images(parts.pins, references or _known_images(parts.site))
    documents = [manifests.kserve_settings(images), manifests.storage_container(images["storageInitializer"])]
    # The record passes KServe's own webhook: when it is taken, the webhooks answer.
    parts.kubectl.apply(manifests.dump(documents), what="KServe's settings")


def platform(parts: Parts, references: Mapping[str, str]) -> None:
    """Install or upgrade the chart `platform` with the images that were built.

    Where Knative is there, asked for now or earlier, the runtimes come for both modes.
    """
    if parts.knative and not references and parts.kubectl.has("-n", "podium-system", "configmap", "podium-platform"):
        references = _known_images(parts.site)
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
        if parts.kubectl.has("crd", knativefiles.DEFINITION):
            command += ["--set", "runtimes.knative=true"]
        for key, name in _CHART_IMAGES.items():
            if name in references:
                command += ["--set-string", f"images.{key}={references[name]}"]
        run(command, what="The chart platform")
