"""Our images as Docker runs them: restricted as a pod is, they serve, and they hold no more than they need."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.golden import read_golden
from predictors.images.catalog import IMAGES
from predictors.manifest import read_variant
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT
from tests.eventually import eventually
from tests.needs import lack

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RESTRICTED = ["--read-only", "--user", "65532", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
PREDICTORS = ["predictor-ort", "predictor-openvino"]
ALL = [*PREDICTORS, "loadtest"]
LIST = ROOT / ".podium" / "images.json"
PYTHON = "/usr/bin/python3"
TEMPORARY = {"/tmp", "/var/tmp"}  # noqa: S108
PROGRAMS = """
import json, os
folders = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin")
print(json.dumps([name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]))
"""
WRITABLE = """
import json, os
seen = (folder for folder, _, _ in os.walk("/") if not folder.startswith(("/proc", "/dev", "/sys")))
print(json.dumps([folder for folder in seen if os.access(folder, os.W_OK)]))
"""
BYTE_CODE = """
import json, pathlib
sources = list(pathlib.Path("/app").rglob("*.py"))
compiled = [path.parent / "__pycache__" / (path.stem + ".cpython-311.pyc") for path in sources]
# The fifth byte is the flags: 1 is "hash-based, never checked".
bad = [str(path) for path in compiled if not path.exists() or path.read_bytes()[4] != 1]
print(json.dumps([len(sources), bad]))
"""
DISTRIBUTIONS = """
import json
from importlib.metadata import distributions
found = distributions(path=["/app"])
print(json.dumps([[one.metadata["Name"].lower().replace("_", "-"), one.version] for one in found]))
"""


def missing() -> str:
    """Return why there is no image to test, or an empty string."""
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    except FileNotFoundError:
        return "there is no docker command"
    if done.returncode != 0:
        return "no Docker daemon answers"
    return "" if LIST.is_file() else "no images are built; run .venv/bin/python predictors/images/build.py"


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Return the references of our images, or skip; fail where `PODIUM_REQUIRE` asks for the cluster."""
    reason = missing()
    if reason:
        lack("cluster", reason)
    found: dict[str, str] = json.loads(LIST.read_text())
    return found


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"docker {' '.join(words)}: {done.stderr}"
    return done


