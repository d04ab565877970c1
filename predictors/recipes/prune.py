"""Structured pruning with fine-tuning: whole channels are taken out, so that what is left is a dense, smaller network.

Masking single weights leaves as many multiplications as before; taking channels out does not. The least important ones
by the norm of all weights that a channel touches go first ("DepGraph: Towards Any Structural Pruning", 2023, section
3.3), an equal share in each layer. A layer that loses inputs keeps its outputs, so every other one is pruned: least
squares then give it the best weights for what is left, and a little training mends the rest.
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from predictors.models.refit import refit
from predictors.models.training import Plan, Stage
from predictors.recipes import export, trained
from predictors.recipes.work import Made, Work, quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["PLAN", "apply", "begin"]

PLAN = Plan(stages=(Stage(224, 1),), batch=32, peak_rate=1e-4, weight_decay=0.0, smoothing=0.0, frozen=True)
_STEP = 8
_TRACED = 2


def apply(work: Work) -> Made:
    """Write `model.onnx` from the checkpoint that `podium train FOLDER --recipe prune` made.

    Raises:
        BuildError: There is none, or it was trained from other weights or with other parameters.
    """
    return export.export(work, *trained.network(work, "prune"))


def begin(network: "nn.Module", images: "Tensor", params: Mapping[str, Any]) -> "nn.Module":
    """Take channels out of a trained network, and refit what read them; changes and returns it.

    Args:
        network: The source.
        images: Some inputs, float32 [n, channels, height, width], to refit with.
        params: `ratio` is the share of channels that go.
    """
    import torch_pruning
    from torch import nn

    source = copy.deepcopy(network)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with quiet():
        pruner = torch_pruning.pruner.BasePruner(
            network,
            images[:_TRACED],
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=params["ratio"],
            ignored_layers=[*_keepers(network, images[:_TRACED]), layers[-1]],
            round_to=_STEP,
        )
        pruner.step()
    refit(network, source, images)
    return network


def _keepers(network: "nn.Module", images: "Tensor") -> "list[nn.Module]":
    """Name the layers that keep their outputs because they lose inputs."""
    import torch_pruning
    from torch import nn

    graph = torch_pruning.DependencyGraph().build_dependency(network, example_inputs=images)
    place = {layer: number for number, layer in enumerate(network.modules())}
    groups: list[tuple[int, set[nn.Module], set[nn.Module]]] = []
    for group in graph.get_all_groups(root_module_types=(nn.Conv2d, nn.Linear)):
        parts = [(part.target.module, part.handler) for part, _ in group if _mixes(part.target.module)]
        giving = {layer for layer, handler in parts if graph.is_out_channel_pruning_fn(handler)}
        groups.append((min(place[layer] for layer in giving), giving, {layer for layer, _ in parts} - giving))
    keepers: set[nn.Module] = set()
    for _, giving, taking in sorted(groups, key=lambda group: group[0]):
        if giving & keepers:
            keepers |= giving
        else:
            keepers |= taking
    return list(keepers)


def _mixes(layer: object) -> bool:
    """Say whether a layer has outputs of its own; a depthwise one passes each channel on."""
    from torch import nn

    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
