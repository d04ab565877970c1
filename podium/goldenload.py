"""Requests made of an artifact's golden inputs: what every artifact can be asked without anybody's data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadtest.payloads import PayloadSet
from predictors.golden import read_golden
from predictors.manifest import read_variant
from predictors.server.tensors import datatype_of

__all__ = ["encoded", "golden_payloads", "golden_protocol"]

Tensors = Mapping[str, npt.NDArray[Any]]

_JSON: Final = "v2-json"
_SEED: Final = 7


def golden_protocol(protocol: str) -> str:
    """Return the protocol in which golden inputs stand for requests of another one.

    Images are decoded before they are tensors, and nobody has the image of a golden input.
    """
    if protocol == "grpc":
        return protocol
    return _JSON if protocol.endswith("json") else "v2-binary"


def golden_payloads(artifact: Path, folder: Path, *, protocol: str, items: int = 1) -> PayloadSet:
    """Write a request of golden inputs in turn, and collect it.

    Args:
        artifact: folder of an artifact.
        folder: where the requests go; made when missing.
        protocol: of V2.
        items: of the request.

    Raises:
        ArtifactError: manifest or golden inputs are damaged.
    """
    golden, _ = read_golden(artifact, read_variant(artifact))
    folder.mkdir(parents=True, exist_ok=True)
    ending = "json" if protocol == _JSON else "bin"
    tensors = {name: np.resize(values, (items, *values.shape[1:])) for name, values in golden.items()}
    (folder / f"golden.{ending}").write_bytes(encoded(tensors, protocol))
    return PayloadSet.from_mix([("*", 1.0)], folder, seed=_SEED)


def encoded(tensors: Tensors, protocol: str) -> bytes:
    """Write tensors by name, each with the batch first, as a request of V2: JSON, or raw contents behind a head."""
    inputs = []
    for name, values in tensors.items():
        one: dict[str, Any] = {
            "name": name,
            "shape": list(values.shape),
            "datatype": datatype_of(values.dtype.name),
        }
        if protocol == _JSON:
            one["data"] = values.ravel().tolist()
        else:
            one["parameters"] = {"binary_data_size": values.nbytes}
        inputs.append(one)
    if protocol == _JSON:
        return json.dumps({"inputs": inputs}, separators=(",", ":")).encode()
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}, separators=(",", ":"))
    return head.encode() + b"".join(np.ascontiguousarray(values).tobytes() for values in tensors.values())
