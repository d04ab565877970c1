"""The image builder from outside: what is made, what is made anew, and what is said when something is missing.

Docker and mmdebstrap are stand-ins that note what they were told and keep images by name; uv installs a real wheel.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from predictors.errors import BuildError
from predictors.images import base, build, rootfs
from predictors.images.base import base_image
from predictors.images.build import build_images
from predictors.images.catalog import IMAGES, Image
from predictors.images.context import find_uv
from predictors.images.docker import is_published, pull, require
from tests.loads import program

pytestmark = pytest.mark.unit

# It answers as Docker does; `docker.json` beside it says what there is, what a registry has, and what fails.
DOCKER = """
import json, pathlib, sys
here = pathlib.Path(__file__).with_name("docker.json")
known, words = json.loads(here.read_text()), sys.argv[1:]
known["told"].append(words)
def end(text="", code=0):
    here.write_text(json.dumps(known))
    print(text)
    sys.exit(code)
if words[0] in known["fails"]:
    sys.stderr.write("no space left on device")
    end(code=1)
if words[0] == "version":
    end("29.0")
if words[:2] == ["image", "inspect"]:
    found = known["images"].get(words[2])
    end(json.dumps([{"Id": found, "Size": known["size"]}]) if found else "", 0 if found else 1)
if words[:2] == ["manifest", "inspect"]:
    end(code=0 if words[2] in known["published"] else 1)
if words[0] == "pull":
    known["images"][words[-1]] = "sha256:pulled"
if words[0] == "build":
    known["images"][words[words.index("-t") + 1]] = f"sha256:{len(known['told'])}"
    if (bill := pathlib.Path(words[-1], "sbom.json")).is_file():
        known["bills"][words[words.index("-t") + 1]] = bill.read_text()
if words[0] == "create":
    end(words[1])
if words[0] == "cp":
    image, _, path = words[1].rpartition(":")
    assert path == "/usr/share/doc/podium/sbom.json"
    pathlib.Path(words[2]).write_text(known["bills"][image])
if words[0] == "import":
    known["images"][words[-1]] = f"sha256:{len(known['told'])}"
if words[0] == "run":
    end("Package: libc6\\nVersion: 2.36-9\\n")
end()
"""
MMDEBSTRAP = """
import io, sys, tarfile
if {fails}:
    sys.exit("E: no archive answers")
with tarfile.open(next(word for word in sys.argv if word.endswith(".tar")), "w") as out:
    for name, content in (("./usr/bin/python3.11", b"elf"), ("./usr/bin/dpkg", b"elf")):
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        out.addfile(entry, io.BytesIO(content))
"""


class Docker:
    """The stand-in, seen from a test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "docker.json"
        self.set(images={}, bills={}, published=[], fails=[], told=[], size=1 << 20)
        program(folder, DOCKER, "docker")

    def set(self, **content: object) -> None:
        known = json.loads(self._file.read_text()) if self._file.is_file() else {}
        self._file.write_text(json.dumps(known | content))

    def told(self, *verb: str) -> list[list[str]]:
        """Return the commands that begin so."""
        commands: list[list[str]] = json.loads(self._file.read_text())["told"]
        return [words for words in commands if words[: len(verb)] == list(verb)]

    @property
    def images(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._file.read_text())["images"]
        return found


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "cache"))
    # The machine's own list is none of the stand-in's business.
    monkeypatch.setattr(rootfs, "_HOST_SOURCES", tmp_path / "debian.sources")
    program(tools, MMDEBSTRAP.format(fails=False), "mmdebstrap")
    return Docker(tools)


