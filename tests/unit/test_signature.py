"""Signed artifacts: what is vouched for is served, and each of the others is refused by its name."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from podium.cli import run
from predictors.errors import ArtifactError, PredictorError
from predictors.manifest import SIGNATURE, address_of, file_entries, read_variant, verify_files
from predictors.server.origin import find_origin
from predictors.server.settings import Settings, effective
from predictors.signature import (
    Signature,
    SignatureError,
    check_signature,
    make_key,
    next_version,
    read_signature,
    sign,
)
from predictors.store import Store
from tests.artifacts import vector_artifact

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return vector_artifact(tmp_path / "artifact")


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "key.pem"
    return path, make_key(path)


def settings(folder: Path, **changes: object) -> Settings:
    return Settings.model_validate({"variant": str(folder), "cpus": 1.0, **changes})


def test_what_was_signed_is_checked_and_served(folder: Path, key: tuple[Path, str]) -> None:
    address, entries = address_of(folder), file_entries(folder)
    signed, public = sign(folder, key[0], version=3)
    assert public == key[1]
    assert check_signature(folder, public, least_version=3) == signed == read_signature(folder)
    # The signature is outside of what it signs, and no file too many.
    assert (address_of(folder), file_entries(folder)) == (address, entries)
    verify_files(folder, read_variant(folder))
    origin = find_origin(settings(folder, verify_key=public, least_version=3))
    assert origin.model is not None


def flipped(folder: Path) -> None:
    path = next(path for path in folder.iterdir() if path.suffix == ".onnx")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def resigned(folder: Path) -> None:
    """Claim a newer version without the key."""
    content = json.loads((folder / SIGNATURE).read_text())
    (folder / SIGNATURE).write_text(json.dumps({**content, "version": 9}))


def swapped(folder: Path) -> None:
    """Put the signature of this artifact beside another one."""
    kept = (folder / SIGNATURE).read_bytes()
    shutil.rmtree(folder)
    vector_artifact(folder, name="other")
    (folder / SIGNATURE).write_bytes(kept)


def covered(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    (folder / SIGNATURE).mkdir()


def foreign(folder: Path) -> None:
    path = folder.parent / "foreign.pem"
    make_key(path)
    sign(folder, path, version=3)


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no signature": (lambda folder: (folder / SIGNATURE).unlink(), "unsigned"),
    "a folder in its place": (covered, "unsigned"),
    "no JSON": (lambda folder: (folder / SIGNATURE).write_text("{"), "damaged"),
    "another key": (foreign, "foreign-key"),
    "a version that nobody signed": (resigned, "foreign-key"),
    "one bit": (flipped, "other-artifact"),
    "one more file": (lambda folder: (folder / "more").write_text("x"), "other-artifact"),
    "another artifact": (swapped, "other-artifact"),
    "an older version": (lambda _folder: None, "rolled-back"),
}


@pytest.mark.row("S17", "none, damaged, another key, a bit, a file more, another artifact, an older version: refused")
@pytest.mark.parametrize("what", PLANTED)
def test_each_fault_is_refused_by_its_name_before_anything_is_loaded(
    folder: Path, key: tuple[Path, str], what: str, record_property: Callable[[str, object], None]
) -> None:
    sign(folder, key[0], version=3)
    plant, name = PLANTED[what]
    least = 4 if name == "rolled-back" else 2
    # The control: before the fault is planted, the same check passes.
    assert check_signature(folder, key[1], least_version=min(least, 3)).version == 3
    plant(folder)
    with pytest.raises(SignatureError, match=f"^{name}: ") as caught:
        check_signature(folder, key[1], least_version=least)
    assert (caught.value.name, isinstance(caught.value, ArtifactError)) == (name, True)
    with pytest.raises(SignatureError, match=f"^{name}: "):
        find_origin(settings(folder, verify_key=key[1], least_version=least))
    record_property("S17", f"{what}: {name}")
    # The other control: whoever does not ask for signatures gets as far as the loader, whatever it then says.
    find_origin(settings(folder))


def test_a_bare_model_has_nobody_who_vouches_for_it(folder: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    bare = tmp_path / "bare.onnx"
    shutil.copy(next(path for path in folder.iterdir() if path.suffix == ".onnx"), bare)
    with pytest.raises(SignatureError, match=r"^unsigned: .* is a bare model file"):
        find_origin(settings(bare, verify_key=key[1]))
    assert find_origin(settings(bare)) is not None


def test_a_version_grows_over_all_artifacts_of_a_variant(folder: Path, key: tuple[Path, str], tmp_path: Path) -> None:
    other = vector_artifact(tmp_path / "newer", work=3)
    foreign_one = vector_artifact(tmp_path / "foreign", name="other")
    folders = (folder, other, foreign_one)
    name = read_variant(folder).id
    assert next_version(name, folders) == 1
    sign(folder, key[0], version=5)
    sign(foreign_one, key[0], version=70)
    assert next_version(name, folders) == 6


def test_a_key_is_made_once_and_for_its_owner_only(key: tuple[Path, str], folder: Path) -> None:
    assert stat.S_IMODE(key[0].stat().st_mode) == 0o600
    before = key[0].read_bytes()
    with pytest.raises(PredictorError, match="is there already"):
        make_key(key[0])
    assert key[0].read_bytes() == before
    # What OpenSSL says of it, where there is one.
    openssl = shutil.which("openssl")
    if openssl:
        done = subprocess.run([openssl, "pkey", "-in", str(key[0]), "-noout", "-text"], capture_output=True, text=True)
        assert "ED25519" in done.stdout.upper()


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_without_a_word_of_it(folder: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "none.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PredictorError) as caught:
        sign(folder, path, version=1)
    assert "hunter2" not in str(caught.value)
    assert "openssl genpkey" in caught.value.hint


def test_a_key_of_another_kind_and_one_that_is_none_are_refused(folder: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    path = tmp_path / "other.pem"
    form = serialization.PrivateFormat.PKCS8
    other = X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    with pytest.raises(PredictorError, match="another kind than Ed25519"):
        sign(folder, path, version=1)
    for text in ("ed25519:AAAA", "ed25519:!"):
        with pytest.raises(PredictorError, match="is none"):
            check_signature(folder, text)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"PREDICTOR_VERIFY_KEY": "secret"}, "verify_key"), ({"PREDICTOR_LEAST_VERSION": "3"}, "needs verify_key")],
)
def test_settings_that_would_check_nothing_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(PredictorError, match=said):
        effective({"variant": "x", "cpus": 1}, given)


def test_the_command_makes_a_key_signs_and_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    store = Store(tmp_path / "store")
    staged = store.staging()
    shutil.rmtree(staged)
    shutil.copytree(folder, staged)
    stored = store.put(staged)
    pem = tmp_path / "k.pem"
    assert run(["sign", "--make-key", str(pem)]) == 0
    public = capsys.readouterr().out.strip()
    words = ["sign", stored.id, "--key", str(pem), "--store", str(store.root)]
    assert run(words) == 0
    assert public in capsys.readouterr().out
    assert run([*words, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["version"], document["key"], document["address"]) == (2, public, stored.address)
    assert isinstance(check_signature(stored.folder, public), Signature)
    assert run(["sign", stored.id]) == 2
    assert run([*words, "--make-key", str(pem)]) == 2
    assert run(["sign", "--make-key", str(tmp_path / "j.pem"), "-o", "json"]) == 0
