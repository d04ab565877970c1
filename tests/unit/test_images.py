"""The pure parts of the image builder: what goes in, the tag, the bill of materials, the Dockerfiles' promises."""

import io
import re
import tarfile
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from predictors.errors import BuildError
from predictors.images import rootfs
from predictors.images.base import upstream_pin
from predictors.images.build import listed
from predictors.images.catalog import IMAGES, ROOT, Image, choose
from predictors.images.content import code, inputs, reference, tag
from predictors.images.context import is_surplus

NAMES = [image.name for image in IMAGES]
# The command line; torch alone needs safetensors besides.
NOT_SERVING = {"typer", "rich"}


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", path.read_text(), flags=re.MULTILINE))


def project(root: Path) -> Image:
    """Lay a tiny project out and return an image of it."""
    image = replace(IMAGES[0], code=("served/*.py",), launcher=("launch.py", "podium"), programs=("k6",))
    content = {"served/a.py": "a = 1", "launch.py": "start", ".podium/bin/k6": "binary", "unrelated.py": "x"}
    content |= {image.dockerfile: "FROM base", image.requirements: "numpy==1"}
    content |= {f"predictors/images/{name}.py": name for name in ("catalog", "context", "sbom")}
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return image


def test_the_tag_is_the_same_for_the_same_inputs_wherever_they_lie(tmp_path: Path) -> None:
    first, second = project(tmp_path / "a"), project(tmp_path / "b")
    assert tag(first, "base:1", tmp_path / "a") == tag(second, "base:1", tmp_path / "b")
    assert re.fullmatch(r"kind\.local/podium/predictor-ort:[0-9a-f]{12}", reference(first, "base:1", tmp_path / "a"))


@pytest.mark.parametrize(
    "name", ["served/a.py", "launch.py", ".podium/bin/k6", IMAGES[0].dockerfile, IMAGES[0].requirements]
)
def test_a_change_of_any_input_changes_the_tag(tmp_path: Path, name: str) -> None:
    image = project(tmp_path)
    before = tag(image, "base:1", tmp_path)
    (tmp_path / name).write_text("changed")
    assert tag(image, "base:1", tmp_path) != before


def test_another_base_or_a_new_file_changes_the_tag_and_an_unrelated_file_does_not(tmp_path: Path) -> None:
    image = project(tmp_path)
    before = tag(image, "base:1", tmp_path)
    assert tag(image, "base:2", tmp_path) != before
    (tmp_path / "unrelated.py").write_text("changed")
    assert tag(image, "base:1", tmp_path) == before
    (tmp_path / "served/b.py").write_text("")
    assert tag(image, "base:1", tmp_path) != before


def test_a_missing_program_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    image = project(tmp_path)
    (tmp_path / ".podium/bin/k6").unlink()
    with pytest.raises(BuildError, match=r"needs \.podium/bin/k6") as refused:
        inputs(image, tmp_path)
    assert refused.value.hint == "run ./scripts/build-k6"


def test_only_asked_for_images_are_made_and_torch_is_one_of_them() -> None:
    assert [image.name for image in choose(None, with_torch=False)] == [
        "predictor-ort",
        "predictor-openvino",
        "loadtest",
    ]
    assert choose(None, with_torch=True)[-1].name == "predictor-torch"
    assert [image.name for image in choose(["loadtest"], with_torch=False)] == ["loadtest"]
    with pytest.raises(KeyError, match="tensorflow"):
        choose(["tensorflow"], with_torch=False)


@pytest.mark.parametrize("engine", ["ort", "openvino"])
def test_a_cpu_predictor_holds_its_engine_and_no_training_code(engine: str) -> None:
    image = next(image for image in IMAGES if image.name == f"predictor-{engine}")
    held = code(image)
    other = {"ort": "openvino", "openvino": "ort"}[engine]
    assert f"predictors/runtimes/{engine}.py" in held
    assert "predictors/server/process.py" in held
    assert not {f"predictors/runtimes/{other}.py", "predictors/runtimes/torch.py"} & set(held)
    assert not [name for name in held if name.startswith(("predictors/models", "predictors/recipes", "podium"))]
    assert not {"torch", "typer", "rich"} & pins(ROOT / image.requirements).keys()


