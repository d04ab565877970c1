"""A bare model: one ONNX or OpenVINO file without a manifest, as plain KServe users bring it.

Nothing vouches for it: there is no digest to compare, no golden answer, no preprocessing and no label. What
it takes is read off the graph by the engine, so this module only finds the file and names it.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from predictors.errors import ArtifactError
from predictors.manifest import MANIFEST, GraphTensor, RuntimeSpec

__all__ = ["BareFile", "BareModel", "find_bare"]

_KINDS = "*.onnx, or *.xml with its *.bin"
_REMEDY = "put exactly one model file there, or name the file itself"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class BareFile:
    """A model file, what belongs to it, and the engine that reads it; `name` is what URLs call it by default."""

    path: Path
    files: tuple[Path, ...]
    engine: str
    name: str

    def address(self) -> str:
        """Digest names and bytes of the files; 64 hexadecimal digits."""
        total = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            total.update(f"{path.name}\0{path.stat().st_size}\0{digest}\n".encode())
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class BareModel:
    """What a server knows of a bare model once the engine has read it, in the words of a manifest.

    Attributes:
        is_batched: Whether the first dimension of every tensor is an open batch whose items do not
            influence each other. If not, requests are computed one by one, in the graph's own shapes.
    """

    id: str
    runtime: RuntimeSpec
    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    is_batched: bool
    precision: str = "unknown"
    labels: tuple[str, ...] = ()
    preprocessing: None = None


def find_bare(text: str) -> BareFile | None:
    """Find the model file that `text` names: the file, or the folder that holds no manifest and only this one.

    None where `text` is no path, or the folder has a manifest, which is then what counts.

    Raises:
        ArtifactError: The folder holds no model file or several, or the file is of no known kind.
    """
    path = Path(text)
    if "/" not in text and path.suffix not in (".onnx", ".xml") and text not in (".", ".."):
        return None
    if path.is_file():
        return _named(path)
    if not path.is_dir() or (path / MANIFEST).is_file():
        return None
    found = sorted(item for item in path.iterdir() if item.suffix in (".onnx", ".xml") and item.is_file())
    if not found:
        raise ArtifactError(f"{path} holds neither {MANIFEST} nor a model file ({_KINDS})", _held(path))
    if len(found) > 1:
        names = ", ".join(item.name for item in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ArtifactError(f"{path} holds {len(found)} model files and no {MANIFEST}: {names}{more}", _REMEDY)
    return _named(found[0])


def _named(path: Path) -> BareFile:
    name = path.stem if path.stem != "model" else path.resolve().parent.name
    name = _NOT_IN_A_NAME.sub("-", name)[:_MAX_NAME].strip("-.") or "model"
    # A claim's file that is mounted by itself lies at the mount's own path, which has no suffix.
    if path.suffix in (".onnx", ""):
        return BareFile(path, (path,), "ort", name)
    if path.suffix == ".xml":
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ArtifactError(f"{path} has no {weights.name} beside it", "copy both files of the OpenVINO model")
        return BareFile(path, (path, weights), "openvino", name)
    raise ArtifactError(f"{path} is no model file ({_KINDS})", "name an artifact folder or a model file")


def _held(path: Path) -> str:
    held: Sequence[str] = sorted(item.name for item in path.iterdir())
    there = f"it holds {', '.join(held[:5])}" if held else "it is empty"
    return f"{there}; build a variant with `podium build`, or {_REMEDY}"
