"""Model folders for the tests: a shipped card and a checkpoint of zeros that fits it in names and shapes."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from predictors.models import mnist

__all__ = ["mnist_folder"]

_EXAMPLES = Path(__file__).parents[1] / "examples"


def mnist_folder(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the mnist card, with texts replaced, and a checkpoint of zeros; a change without effect fails."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (_EXAMPLES / "models" / "mnist" / "model.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        if old not in text:
            raise ValueError(f"the card does not hold {old!r}")
        text = text.replace(old, new)
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    zeros = {name: np.zeros(shape, np.float16) for name, shape in mnist.parameter_shapes().items()}
    save_file(zeros, folder / "weights.safetensors")
    return folder
