"""Golden answers: known inputs and outputs in the artifact, asked again before a server is ready.

A digest proves that the bytes are the built ones; a golden answer proves that this engine on this machine
computes with them what the builder computed. Arrays are plain `.npy` files and are never unpickled.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.errors import ArtifactError
from predictors.manifest import Golden, TensorSpec, Variant

__all__ = ["check_golden", "read_golden", "write_golden"]

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
_FOLDER = "golden"


def write_golden(folder: Path, inputs: Tensors, outputs: Tensors, *, rtol: float, atol: float) -> Golden:
    """Write the arrays below `golden/` and return the manifest's part; call it before listing the files."""
    (folder / _FOLDER).mkdir(exist_ok=True)
    return Golden(
        inputs=_write(folder, "input", inputs),
        outputs=_write(folder, "output", outputs),
        rtol=rtol,
        atol=atol,
    )


def read_golden(folder: Path, variant: Variant) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    """Load the golden inputs and outputs by tensor name.

    Raises:
        ArtifactError: A file is no `.npy`, or has another dtype or shape than the manifest says.
    """
    inputs = {spec.name: _read(folder, variant.golden.inputs[spec.name], spec) for spec in variant.inputs}
    outputs = {spec.name: _read(folder, variant.golden.outputs[spec.name], spec) for spec in variant.outputs}
    return inputs, outputs


def check_golden(folder: Path, variant: Variant, run: Callable[[Tensors], Tensors]) -> dict[str, npt.NDArray[Any]]:
    """Ask the engine the golden question, and refuse the artifact when the answer is another; returns the inputs.

    Raises:
        ArtifactError: An output is missing, has another shape, is not finite, or is further off than the
            manifest's `rtol` and `atol` allow; the sentence names the output and the largest difference.
    """
    inputs, outputs = read_golden(folder, variant)
    answers = run(inputs)
    remedy = "rebuild the variant for this engine version, or take a healthy machine"
    where = f"{variant.id}: golden output"
    for name, expected in outputs.items():
        answer = answers.get(name)
        if answer is None or answer.shape != expected.shape:
            got = "nothing" if answer is None else f"shape {list(answer.shape)}"
            raise ArtifactError(
                f"{variant.id}: golden output {name} should have shape {list(expected.shape)}, not {got}",
                remedy,
            )
        if not np.allclose(answer, expected, rtol=variant.golden.rtol, atol=variant.golden.atol):
            off = np.abs(answer.astype(np.float64) - expected.astype(np.float64)).max()
            raise ArtifactError(f"{where} {name} is off by {off:.3g}", remedy)
    return inputs


def _write(folder: Path, kind: str, tensors: Tensors) -> dict[str, str]:
    files = {}
    for number, name in enumerate(sorted(tensors)):
        files[name] = f"{_FOLDER}/{kind}-{number}.npy"
        np.save(folder / files[name], np.ascontiguousarray(tensors[name]), allow_pickle=False)
    return files


def _read(folder: Path, path: str, spec: TensorSpec) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(folder / path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is no plain array file", "rebuild the variant") from error
    if array.dtype.name != spec.dtype or array.shape[1:] != spec.shape[1:] or not len(array):
        holds, says = f"{array.dtype.name} {list(array.shape)}", f"{spec.dtype} {list(spec.shape)}"
        raise ArtifactError(f"{path} holds {holds}, the manifest says {says}", "rebuild the variant")
    return array
