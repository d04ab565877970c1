"""What a race sends: the model's test images as they are, or their tensors in V2 requests."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from loadtest.errors import ScheduleError
from podium.gate import content_digest
from podium.plan import PAYLOAD_PROTOCOLS
from predictors.card import ModelCard, load_card
from predictors.data import batches, data_root, load_split
from predictors.imaging import implementation_hash, preprocessing
from predictors.models.dataset import made_once

__all__ = ["payload_folder"]

_IMAGES = 256
_TENSOR_BYTES = 64 << 20


def payload_folder(model_folder: Path, protocol: str = "v1-image") -> Path:
    """Return a folder with a sample of the test images as requests of a protocol, made on first use.

    The sample is spread over the whole split, because public sets are often sorted by class.

    Raises:
        DataError: the test data cannot be had.
        ScheduleError: there are no payloads of this protocol.
    """
    if protocol not in PAYLOAD_PROTOCOLS:
        raise ScheduleError(f"test images are no payloads of {protocol}", f"use one of {', '.join(PAYLOAD_PROTOCOLS)}")
    card = load_card(model_folder)
    files = load_split(card, model_folder, "test", data_root()).files
    count = min(len(files), _IMAGES if protocol == "v1-image" else _tensors(card))
    chosen = [files[number * len(files) // count] for number in range(count)]

    def copy(folder: Path) -> None:
        for index, path in enumerate(chosen):
            shutil.copyfile(path, folder / f"{index:04d}{path.suffix.lower()}")

    def write(folder: Path) -> None:
        _write_tensors(card, chosen, folder)

    mark = content_digest(chosen)[:12]
    if protocol == "v1-image":
        return made_once(data_root() / card.name / f"payloads-{mark}", copy)
    contract = json.dumps(card.preprocessing.model_dump(), sort_keys=True) + implementation_hash()
    made = hashlib.sha256(contract.encode()).hexdigest()[:12]
    return made_once(data_root() / card.name / f"payloads-tensors-{made}-{mark}", write)


def _tensors(card: ModelCard) -> int:
    """Return how many tensors are sent: as many as images, or what a generator can well hold."""
    return max(1, min(_IMAGES, _TENSOR_BYTES // (4 * card.inputs[0].item_elements)))


def _write_tensors(card: ModelCard, files: Sequence[Path], folder: Path) -> None:
    spec, contract = card.inputs[0], card.preprocessing
    tensors = batches(files, preprocessing(contract.name, contract.params), 1)
    for number, images in enumerate(tensors):
        raw = images.tobytes()
        tensor = {
            "name": spec.name,
            "shape": list(images.shape),
            "datatype": "FP32",
            "parameters": {"binary_data_size": len(raw)},
        }
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}, separators=(",", ":"))
        (folder / f"{number:04d}.bin").write_bytes(head.encode() + raw)
