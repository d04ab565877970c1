"""Who vouches for an artifact: an Ed25519 signature over its address, its name and a version that only grows.

The address is the digest of every byte of the folder, so that nothing of it can be exchanged; the version keeps an
older artifact, which was signed once too, from coming back. `signature.json` lies beside the manifest, outside the
address. Keys are those of OpenSSL (`openssl genpkey -algorithm ed25519`); what checks is the text `ed25519:<base64>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, ValidationError

from predictors.errors import ArtifactError, PredictorError
from predictors.manifest import SIGNATURE, address_of, read_variant
from predictors.strict import Strict, problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "KEY_FORM",
    "Signature",
    "SignatureError",
    "check_signature",
    "make_key",
    "next_version",
    "public_text",
    "read_signature",
    "sign",
]

KEY_FORM: Final = r"^ed25519:[A-Za-z0-9+/]{43}=$"
_PREFIX = "ed25519:"
_MOST_BYTES = 64 << 10
_SIGN_IT = "podium sign VARIANT --key KEY.pem, by whom the platform trusts"


class SignatureError(ArtifactError):
    """Nobody vouches for the artifact as it is.

    Attributes:
        name: `unsigned`, `damaged`, `foreign-key`, `other-artifact` or `rolled-back`.
    """

    def __init__(self, name: str, sentence: str, hint: str = "") -> None:
        super().__init__(f"{name}: {sentence}", hint)
        self.name = name


class Signature(Strict):
    """The whole of `signature.json`."""

    schema_: Literal["podium.dev/signature/v1"] = Field(default="podium.dev/signature/v1", alias="schema")
    id: str = Field(min_length=1, max_length=30)
    model: str = Field(min_length=1, max_length=63)
    address: str = Field(pattern=r"^[0-9a-f]{64}$")
    version: int = Field(ge=1, le=2**53, description="Larger than that of every artifact before it.")
    key: str = Field(pattern=r"^[0-9a-f]{16}$", description="Begin of the digest of the key that checks it.")
    signature: str = Field(min_length=88, max_length=88)

    def message(self) -> bytes:
        """Return what is signed: the same text for the same facts."""
        facts = {"address": self.address, "id": self.id, "model": self.model, "version": self.version}
        return b"podium.dev/signature/v1\n" + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def make_key(path: Path) -> str:
    """Make a new key, readable by its owner only, and return the text that checks what it signs.

    Raises:
        PredictorError: there is something at that place already.
        OSError: the folder cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise PredictorError(
            f"{path} is there already", "name a new file: a key that is lost cannot be made again"
        ) from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(text)
    return public_text(made.public_key())


def next_version(variant_id: str, folders: Iterable[Path]) -> int:
    """Return the version after all that were signed for a variant among some artifacts."""
    versions = [0]
    for folder in folders:
        with suppress(SignatureError):
            found = read_signature(folder)
            if found.id == variant_id:
                versions.append(found.version)
    return max(versions) + 1


def sign(folder: Path, key_file: Path, *, version: int) -> tuple[Signature, str]:
    """Sign an artifact, and return the signature and the text that checks it.

    Args:
        folder: of the artifact.
        key_file: PEM of an Ed25519 key without a password.
        version: of this artifact; see `next_version`.

    Raises:
        PredictorError: the key cannot be used.
        ArtifactError: the artifact cannot be read.
    """
    key = _private(key_file)
    variant = read_variant(folder)
    public = public_text(key.public_key())
    blank = Signature(
        id=variant.id,
        model=variant.model.name,
        address=address_of(folder),
        version=version,
        key=_fingerprint(public),
        signature="=" * 88,
    )
    signed = blank.model_copy(update={"signature": base64.b64encode(key.sign(blank.message())).decode()})
    # Beside the folder: in it, a server that starts now would find a file that nobody lists.
    draft = folder.parent / f".{folder.name}.{SIGNATURE}"
    draft.write_text(json.dumps(signed.model_dump(by_alias=True), indent=1) + "\n", encoding="utf-8")
    draft.replace(folder / SIGNATURE)
    return signed, public


def read_signature(folder: Path) -> Signature:
    """Read an artifact's signature, which proves nothing yet.

    Raises:
        SignatureError: there is none, or it is damaged.
    """
    path = folder / SIGNATURE
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        return Signature.model_validate_json(data)
    except FileNotFoundError as error:
        raise SignatureError("unsigned", f"{folder} has no {SIGNATURE}", _SIGN_IT) from error
    except OSError as error:
        raise SignatureError("unsigned", f"{path} cannot be read: {error.strerror}", "check its rights") from error
    except ValidationError as error:
        raise SignatureError("damaged", f"{path}: {problem(error)}", _SIGN_IT) from error


def check_signature(folder: Path, key: str, *, least_version: int = 0) -> Signature:
    """Prove that whoever has the key's other half signed this artifact, as it is, and no older one.

    Args:
        folder: of the artifact; every byte of it is read.
        key: as `ed25519:<base64>`.
        least_version: a smaller one is refused.

    Raises:
        SignatureError: nobody vouches for it; `name` says why.
        PredictorError: the key is none.
    """
    from cryptography.exceptions import InvalidSignature

    public = _public(key)
    found = read_signature(folder)
    if found.key != _fingerprint(key):
        raise SignatureError(
            "foreign-key", f"{folder} is signed with the key {found.key}, not {_fingerprint(key)}", _SIGN_IT
        )
    try:
        public.verify(base64.b64decode(found.signature, validate=True), found.message())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureError(
            "foreign-key", f"{folder} bears a signature that its key did not make", _SIGN_IT
        ) from error
    address = address_of(folder)
    if found.address != address:
        raise SignatureError(
            "other-artifact",
            f"{folder} is {address[:12]}, and {found.address[:12]} was signed",
            "copy the artifact again",
        )
    if found.version < least_version:
        raise SignatureError(
            "rolled-back",
            f"{found.id} is version {found.version}, and {least_version} is the least",
            "serve a newer artifact, or lower the least version",
        )
    return found


def public_text(key: Ed25519PublicKey) -> str:
    """Return a key that checks, as text."""
    return _PREFIX + base64.b64encode(key.public_bytes_raw()).decode()


def _public(text: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError) as error:
        raise PredictorError(
            "the key that checks signatures is none", "write it as podium sign prints it: ed25519:…"
        ) from error


def _private(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "openssl genpkey -algorithm ed25519 -out key.pem, or podium sign --make-key key.pem"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise PredictorError(f"{path} cannot be read: {error.strerror}", hint) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # What the library says may repeat a part of the file.
        raise PredictorError(f"{path} is no key without a password, in PEM", hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PredictorError(f"{path} is a key of another kind than Ed25519", hint)
    return key


def _fingerprint(public: str) -> str:
    return hashlib.sha256(public.encode()).hexdigest()[:16]