def inside(image: str, program: str, *switches: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a Python program in an image, restricted and without a network."""
    options = ["run", "--rm", *RESTRICTED, "--network", "none", "--entrypoint", PYTHON, *switches]
    return docker(*options, image, "-IS", "-c", program, check=check)


@pytest.fixture
def containers() -> Iterator[list[str]]:
    started: list[str] = []
    yield started
    for container in started:
        docker("rm", "-f", container)


def serve(images: dict[str, str], name: str, folder: Path, containers: list[str], *more: str) -> str:
    # The folders of pytest are private; the container is somebody else.
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    options = [*RESTRICTED, "--network", "none", "--cpus", "1", "--memory", "512m", "-v", f"{folder}:/mnt/models:ro"]
    container = docker("run", "-d", *options, images[name], *more).stdout.strip()
    containers.append(container)
    return container


def asked(container: str, port: int, path: str, body: bytes | None = None) -> dict[str, Any] | None:
    """Ask from inside, since the container has no network; None while there is no good answer."""
    program = (
        "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20);"
        "b = sys.stdin.buffer.read() or None; c.request('POST' if b else 'GET', sys.argv[2], b);"
        "a = c.getresponse(); sys.stdout.write(a.read().decode()); sys.exit(a.status != 200)"
    )
    command = ["docker", "exec", "-i", container, PYTHON, "-IS", "-c", program, str(port), path]
    done = subprocess.run(command, input=body or b"", capture_output=True, check=False)
    return json.loads(done.stdout or b"{}") if done.returncode == 0 else None


def openvino_artifact() -> Path:
    """Return the newest OpenVINO artifact of the store that this server takes, or skip."""
    from predictors.imaging import implementation_hash
    from predictors.store import Store

    for stored in Store(ROOT / ".podium" / "store").list():
        variant = read_variant(stored.folder)
        ours = variant.preprocessing is None or variant.preprocessing.hash == implementation_hash()
        if variant.runtime.name == "openvino" and ours:
            return stored.folder
    pytest.skip("the store holds no OpenVINO artifact; run podium build")


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_serves_restricted_and_gives_the_golden_answer(
    images: dict[str, str], name: str, tmp_path: Path, containers: list[str]
) -> None:
    folder = vector_artifact(tmp_path / "artifact") if name == "predictor-ort" else openvino_artifact()
    tmp_path.chmod(0o755)
    container = serve(images, name, folder, containers, "/mnt/models", "--host", "0.0.0.0", "--model-name", "m")
    eventually(lambda: asked(container, 8080, "/v2/models/m/ready") is not None, deadline_s=60)
    inputs, outputs = read_golden(folder, read_variant(folder))
    ((input_name, golden),) = inputs.items()
    given = golden[:1]
    tensor = {"name": input_name, "datatype": "FP32", "shape": list(given.shape), "data": given.ravel().tolist()}
    answer = asked(container, 8080, "/v2/models/m/infer", json.dumps({"inputs": [tensor]}).encode())
    assert answer is not None
    for output in answer["outputs"]:
        expected = outputs[output["name"]][:1]
        np.testing.assert_allclose(np.reshape(output["data"], expected.shape), expected, rtol=1e-3, atol=1e-3)
    state = asked(container, 8082, "/debug/state")
    assert state is not None
    assert (state["threads"], state["cpu_limit"]) == (1, 1.0)
    # KServe stops a pod so, and there is no shell to pass it on.
    docker("stop", "--time", "20", container)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", container).stdout.strip() == "0"


@pytest.mark.row("R27", "a damaged artifact in our image: never ready, exit code 3, the file by its name")
def test_a_damaged_artifact_never_becomes_ready(
    images: dict[str, str], tmp_path: Path, containers: list[str], record_property: Callable[[str, object], None]
) -> None:
    folder = vector_artifact(tmp_path / "artifact")
    tmp_path.chmod(0o755)
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    container = serve(images, "predictor-ort", folder, containers, "/mnt/models", "--host", "0.0.0.0")
    assert docker("wait", container).stdout.strip() == "3"
    assert "model.onnx" in docker("logs", container).stderr
    record_property("R27", "model.onnx, exit code 3")


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_small_numeric_and_labeled(
    images: dict[str, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    limit = next(image.limit_mb for image in IMAGES if image.name == name)
    found = json.loads(docker("image", "inspect", images[name]).stdout)[0]
    record_property(name, f"{found['Size'] / 1e6:.1f} MB")
    assert 0 < found["Size"] <= limit * 1e6 <= 350e6, f"{name} has {found['Size']} bytes"
    assert found["Config"]["User"] == "65532:65532"
    labels = found["Config"]["Labels"]
    for label in ("title", "description", "version", "revision", "licenses"):
        assert labels[f"org.opencontainers.image.{label}"], label


@pytest.mark.row("S18", "no shell, compiler, installer or package manager in any image of ours")
@pytest.mark.parametrize("name", ALL)
def test_nothing_to_compile_install_or_log_in_with_is_inside(
    images: dict[str, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    programs = set(json.loads(inside(images[name], PROGRAMS).stdout))
    assert "python3" in programs
    unwanted = {"sh", "bash", "gcc", "cc", "g++", "ld", "as", "make", "pip", "pip3", "apt", "dpkg", "perl", "su"}
    assert not programs & unwanted
    for module in ("torch", "pip", "setuptools", "ensurepip", "typer", "openvino_telemetry"):
        assert "ModuleNotFoundError" in inside(images[name], importing(module), check=False).stderr, module
    assert inside(images[name], importing("numpy")).returncode == 0
    record_property("S18", f"{name}: {len(programs)} programs, none of {len(unwanted)} unwanted ones")


def importing(module: str) -> str:
    return f"import sys; sys.path.append('/app'); import {module}"


@pytest.mark.row("S2", "the user of an image may write to its temporary folders only, even where the root is writable")
@pytest.mark.control("S2")
@pytest.mark.parametrize("name", ALL)
def test_the_user_may_write_nowhere_but_in_the_temporary_folders(
    images: dict[str, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    found: dict[str, set[str]] = {}
    for user in ("65532", "0"):
        options = ["run", "--rm", "--user", user, "--network", "none", "--entrypoint", PYTHON]
        found[user] = set(json.loads(docker(*options, images[name], "-c", WRITABLE).stdout))
    assert found["65532"] <= TEMPORARY
    # The same look as root sees far more, so the one above can fail.
    assert "/app" in found["0"]
    record_property("S2", f"{name}: {len(found['65532'])} folders of {len(found['0'])} that root may write to")


@pytest.mark.row("S19", "no index, proxy, login or token in the history and the environment of any image of ours")
@pytest.mark.parametrize("name", ALL)
def test_no_index_proxy_or_secret_is_in_the_history(
    images: dict[str, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", images[name]).stdout
    environment = docker("image", "inspect", "-f", "{{json .Config.Env}}", images[name]).stdout
    assert "compileall" in history
    for word in ("http:", "https:", "index", "proxy", "token", "pip install"):
        assert word not in (history + environment).lower(), word
    record_property("S19", f"{name}: 0 hits in {len(history.splitlines())} steps")


@pytest.mark.row("S18", "the bill of materials in an image names every distribution that is in it")
@pytest.mark.parametrize("name", ALL)
def test_the_bill_of_materials_names_what_is_inside(
    images: dict[str, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    read = "print(open('/usr/share/doc/podium/sbom.json').read())"
    bill = json.loads(inside(images[name], read).stdout)
    tag = images[name].rpartition(":")[2]
    assert bill["metadata"]["component"] == {"type": "container", "bom-ref": name, "name": name, "version": tag}
    assert bill == json.loads((ROOT / ".podium" / "sbom" / f"{name}-{tag}.json").read_text())
    listed = {(part["name"], part["version"]) for part in bill["components"]}
    seen = {(found, version) for found, version in json.loads(inside(images[name], DISTRIBUTIONS).stdout)}
    assert len(seen) > 5
    assert seen <= listed
    record_property("S18", f"{name}: {len(seen)} distributions, {len(listed)} parts")
    assert {"libc6", "libssl3", "python3.11-minimal"} <= {part for part, _ in listed}
    if name == "loadtest":
        assert {"go.k6.io/k6/v2", "github.com/tsenart/vegeta/v12"} <= {part for part, _ in listed}


@pytest.mark.parametrize("name", ALL)
def test_no_byte_code_is_missing_or_compared_with_its_source(images: dict[str, str], name: str) -> None:
    sources, bad = json.loads(inside(images[name], BYTE_CODE).stdout)
    assert sources > 50
    assert bad == []


@pytest.mark.parametrize("name", PREDICTORS)
def test_an_engine_reports_its_use_to_nobody(images: dict[str, str], name: str) -> None:
    engine = {"predictor-ort": "onnxruntime", "predictor-openvino": "openvino"}[name]
    # What reports starts threads of its own, or complains where it cannot keep an identifier.
    program = f"{importing(engine)}, os; print(len(os.listdir('/proc/self/task')))"
    done = inside(images[name], program)
    assert (done.stdout.strip(), done.stderr) == ("1", "")
    if name == "predictor-ort":
        reporting = inside(images[name], program, "--env", "ORT_DISABLE_TELEMETRY=")
        assert reporting.stdout.strip() != "1" or reporting.stderr


def test_the_load_generators_run_restricted(images: dict[str, str]) -> None:
    def run(*words: str) -> Sequence[str]:
        return docker("run", "--rm", *RESTRICTED, "--network", "none", images["loadtest"], *words).stdout

    assert "podium.dev/xk6-hdr" in run("k6", "version")
    assert "Version:" in run("vegeta", "--version")
    assert "usage" in run("python", "-m", "loadtest.cluster_runner", "--help")
    assert "usage" in run("python", "-m", "loadtest.results_server", "--help")


def test_another_command_than_serve_is_refused(images: dict[str, str]) -> None:
    done = docker("run", "--rm", *RESTRICTED, "--entrypoint", "podium", images["predictor-ort"], "race", check=False)
    assert done.returncode == 2
    assert "podium serve" in done.stderr
