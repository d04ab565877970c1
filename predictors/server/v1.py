"""The V1 protocol: an encoded image as the body, or JSON `instances`; `predictions` come back.

An instance is an image as `{"b64": ...}` where the model has a preprocessing, else a value nested as the
input's shape, or an object with one value for each input. A classifier's prediction has its label and all
probabilities.
"""

import base64
import binascii
from functools import partial
from typing import Any

import numpy as np
import orjson

from predictors.errors import InputError
from predictors.server import document
from predictors.server.answer import Call, Encoded, Labeler, Tensors, no_finite_answer
from predictors.server.images import ImageReader
from predictors.server.model import ServedModel
from predictors.server.replies import JSON

__all__ = ["V1"]


class V1:
    """Reads and writes V1 for one model."""

    def __init__(self, model: ServedModel, images: ImageReader | None) -> None:
        self._model = model
        self._images = images
        self._labeler = self._find_labeler()

    def image(self, body: bytes) -> Call:
        """Understand a body that is one encoded image.

        Raises:
            InputError: The model takes no images, or the body is empty.
        """
        images = self._images
        if images is None:
            raise InputError("this model takes no images", "send JSON")
        if not body:
            raise InputError("the body is empty", "send one JPEG, PNG or WebP image")
        return Call(encode=self.encode, prepare=partial(images.read, [body]))

    def json(self, body: bytes) -> Call:
        """Understand a JSON body.

        Raises:
            InputError: It is not what the model takes; the field is named.
        """
        root = document.load(body, max_containers=self._model.max_containers, max_values=self._model.max_values)
        return self.document(root, booleans=document.may_hold_booleans(body))

    def document(self, root: Any, *, booleans: bool) -> Call:
        """Understand a document that is parsed already; `booleans` says whether it may hold any.

        Raises:
            InputError: It is not what the model takes; the field is named.
        """
        instances = root.get("instances") if isinstance(root, dict) else None
        if not isinstance(instances, list) or not instances:
            raise InputError("instances: must be a list with at least one item", field="instances")
        items = len(instances)
        if items > self._model.max_items:
            told = f"instances: at most {self._model.max_items} items go in one request"
            raise InputError(told, field="instances")
        if isinstance(instances[0], dict) and "b64" in instances[0]:
            return self._encoded(instances)
        return Call(encode=self.encode, inputs=self._tensors(instances, booleans), items=items)

    def encode(self, outputs: Tensors) -> Encoded:
        """Write the predictions of all items."""
        labeler = self._labeler
        if labeler is not None:
            rows = outputs[labeler.output].reshape(-1, len(self._model.variant.labels)).tolist()
            written = b",".join([labeler.write(row) for row in rows])
            return Encoded(b'{"predictions":[%s]}' % written, JSON)
        for values in outputs.values():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise no_finite_answer()
        columns = {name: values.tolist() for name, values in outputs.items()}
        if len(columns) == 1:
            predictions = next(iter(columns.values()))
        else:
            predictions = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return Encoded(orjson.dumps({"predictions": predictions}), JSON)

    def _find_labeler(self) -> Labeler | None:
        labels = self._model.variant.labels
        for spec in self._model.variant.outputs:
            if labels and spec.item_elements == len(labels):
                return Labeler(labels, spec.name)
        return None

    def _encoded(self, instances: list[Any]) -> Call:
        images = self._images
        if images is None:
            raise InputError("instances[0].b64: this model takes no images", field="instances[0].b64")
        bodies = [_from_base64(instance, place) for place, instance in enumerate(instances)]
        return Call(encode=self.encode, items=len(bodies), prepare=partial(images.read, bodies))

    def _tensors(self, instances: list[Any], booleans: bool) -> Tensors:
        readers = self._model.inputs
        items = len(instances)
        if not isinstance(instances[0], dict):
            if len(readers) > 1:
                told = f"instances[0]: must be an object with {', '.join(readers)}"
                raise InputError(told, field="instances[0]")
            (reader,) = readers.values()
            shape = (items, *reader.item_shape)
            return {reader.name: reader.from_json(shape, instances, field="instances", booleans=booleans)}
        for place, instance in enumerate(instances):
            if not isinstance(instance, dict) or instance.keys() != readers.keys():
                told = f"instances[{place}]: must be an object with {', '.join(readers)}"
                raise InputError(told, field=f"instances[{place}]")
        return {
            name: reader.from_json(
                (items, *reader.item_shape),
                [instance[name] for instance in instances],
                field=f"instances[].{name}",
                booleans=booleans,
            )
            for name, reader in readers.items()
        }


def _from_base64(instance: Any, place: int) -> bytes:
    field = f"instances[{place}].b64"
    if not isinstance(instance, dict) or set(instance) != {"b64"} or not isinstance(instance["b64"], str):
        raise InputError(f"{field}: must be a base64 text and the only key", field=field)
    try:
        return base64.b64decode(instance["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{field}: is not base64", field=field) from error
