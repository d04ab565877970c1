"""The source as an ONNX graph in float32: exported from PyTorch, or taken over from an ONNX source.

The graph must answer as the source does on real images, for one and for several at once: an exporter that
froze the batch axis or lost a layer is found here and not in production.
"""

from typing import Any

import numpy as np
import onnx

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.models import architecture
from predictors.recipes import graph
from predictors.recipes.work import Images, Made, Work, quiet

__all__ = ["apply", "export"]

_MODEL = "model.onnx"
_RTOL, _ATOL = 1e-3, 1e-3


def apply(work: Work) -> Made:
    """Write `model.onnx`.

    Raises:
        BuildError: The exporter cannot take the network, or the graph answers differently.
    """
    if work.card.onnx is None:
        return export(work, _source(work))
    before = graph.operators(work.source / work.card.onnx)
    graph.save(onnx.load(work.source / work.card.onnx), work.out / _MODEL)
    _check_parity(work, graph.run(work.source / work.card.onnx, work.samples))
    return _made(work, before)


def export(work: Work, network: Any, notes: tuple[str, ...] = ()) -> Made:
    """Write `model.onnx` from a network of PyTorch that has its weights.

    Raises:
        BuildError: The exporter cannot take the network, or the graph answers differently.
    """
    import torch

    # Two images: the exporter would take a batch of one for a constant.
    example = torch.from_numpy(np.repeat(work.samples[:1], 2, axis=0))
    network.eval()
    try:
        with torch.inference_mode():
            expected: Images = network(torch.from_numpy(work.samples.copy())).numpy()
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[work.card.inputs[0].name],
                output_names=[work.card.outputs[0].name],
                opset_version=work.params["opset"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
                optimize=True,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise BuildError(
            f"{work.card.name}: the network cannot be exported to ONNX with inputs {list(work.samples.shape[1:])}",
            "check that the card's inputs are the network's",
        ) from error
    if program is None:
        raise BuildError(f"{work.card.name}: the exporter gave no graph", "update torch")
    graph.save(program.model_proto, work.out / _MODEL)
    _check_parity(work, expected)
    return _made(work, {}, notes)


def _source(work: Work) -> Any:
    from safetensors.torch import load_file

    weights = load_file(work.source / (work.card.weights or ""))
    floats = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    network: Any = architecture.build(work.card.module or "", work.card.network)
    network.load_state_dict(floats)
    return network


def _made(work: Work, before: dict[str, int], notes: tuple[str, ...] = ()) -> Made:
    ops = Ops(before=before, after=graph.operators(work.out / _MODEL))
    return Made(_MODEL, "CPUExecutionProvider", ops=ops, notes=notes)


def _check_parity(work: Work, expected: Images) -> None:
    for count in (1, len(work.samples)):
        answers = graph.run(work.out / _MODEL, work.samples[:count])
        if answers.shape != expected[:count].shape:
            raise BuildError(
                f"{work.card.name}: the ONNX graph gives {list(answers.shape)}, not {list(expected.shape)}",
                "correct the card's outputs",
            )
        off = float(np.abs(answers - expected[:count]).max())
        if not np.allclose(answers, expected[:count], rtol=_RTOL, atol=_ATOL * max(1.0, np.abs(expected).max())):
            raise BuildError(
                f"{work.card.name}: the ONNX graph differs from the source by {off:.3g}",
                "report it with the model card; no artifact was written",
            )
