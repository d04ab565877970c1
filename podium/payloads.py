"""What a race sends: the model's test images as they are, or their tensors in V2 requests."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from loadtest.errors import ScheduleError
from podium.gate import content_digest, data_digest, kept_predictions
from podium.plan import PAYLOAD_PROTOCOLS
from predictors.card import ModelCard, load_card
from predictors.data import batches, data_root, load_split
from predictors.imaging import implementation_hash, preprocessing
from predictors.manifest import read_variant
from predictors.models.dataset import made_once

__all__ = ["payload_folder", "sure_answers"]

_IMAGES = 256
_TENSOR_BYTES = 64 << 20
# By how much the logit of the class that is found must be above all others: seven times as likely.
_SURE = 2.0


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
    chosen = [files[place] for place in _places(card, len(files), protocol)]

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


def sure_answers(model_folder: Path, artifact: Path, *, fingerprint: str, protocol: str) -> dict[str, int]:
    """Return the class that an artifact finds in each payload, by the payload's number as it stands in its name.

    It is known from the evaluation on the test data, which is not repeated: without one there is none. A class that
    another one comes near is left out: the other payloads that are computed in one batch with it may turn it.

    Raises:
        DataError: the test data cannot be had.
    """
    card = load_card(model_folder)
    split = load_split(card, model_folder, "test", data_root())
    found = kept_predictions(artifact, fingerprint, data_digest(split))
    if found is None:
        return {}
    is_probability = read_variant(artifact).outputs[0].name == "probabilities"
    logits = np.log(np.maximum(found.logits, np.finfo(np.float32).tiny)) if is_probability else found.logits
    answers = {}
    for number, place in enumerate(_places(card, len(split.files), protocol)):
        second, first = np.sort(logits[place])[-2:] if logits.shape[1] > 1 else (-np.inf, logits[place][0])
        if first - second >= _SURE:
            answers[f"{number:04d}"] = int(found.predicted[place])
    return answers


def _places(card: ModelCard, files: int, protocol: str) -> list[int]:
    """Return which of the test images are sent, spread over all."""
    count = min(files, _IMAGES if protocol == "v1-image" else _tensors(card))
    return [number * files // count for number in range(count)]


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
