"""PyTorch in eager mode, the baseline that everyone starts from, and compiled where an artifact asks for it.

The network's code is not in the artifact: `runtime.options.module` names a module of `predictors.models`
(and of nothing else, so that an artifact cannot choose what is imported), and the weights are safetensors.
With `runtime.options.channels_last` images and weights are laid out with channels last, which took `food11`
from 22 to 13 ms an image on one core; the baseline is measured without it, as a checkpoint is used before
anybody tunes it. With `runtime.options.compiled` the network goes through `torch.compile`, once for one item and once
for any number of them, which takes half a minute of every start and a C++ compiler.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from predictors.errors import ArtifactError, SourceError
from predictors.manifest import Variant
from predictors.models import architecture
from predictors.runtimes import Array, check_options, model_file

__all__ = ["TorchRuntime", "load"]

_MODULES = "predictors.models."
_COMPILERS = ("c++", "g++", "clang++")


class TorchRuntime:
    """A network of PyTorch in inference mode."""

    def __init__(self, network: Any, variant: Variant, layout: Any) -> None:
        self._network = network.to(memory_format=layout)
        self._layout = layout
        self._inputs = [spec.name for spec in variant.inputs]
        self._outputs = [spec.name for spec in variant.outputs]
        self.providers: Sequence[str] = ("CPU",)

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        with torch.inference_mode():
            answers = self._network(*[self._tensor(batch[name]) for name in self._inputs])
        if isinstance(answers, torch.Tensor):
            answers = (answers,)
        return {name: answer.numpy() for name, answer in zip(self._outputs, answers, strict=True)}

    def close(self) -> None:
        """Free the network."""
        self._network = None

    def _tensor(self, array: Array) -> torch.Tensor:
        # torch warns about arrays it must not write to, and inference never writes to its inputs.
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        return tensor.contiguous(memory_format=self._layout) if tensor.ndim == 4 else tensor


def load(folder: Path, variant: Variant, *, threads: int) -> TorchRuntime:
    """Build the network and fill it with the artifact's weights, upcast to float32.

    Raises:
        ArtifactError: The module is none of ours, the weights are not those of its network, or it is to be compiled and
            there is no compiler.
    """
    check_options(variant, {"model", "module", "network", "channels_last", "compiled"})
    is_compiled = variant.runtime.options.get("compiled") is True
    if is_compiled and not any(map(shutil.which, _COMPILERS)):
        raise ArtifactError(
            f"{variant.id} is compiled when it is loaded, and there is no C++ compiler here",
            "install g++, or serve the eager variant",
        )
    path = model_file(folder, variant, "weights.safetensors")
    name = str(variant.runtime.options.get("module", ""))
    if not name.startswith(_MODULES):
        raise ArtifactError(f"{variant.id}: {name!r} is no module of {_MODULES}*", "rebuild the variant")
    torch.set_num_threads(threads)
    try:
        network = architecture.build(name, _parameters(variant))
        weights = safetensors.torch.load_file(path)
        floats = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        network.load_state_dict(floats)
    except ModuleNotFoundError as error:
        raise ArtifactError(f"{variant.id}: there is no module {name}", "install what it was built with") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise ArtifactError(f"{variant.id}: {path.name} is no safetensors file", "rebuild the variant") from error
    except (RuntimeError, SourceError) as error:
        raise ArtifactError(f"{variant.id}: {path.name} does not fit {name}", "rebuild the variant") from error
    is_last = variant.runtime.options.get("channels_last") is True
    layout = torch.channels_last if is_last else torch.contiguous_format
    ready: Any = network.eval()
    if is_compiled:
        # Batches are of any size. Without the first line it keeps processes of its own, which outlast a forked server.
        torch._inductor.config.compile_threads = 1
        ready = torch.compile(ready.to(memory_format=layout), dynamic=True)
    return TorchRuntime(ready, variant, layout)


def _parameters(variant: Variant) -> architecture.Parameters:
    given = variant.runtime.options.get("network", {})
    if not isinstance(given, dict) or not all(isinstance(value, int | float) for value in given.values()):
        raise ArtifactError(f"{variant.id}: the network's parameters are no numbers", "rebuild the variant")
    return given
