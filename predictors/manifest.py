"""The manifest of a variant artifact, and the digests that hold its folder together.

`read_variant` parses, `verify_files` proves that the folder holds exactly the files that the manifest
lists, and `address_of` is the name that the store files it under. Nothing here loads a model: these checks
come before any engine touches a byte. What depends on a machine lies under `measured/`, outside both digest
and address, and so does `signature.json`, which vouches for them.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from predictors.errors import ArtifactError, ManifestError
from predictors.strict import Strict, problem

__all__ = [
    "MANIFEST",
    "MEASURED",
    "SIGNATURE",
    "DType",
    "FileEntry",
    "Golden",
    "GraphTensor",
    "ModelIdentity",
    "Ops",
    "PreprocessingSpec",
    "RecipeStep",
    "Requirements",
    "RuntimeSpec",
    "TensorSpec",
    "Variant",
    "address_of",
    "file_entries",
    "read_variant",
    "verify_files",
    "write_variant",
]

MANIFEST = "variant.yaml"
MEASURED = "measured"
SIGNATURE = "signature.json"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = 512 << 20
_NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"

DType = Literal[
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]


class GraphTensor(Strict):
    """Name, numpy dtype and shape of one input or output as a graph declares it; -1 is any size."""

    name: str = Field(min_length=1, max_length=256)
    dtype: DType = "float32"
    shape: tuple[Annotated[int, Field(ge=-1)], ...] = Field(max_length=8)

    @property
    def item_elements(self) -> int:
        """Number of elements of one item of the batch, which is the first dimension."""
        return math.prod(self.shape[1:])


class TensorSpec(GraphTensor):
    """Name, numpy dtype and shape of one input or output; -1 in the first place is the batch."""

    shape: tuple[int, ...] = Field(min_length=1, max_length=8)

    @field_validator("shape")
    @classmethod
    def _only_the_batch_is_open(cls, shape: tuple[int, ...]) -> tuple[int, ...]:
        if shape[0] != -1:
            raise ValueError(f"the first dimension is the batch and must be -1, not {shape[0]}")
        if any(size < 1 for size in shape[1:]):
            raise ValueError(f"all dimensions but the first must be at least 1: {list(shape)}")
        return shape


class ModelIdentity(Strict):
    """The model that a variant was made of."""

    name: str = Field(pattern=_NAME, max_length=63)
    version: str = Field(default="1", min_length=1, max_length=63)
    source_digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class RecipeStep(Strict):
    """One transformation and its parameters."""

    name: str = Field(min_length=1)
    params: dict[str, Any] = Field(default_factory=dict)


class RuntimeSpec(Strict):
    """The engine that runs the artifact, the provider it must run on, and the engine's own options."""

    name: str = Field(min_length=1)
    provider: str = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)


class PreprocessingSpec(Strict):
    """The preprocessing contract; `hash` is that of the implementation the artifact was made with."""

    name: str = Field(min_length=1)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    params: dict[str, Any] = Field(default_factory=dict)


class FileEntry(Strict):
    """One file of the artifact, its path relative to the folder."""

    path: str = Field(min_length=1, max_length=512)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)

    @field_validator("path")
    @classmethod
    def _inside_the_folder(cls, path: str) -> str:
        _inside(path)
        return path


class Requirements(Strict):
    """What the machine must have."""

    cpu_features: tuple[str, ...] = ()
    gpu: str | None = None


class Ops(Strict):
    """Operator counts of the graph before and after the recipes."""

    before: dict[str, int] = Field(default_factory=dict)
    after: dict[str, int] = Field(default_factory=dict)


class Golden(Strict):
    """Files (`.npy`) of known inputs and outputs by tensor name, and how far an answer may be off."""

    inputs: dict[str, str] = Field(min_length=1)
    outputs: dict[str, str] = Field(min_length=1)
    rtol: float = Field(ge=0, le=1)
    atol: float = Field(ge=0)

    @field_validator("inputs", "outputs")
    @classmethod
    def _inside_the_folder(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files.values():
            _inside(path)
        return files


class Variant(Strict):
    """The whole of `variant.yaml`."""

    schema_: Literal["podium.dev/variant/v1"] = Field(default="podium.dev/variant/v1", alias="schema")
    id: str = Field(pattern=_NAME, max_length=30)
    model: ModelIdentity
    recipe: tuple[RecipeStep, ...] = ()
    runtime: RuntimeSpec
    precision: str = Field(min_length=1, max_length=16)
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    preprocessing: PreprocessingSpec | None = None
    labels: tuple[str, ...] = ()
    files: tuple[FileEntry, ...] = Field(min_length=1)
    requires: Requirements = Requirements()
    ops: Ops = Ops()
    notes: tuple[str, ...] = Field(default=(), description="What a recipe had to decide by itself.")
    golden: Golden
    tools: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        listed = {entry.path for entry in self.files}
        if len(listed) != len(self.files):
            raise ValueError("files lists a path twice")
        if listed & {MANIFEST, SIGNATURE} or any(path.split("/")[0] == MEASURED for path in listed):
            raise ValueError(f"files must not list {MANIFEST}, {SIGNATURE} or anything under {MEASURED}/")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels name a class twice")
        for kind, specs, files in (
            ("inputs", self.inputs, self.golden.inputs),
            ("outputs", self.outputs, self.golden.outputs),
        ):
            names = [spec.name for spec in specs]
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} name a tensor twice")
            if set(names) != set(files):
                raise ValueError(f"golden.{kind} must name exactly the tensors of {kind}")
            missing = set(files.values()) - listed
            if missing:
                raise ValueError(f"golden.{kind} names {sorted(missing)[0]}, which files does not list")
        return self


