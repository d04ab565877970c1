"""The baseline with a network that PyTorch compiles when it is loaded, for the machine that it is loaded on.

Nothing compiled is in the artifact: it is the same weights, and the wish. Where there is no C++ compiler, as in the
shipped images, the runtime refuses it by name and the eager form is what can be served.
"""

from dataclasses import replace

from predictors.recipes import torch_fp32
from predictors.recipes.work import Made, Work

__all__ = ["apply"]


def apply(work: Work) -> Made:
    """Write the weights in float32, and ask for the compiler."""
    made = torch_fp32.apply(work)
    return replace(made, options={**made.options, "compiled": True})
