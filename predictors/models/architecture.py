"""The network of a family's module, with the parameters that a model card gives it.

Most networks have none. One that has, as a width, takes them as keywords of `network` and `parameter_shapes`, each
with a default, and raises ValueError for what it cannot be built with.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from predictors.errors import SourceError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Parameters", "Shapes", "build", "shapes"]

Parameters = Mapping[str, float]
Shapes = Mapping[str, tuple[int, ...]]


def build(name: str, parameters: Parameters) -> nn.Module:
    """Build the untrained network of a module.

    Raises:
        SourceError: The network does not take the parameters.
    """
    module = importlib.import_module(name)
    shapes(module, parameters)
    network: nn.Module = module.network(**parameters)
    return network


def shapes(module: ModuleType, parameters: Parameters) -> Shapes:
    """Return name and shape of every tensor of the network's checkpoint; no training library is imported.

    Raises:
        SourceError: The network does not take the parameters.
    """
    known = inspect.signature(module.parameter_shapes).parameters
    unknown = next((key for key in parameters if key not in known), None)
    if unknown is not None:
        remedy = f"it takes {', '.join(known)}" if known else "leave network out of the model card"
        raise SourceError(f"{module.__name__} has no parameter {unknown!r}", remedy)
    try:
        found: Shapes = module.parameter_shapes(**parameters)
    except ValueError as error:
        raise SourceError(f"{module.__name__}: {error}", "correct network in the model card") from error
    return found