@pytest.mark.parametrize("engine", ["ort", "openvino", "torch", "ray"])
def test_the_requirements_of_a_predictor_are_those_of_its_extra(engine: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = settings["optional-dependencies"]
    parts = ("serve", "serve-grpc", "sign", f"serve-{engine}")
    wanted = {*settings["dependencies"], *(line for part in parts for line in extras[part])}
    if engine == "ray":
        wanted |= set(extras["serve-ort"])
    names = {re.split(r"[<>=;\[ ]", line)[0] for line in wanted} - NOT_SERVING - {"podium"}
    if engine != "torch":
        names -= {"safetensors"}
    written = (ROOT / f"requirements/images/predictor-{engine}.in").read_text().split()
    assert {name.partition("[")[0] for name in written} == names


@pytest.mark.parametrize(
    "name", ["predictor-ort", "predictor-openvino", "predictor-torch", "predictor-ray", "loadtest"]
)
def test_an_image_holds_a_part_of_the_tested_pins(name: str) -> None:
    tested = pins(ROOT / "requirements/all.txt") | pins(ROOT / "requirements/torch.txt")
    held = pins(ROOT / f"requirements/images/{name}.txt")
    assert held
    assert held.items() <= tested.items()


@pytest.mark.parametrize("name", NAMES)
def test_a_dockerfile_builds_on_its_argument_and_runs_as_a_number_without_a_network(name: str) -> None:
    image = next(image for image in IMAGES if image.name == name)
    lines = (ROOT / image.dockerfile).read_text().splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert [word[1] for word in words if word[0] == "FROM"] == ["${BASE}"]
    assert [word[1] for word in words if word[0] == "USER"][-1] == "65532:65532"
    # A run line with the network or an installer in it would leave both in the history.
    assert all("compileall" in word[1] for word in words if word[0] == "RUN")
    labels = "\n".join(lines)
    for label in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in labels


def test_every_image_and_the_base_compile_ahead_of_a_read_only_root() -> None:
    for image in IMAGES:
        assert '"--invalidation-mode", "unchecked-hash"' in (ROOT / image.dockerfile).read_text(), image.name
    assert "UNCHECKED_HASH" in (ROOT / "predictors/images/base.Dockerfile").read_text()


def test_the_upstream_base_is_pinned_by_digest_and_the_gpu_image_stands_on_the_same() -> None:
    assert re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", upstream_pin())
    assert f"BASE={upstream_pin()}" in (ROOT / "predictors/images/predictor-gpu.Dockerfile").read_text()


def test_what_only_building_or_testing_needs_is_left_out() -> None:
    surplus = ["numpy/_core/tests/test_api.py", "numpy/_core/include/numpy/arrayobject.h", "numpy/__init__.pyi"]
    assert all(is_surplus(Path(name)) for name in surplus)
    assert not any(is_surplus(Path(name)) for name in ["numpy/testing/__init__.py", "tests.py", "a/b.so"])
    openvino = next(image for image in IMAGES if image.name == "predictor-openvino")
    libraries = Path("openvino/libs")
    assert is_surplus(libraries / "libopenvino_intel_gpu_plugin.so", openvino.without)
    assert is_surplus(Path("openvino_telemetry/backend/backend.py"), openvino.without)
    assert not is_surplus(libraries / "libopenvino_intel_cpu_plugin.so", openvino.without)
    assert not is_surplus(libraries / "libopenvino_onnx_frontend.so.2641", openvino.without)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("usr/bin/python3", True),
        ("usr/bin/python3.11", True),
        ("usr/bin/", True),
        ("usr/bin/dpkg", False),
        ("bin/tar", False),
        ("usr/lib/python3.11/json/decoder.py", True),
        ("usr/lib/python3.11/ensurepip/__init__.py", False),
        ("usr/lib/x86_64-linux-gnu/libssl.so.3", True),
        ("usr/lib/x86_64-linux-gnu/gconv/EUC-JP.so", False),
        ("usr/share/man/man1/python3.1.gz", False),
        ("usr/share/doc/libc6/copyright", True),
        ("var/lib/dpkg/status.d/libc6", True),
        ("var/lib/dpkg/status.d/dpkg", False),
        ("var/lib/dpkg/info/libc6.list", False),
    ],
)
def test_the_root_file_system_keeps_python_and_nothing_to_install_or_compile_with(name: str, wanted: bool) -> None:
    assert rootfs.is_wanted(name) is wanted


def unpacked(order: list[str], when: int) -> io.BytesIO:
    """Return a tar as mmdebstrap may leave it, with members in an order and of a date."""
    content = {"./usr/bin/python3.11": b"elf", "./bin/tar": b"elf"}
    content["./usr/share/ca-certificates/mozilla/One.crt"] = b"-----ONE-----\n\n"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as out:
        for name in order:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uid = len(content[name]), when, 1000
            out.addfile(entry, io.BytesIO(content[name]))
    stream.seek(0)
    return stream


@pytest.mark.row("S18", "the same packages in another order and of another date: the same bytes of the base image")
def test_the_same_packages_give_the_same_bytes_whatever_their_order_and_date(
    record_property: Callable[[str, object], None],
) -> None:
    names = ["./usr/bin/python3.11", "./bin/tar", "./usr/share/ca-certificates/mozilla/One.crt"]
    written = []
    for order, when in ((names, 1), (names[::-1], 2)):
        stream = io.BytesIO()
        with tarfile.open(fileobj=unpacked(order, when)) as source, tarfile.open(fileobj=stream, mode="w") as out:
            rootfs.copy(source, out)
        written.append(stream.getvalue())
    assert written[0] == written[1]
    record_property("S18", f"{len(written[0])} bytes, the same twice")
    with tarfile.open(fileobj=io.BytesIO(written[0])) as made:
        assert "./bin/tar" not in made.getnames()
        bundle = made.extractfile("etc/ssl/certs/ca-certificates.crt")
        assert bundle is not None
        assert bundle.read() == b"-----ONE-----\n"
        assert {member.uid for member in made} == {0}


def test_the_list_for_a_cluster_keeps_what_is_still_there_and_what_is_new_wins() -> None:
    earlier = {"predictor-ort": "r/ort:1", "predictor-openvino": "r/openvino:1", "loadtest": "r/loadtest:1"}
    built = {"predictor-ort": "r/ort:2", "stock-sdk": "r/stock-sdk:1"}
    there = listed(earlier, built, {"r/openvino:1", "r/ort:1"}.__contains__)
    assert there == {"predictor-ort": "r/ort:2", "predictor-openvino": "r/openvino:1"}