def wheel(folder: Path) -> Path:
    """Write a wheel with what an image needs of it, and what it does not."""
    path = folder / "demo-1.0-py3-none-any.whl"
    content = {
        "demo/__init__.py": "",
        "demo/typed.pyi": "",
        "demo/tests/test_demo.py": "",
        "demo-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nLicense: MIT\n",
        "demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in content) + "demo-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**content, "demo-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one image of each shape: one with a launcher, and one with programs."""
    root = tmp_path / "project"
    found = wheel(tmp_path)
    digest = hashlib.sha256(found.read_bytes()).hexdigest()
    content = {
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "served/a.py": "a = 1\n",
        "launch.py": "start\n",
        ".podium/bin/k6": "binary",
        "loadtest/xk6-hdr/go.mod": "require go.k6.io/k6/v2 v2.2.0\n",
        **{f"predictors/images/{name}.py": name for name in ("catalog", "context", "sbom")},
    }
    for image in images():
        content |= {image.dockerfile: "FROM base", image.requirements: f"{found} --hash=sha256:{digest}\n"}
    for name, text in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setenv("UV_OFFLINE", "1")
    return root


def images() -> tuple[Image, Image]:
    server = replace(IMAGES[0], code=("served/*.py",), launcher=("launch.py", "podium"))
    load = next(image for image in IMAGES if image.name == "loadtest")
    return server, replace(load, code=("served/*.py",), programs=("k6",))


@pytest.fixture
def uv() -> str:
    try:
        return find_uv()
    except BuildError as error:
        pytest.skip(f"{error}: {error.hint}")


def altered(wheel: Path) -> Path:
    """Put one more module into a wheel, as whoever can write to an index might."""
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("demo/more.py", "print('more')\n")
    return wheel


@pytest.mark.row("S18", "a package of another content than its hash: nothing is installed and no image is made")
def test_another_package_under_the_same_name_makes_no_image(
    docker: Docker, project: Path, uv: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    found = altered(next(tmp_path.glob("demo-*.whl")))
    with pytest.raises(BuildError, match="cannot be installed") as caught:
        build_images(images(), root=project)
    assert "hash" in caught.value.hint.lower()
    (project / images()[0].requirements).write_text(f"{found}\n")
    with pytest.raises(BuildError, match="cannot be installed"):
        build_images(images(), root=project)
    assert not any("predictor" in name for name in docker.images)
    record_property("S18", "an altered package and one without a hash: refused")


@pytest.mark.control("S18")
def test_without_hashes_the_other_package_is_installed(project: Path, uv: str, tmp_path: Path) -> None:
    found = altered(next(tmp_path.glob("demo-*.whl")))
    subprocess.run([uv, "pip", "install", "--quiet", "--target", str(tmp_path / "in"), str(found)], check=True)
    assert (tmp_path / "in" / "demo" / "more.py").is_file()


def test_images_are_made_of_packages_code_and_programs_and_listed(
    docker: Docker, project: Path, uv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = build_images(images(), root=project)
    assert made.keys() == {"predictor-ort", "loadtest"}
    assert set(made.values()) <= docker.images.keys()
    assert json.loads((project / ".podium/images.json").read_text()) == made
    server, load = project / ".podium/images/predictor-ort", project / ".podium/images/loadtest"
    installed = {str(path.relative_to(server / "packages")) for path in (server / "packages").rglob("*.py*")}
    assert installed == {"demo/__init__.py"}
    assert (server / "code/served/a.py").read_text() == "a = 1\n"
    assert os.access(server / "programs/podium", os.X_OK)
    assert (load / "programs/k6").read_text() == "binary"
    assert (load / "programs/python").readlink() == Path("/usr/bin/python3")
    tag = made["loadtest"].rpartition(":")[2]
    bill = json.loads((project / f".podium/sbom/loadtest-{tag}.json").read_text())
    assert {(part["name"], part["version"]) for part in bill["components"]} == {
        ("demo", "1.0"), ("libc6", "2.36-9"), ("go.k6.io/k6/v2", "v2.2.0"), ("podium", "1.2.3"),
    }  # fmt: skip
    # Nothing of a build reaches the network.
    assert all("none" in words for words in docker.told("build"))
    assert "built in" in capsys.readouterr().err


def test_what_is_there_is_not_made_again_and_a_change_is(
    docker: Docker, project: Path, uv: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build_images(images(), root=project)
    count = len(docker.told("build"))
    assert build_images(images(), root=project) == first
    assert len(docker.told("build")) == count
    assert "unchanged" in capsys.readouterr().err
    (project / "launch.py").write_text("changed\n")
    second = build_images(images()[:1], root=project)
    assert len(docker.told("build")) == count + 1
    assert (second["loadtest"], second["predictor-ort"] != first["predictor-ort"]) == (first["loadtest"], True)


def test_an_image_of_another_clone_is_taken_with_its_bill(docker: Docker, project: Path, uv: str) -> None:
    made = build_images(images()[:1], root=project)
    (bill,) = (project / ".podium/sbom").iterdir()
    content = bill.read_text()
    bill.unlink()
    count = len(docker.told("build"))
    assert build_images(images()[:1], root=project) == made
    assert len(docker.told("build")) == count
    assert bill.read_text() == content
    assert len(docker.told("create")) == len(docker.told("rm"))


def test_an_image_that_is_too_large_and_a_build_that_fails_are_told(docker: Docker, project: Path, uv: str) -> None:
    docker.set(size=400_000_000)
    with pytest.raises(BuildError, match="predictor-ort has 400 MB, more than the 350 MB") as large:
        build_images(images()[:1], root=project)
    assert "packages for what it does not need" in large.value.hint
    assert not (project / ".podium/images.json").exists()
    docker.set(images={}, fails=["build"])
    with pytest.raises(BuildError, match="`docker build` failed") as failed:
        build_images(images()[:1], root=project)
    assert failed.value.hint == "no space left on device"


def test_packages_whose_digest_is_not_the_pinned_one_are_refused(docker: Docker, project: Path, uv: str) -> None:
    build_images(images()[:1], root=project)
    pinned = project / images()[0].requirements
    before = pinned.read_text()
    pinned.write_text(before.replace("sha256:", "sha256:0")[:-2] + "\n")
    with pytest.raises(BuildError, match=r"the packages of predictor-ort\.txt cannot be installed"):
        build_images(images()[:1], root=project)
    # What was half installed is not taken for whole the next time.
    pinned.write_text(before)
    docker.set(images={})
    build_images(images()[:1], root=project)
    assert (project / ".podium/images/predictor-ort/packages/demo/__init__.py").is_file()


def test_without_docker_a_daemon_or_uv_it_says_what_to_do(
    tmp_path: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.set(fails=["version"])
    with pytest.raises(BuildError, match="no Docker daemon answers"):
        require()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(BuildError, match="there is no docker command") as raised:
        require()
    assert "cluster-up" in raised.value.hint
    with pytest.raises(BuildError, match="there is no uv") as lacking:
        find_uv(tmp_path)
    assert lacking.value.hint == "run ./scripts/setup"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--only", "tensorflow"], 2, "there is no image tensorflow; there are predictor-ort"),
        (["--only", "loadtest"], 4, "error: no Docker daemon answers\n  → start it"),
    ],
)
def test_the_command_ends_with_a_sentence_and_a_code(
    docker: Docker, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.set(fails=["version"])
    try:
        ended: object = build.main(words)
    except SystemExit as stop:
        ended = stop.code
    assert ended == code
    assert said in capsys.readouterr().err


@pytest.fixture
def said() -> list[str]:
    return []


def test_the_base_is_upstreams_where_a_registry_has_it(docker: Docker, said: list[str]) -> None:
    docker.set(published=[base.upstream_pin()])
    made = base_image(None, said.append)
    assert [words[-1] for words in docker.told("pull")] == [base.upstream_pin()]
    assert base_image(None, said.append) == made
    assert (len(docker.told("build")), len(docker.told("pull"))) == (1, 1)
    assert not docker.told("import")


def test_without_a_registry_the_base_is_made_of_debian_packages_once(
    docker: Docker, said: list[str], tmp_path: Path
) -> None:
    made = base_image(None, said.append)
    assert said[0].startswith("no registry is in reach")
    (tar,) = (tmp_path / "cache/images").glob("rootfs-*.tar")
    with tarfile.open(tar) as content:
        names = content.getnames()
    assert "./usr/bin/python3.11" in names
    assert "./usr/bin/dpkg" not in names
    asked = len(docker.told("manifest"))
    docker.set(published=[base.upstream_pin()])
    assert base_image(None, said.append) == made
    # What was made before is taken again, and no registry is asked.
    assert len(docker.told("manifest")) == asked
    assert len(docker.told("import")) == 1


def test_a_base_of_ones_own_is_known_by_its_content_and_not_by_its_tag(docker: Docker, said: list[str]) -> None:
    docker.set(images={"mine:latest": "sha256:one"})
    first = base_image("mine:latest", said.append)
    docker.set(images={"mine:latest": "sha256:two"})
    assert base_image("mine:latest", said.append) != first
    docker.set(fails=["pull"], images={})
    with pytest.raises(BuildError, match="`docker pull` failed for mine:latest"):
        base_image("mine:latest", said.append)


def test_without_mmdebstrap_or_an_archive_the_base_is_refused_and_nothing_is_left(
    docker: Docker, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "tools", MMDEBSTRAP.format(fails=True), "mmdebstrap")
    with pytest.raises(BuildError, match="the Debian packages of the base image cannot be unpacked") as refused:
        base_image(None, said.append)
    assert refused.value.hint == "E: no archive answers"
    assert list((tmp_path / "cache").rglob("*.tar")) == []
    (tmp_path / "tools" / "mmdebstrap").unlink()
    monkeypatch.setattr(rootfs.shutil, "which", lambda _name: None)  # type: ignore[attr-defined]
    with pytest.raises(BuildError, match="mmdebstrap is missing") as missing:
        base_image(None, said.append)
    assert missing.value.hint == "apt-get install mmdebstrap"


def test_a_pull_or_a_look_that_takes_too_long_is_no_answer(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks until it is killed.
    program(tmp_path / "tools", "import signal\nsignal.pause()\n", "docker")
    monkeypatch.setattr("predictors.images.docker._PULL_S", 0.2)
    monkeypatch.setattr("predictors.images.docker._PROBE_S", 0.2)
    with pytest.raises(BuildError, match=r"big:1 did not arrive within 0\.2 s"):
        pull("big:1")
    assert is_published("big:1") is False


def test_a_tar_without_what_is_wanted_is_an_empty_root(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as source:
        source.addfile(tarfile.TarInfo("./usr/bin/dpkg"))
    stream.seek(0)
    target = io.BytesIO()
    with tarfile.open(fileobj=stream) as source, tarfile.open(fileobj=target, mode="w") as out:
        rootfs.copy(source, out)
    target.seek(0)
    with tarfile.open(fileobj=target) as made:
        assert set(made.getnames()) == {
            "etc/ssl/certs/ca-certificates.crt", "etc/passwd", "etc/group", "etc/nsswitch.conf",
        }  # fmt: skip
