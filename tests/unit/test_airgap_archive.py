"""The archives of images that are written by hand are what Docker's own format says."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from k8s.airgap import archive


def written(folder: Path, images: list[archive.Image], layers: dict[str, archive.Layer]) -> dict[str, bytes]:
    target = folder / "images.tar"
    archive.write(images, layers, target)
    with tarfile.open(target) as tar:
        return {member.name: stream.read() for member in tar if (stream := tar.extractfile(member)) is not None}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program"
    file.write_bytes(b"\x7fELF")
    return file


def layers_of(program: Path) -> dict[str, archive.Layer]:
    entries = {
        "/usr/local/bin/program": archive.Entry(program),
        "/usr/local/bin/alias": archive.Entry(link="program"),
        "/scratch": archive.Entry(mode=0o1777),
    }
    return {"main": archive.Layer(entries), "other": archive.Layer({"/etc": archive.Entry()})}


def test_every_name_finds_its_config_and_every_config_its_layers(tmp_path: Path, program: Path) -> None:
    images = [
        archive.Image("example.invalid/a:1", ["main"], ["/usr/local/bin/program"], user="65532"),
        archive.Image("example.invalid/b:1", ["main", "other"], ["/usr/local/bin/alias"]),
    ]
    files = written(tmp_path, images, layers_of(program))
    manifest = json.loads(files["manifest.json"])
    assert [entry["RepoTags"] for entry in manifest] == [["example.invalid/a:1"], ["example.invalid/b:1"]]
    for entry, image in zip(manifest, images, strict=True):
        config = json.loads(files[entry["Config"]])
        assert entry["Config"] == hashlib.sha256(files[entry["Config"]]).hexdigest() + ".json"
        assert config["config"]["Entrypoint"] == list(image.entrypoint)
        assert config["config"]["User"] == image.user
        digests = [f"sha256:{hashlib.sha256(files[layer]).hexdigest()}" for layer in entry["Layers"]]
        assert config["rootfs"]["diff_ids"] == digests
        assert len(entry["Layers"]) == len(image.layers)


def test_a_layer_that_two_images_share_is_written_once(tmp_path: Path, program: Path) -> None:
    images = [archive.Image(f"example.invalid/{name}:1", ["main"], ["/x"]) for name in "ab"]
    files = written(tmp_path, images, {"main": layers_of(program)["main"]})
    assert len([name for name in files if name.endswith("layer.tar")]) == 1
    assert len({entry["Config"] for entry in json.loads(files["manifest.json"])}) == 2, "two names, two images"


def test_a_layer_holds_files_links_and_the_folders_above_them(program: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive.write_layer(layers_of(program)["main"]))) as tar:
        members = {member.name: member for member in tar}
        assert list(members) == [
            "scratch",
            "usr",
            "usr/local",
            "usr/local/bin",
            "usr/local/bin/alias",
            "usr/local/bin/program",
        ]
        assert members["scratch"].mode == 0o1777
        assert members["usr/local/bin/alias"].linkname == "program"
        assert members["usr/local/bin/program"].mode == 0o755
        assert {member.uid for member in members.values()} == {0}
        assert {member.mtime for member in members.values()} == {0}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, program: Path) -> None:
    images = [archive.Image("example.invalid/a:1", ["main"], ["/x"])]
    archive.write(images, layers_of(program), tmp_path / "1.tar")
    archive.write(images, layers_of(program), tmp_path / "2.tar")
    first = (tmp_path / "1.tar").read_bytes()
    assert first == (tmp_path / "2.tar").read_bytes()
    program.write_bytes(b"another")
    archive.write(images, layers_of(program), tmp_path / "3.tar")
    assert first != (tmp_path / "3.tar").read_bytes()


def test_an_unknown_layer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        archive.write([archive.Image("example.invalid/a:1", ["nothing"], ["/x"])], {}, tmp_path / "x.tar")
