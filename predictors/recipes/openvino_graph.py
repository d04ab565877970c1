"""What several recipes ask of an OpenVINO network: its operators, and files that no process left its marks in."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import openvino

__all__ = ["operators", "save"]


def operators(model: Any) -> dict[str, int]:
    """Count the operators of a network, sorted by type."""
    return dict(sorted(Counter(op.get_type_name() for op in model.get_ops()).items()))


def save(model: Any, path: Path, *, half: bool = False) -> None:
    """Write `path` and its `.bin`; with `half` the weights are float16 in the file."""
    _number(model)
    openvino.save_model(model, path, compress_to_fp16=half)


def _number(model: Any) -> None:
    """Name unnamed operators by their place; OpenVINO counts them by process, and an address must not."""
    for place, op in enumerate(model.get_ordered_ops()):
        if re.fullmatch(rf"{op.get_type_name()}_\d+", op.get_friendly_name()):
            op.set_friendly_name(f"{op.get_type_name()}_{place}")
