"""The baseline: the checkpoint as it is, upcast to float32, run by PyTorch in eager mode."""

import numpy as np
from safetensors.numpy import load_file, save_file

from predictors.recipes.work import Made, Work

__all__ = ["apply"]

_WEIGHTS = "weights.safetensors"


def apply(work: Work) -> Made:
    """Write the weights in float32; float16 to float32 is exact."""
    weights = load_file(work.source / (work.card.weights or ""))
    floats = {
        name: np.ascontiguousarray(value, dtype=np.float32) if value.dtype.kind == "f" else value
        for name, value in sorted(weights.items())
    }
    save_file(floats, work.out / _WEIGHTS)
    options: dict[str, object] = {"module": work.card.module}
    return Made(_WEIGHTS, "CPU", options | ({"network": work.card.network} if work.card.network else {}))