def read_variant(folder: Path) -> Variant:
    """Parse the manifest of an artifact folder.

    Raises:
        ManifestError: It is too large, not YAML, or does not say what a manifest must.
        ArtifactError: There is none, or it cannot be read now.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ManifestError(f"{path} is larger than {MAX_MANIFEST_BYTES >> 20} MiB", "rebuild the variant")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder} holds no {MANIFEST}", "build it with `podium build`") from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}", "check the folder and its rights") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} cannot be read: {error}", "rebuild the variant") from error
    try:
        return _parsed(text)
    except yaml.YAMLError as error:
        raise ManifestError(f"{path} is not YAML", "rebuild the variant") from error
    except ValidationError as error:
        is_newer = any(fault["type"] == "extra_forbidden" or fault["loc"] == ("schema",) for fault in error.errors())
        hint = "rebuild the variant, or read it with the release that wrote it" if is_newer else "rebuild the variant"
        raise ManifestError(f"{path}: {problem(error)}", hint, is_newer=is_newer) from error


@lru_cache(maxsize=64)
def _parsed(text: str) -> Variant:
    """Parse a manifest: a build that finds everything in the store reads each of them several times."""
    return Variant.model_validate(yaml.safe_load(text))


def write_variant(folder: Path, variant: Variant) -> None:
    """Write the manifest; the same variant always gives the same bytes."""
    # Servers of an older release know no notes; most variants have none.
    document = variant.model_dump(mode="json", by_alias=True, exclude=None if variant.notes else {"notes"})
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def file_entries(folder: Path) -> tuple[FileEntry, ...]:
    """List every file that the manifest of `folder` must name, sorted by path."""
    return tuple(
        FileEntry(path=name, sha256=_digest(path), bytes=path.stat().st_size)
        for name, path in _files(folder)
        if name != MANIFEST
    )


def address_of(folder: Path) -> str:
    """Digest every path and byte of the folder but `measured/` and the signature; 64 hexadecimal digits."""
    total = hashlib.sha256()
    for name, path in _files(folder):
        total.update(f"{name}\0{path.stat().st_size}\0{_digest(path)}\n".encode())
    return total.hexdigest()


def verify_files(folder: Path, variant: Variant) -> None:
    """Prove that the folder holds exactly the files that the manifest lists, byte for byte.

    Raises:
        ArtifactError: A file is missing, changed or not listed; the sentence names it.
    """
    present: Mapping[str, Path] = dict(_files(folder))
    remedy = "rebuild the variant, or copy it again"
    for entry in variant.files:
        path = present.get(entry.path)
        if path is None:
            raise ArtifactError(f"{variant.id}: {entry.path} is missing in {folder}", remedy)
        size = path.stat().st_size
        if size != entry.bytes:
            raise ArtifactError(f"{variant.id}: {entry.path} has {size} bytes, the manifest says {entry.bytes}", remedy)
        if _digest(path) != entry.sha256:
            raise ArtifactError(f"{variant.id}: {entry.path} differs from the manifest's digest", remedy)
    extra = sorted(set(present) - {entry.path for entry in variant.files} - {MANIFEST})
    if extra:
        raise ArtifactError(f"{variant.id}: {extra[0]} is in {folder} but not in the manifest", remedy)


def _inside(path: str) -> None:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path or str(parts) != path:
        raise ValueError(f"{path!r} is not a plain path inside the folder")


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if relative.parts[0] == MEASURED or relative.parts == (SIGNATURE,):
            continue
        if path.is_symlink():
            raise ArtifactError(f"{path} is a link, and an artifact holds plain files only", "copy the file itself")
        if path.is_file():
            found.append((relative.as_posix(), path))
    return iter(sorted(found))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
