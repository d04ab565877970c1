"""The V1 protocol without a server: what is understood, what is refused, what the answer says."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.errors import InputError
from predictors.imaging import preprocessing
from predictors.manifest import TensorSpec
from predictors.server.answer import Labeler
from predictors.server.job import Job
from predictors.server.model import ServedModel
from predictors.server.timing import DECODE, PREPROCESS, Stopwatch
from predictors.server.v1 import V1
from tests.artifacts import images_of, jpeg, served_model, vector_artifact

X = [[0.0, 1.0, 2.0, 3.0]]


def field_refused(protocol: V1, body: bytes) -> str:
    with pytest.raises(InputError) as caught:
        protocol.json(body)
    assert str(caught.value)
    return caught.value.field


def test_v1_takes_instances_and_tells_labels(vectors: ServedModel) -> None:
    protocol = V1(vectors, None)
    call = protocol.json(json.dumps({"instances": [*X, *X]}).encode())
    assert call.inputs is not None
    assert call.items == 2
    np.testing.assert_array_equal(call.inputs["x"], np.array(X * 2, dtype=np.float32))
    answer = json.loads(protocol.encode({"logits": np.array([[0, 0, 0], [0, 9, 0]], dtype=np.float32)}).body)
    first, second = answer["predictions"]
    assert first["probabilities"] == pytest.approx({"apple": 1 / 3, "bread": 1 / 3, "cheese": 1 / 3}, abs=1e-6)
    assert second["label"] == "bread"
    assert sum(second["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_v1_takes_objects_of_inputs(vectors: ServedModel) -> None:
    call = V1(vectors, None).json(json.dumps({"instances": [{"x": X[0]}]}).encode())
    assert call.inputs is not None
    np.testing.assert_array_equal(call.inputs["x"], np.array(X, dtype=np.float32))


def test_v1_without_labels_gives_the_outputs(tmp_path: Path) -> None:
    protocol = V1(served_model(vector_artifact(tmp_path), labels=()), None)
    one = protocol.encode({"logits": np.array([[1, 2, 3]], dtype=np.float32)})
    assert json.loads(one.body) == {"predictions": [[1.0, 2.0, 3.0]]}
    two = protocol.encode({"a": np.array([[1], [2]]), "b": np.array([[3.5], [4.5]])})
    assert json.loads(two.body) == {"predictions": [{"a": [1], "b": [3.5]}, {"a": [2], "b": [4.5]}]}
    with pytest.raises(InputError, match="not finite"):
        protocol.encode({"logits": np.array([[np.inf]])})


def test_v1_with_several_inputs_wants_objects(tmp_path: Path) -> None:
    specs = (TensorSpec(name="x", shape=(-1, 4)), TensorSpec(name="y", shape=(-1, 1)))
    protocol = V1(served_model(vector_artifact(tmp_path), inputs=specs), None)
    call = protocol.json(json.dumps({"instances": [{"x": X[0], "y": [5]}]}).encode())
    assert call.inputs is not None
    assert call.inputs["y"].tolist() == [[5.0]]
    assert field_refused(protocol, json.dumps({"instances": X}).encode()) == "instances[0]"


def test_v1_takes_one_image_as_it_is(pictures: ServedModel) -> None:
    call = V1(pictures, images_of(pictures)).image(jpeg(1))
    assert call.prepare is not None
    watch = Stopwatch(0)
    inputs = call.prepare(Job(1, print, watch))
    assert inputs["x"].shape == (1, 1, 28, 28)
    assert watch.spent_ns[DECODE] > 0
    assert watch.spent_ns[PREPROCESS] > 0


def test_v1_takes_images_as_base64(pictures: ServedModel) -> None:
    images = [{"b64": base64.b64encode(jpeg(seed)).decode()} for seed in (1, 2)]
    call = V1(pictures, images_of(pictures)).json(json.dumps({"instances": images}).encode())
    assert call.prepare is not None
    inputs = call.prepare(Job(1, print, Stopwatch(0)))
    single = preprocessing("mnist-28", {}).decode(jpeg(2))
    np.testing.assert_array_equal(inputs["x"][1], single)
    assert call.items == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "instances"),
        ({}, "instances"),
        ({"instances": {}}, "instances"),
        ({"instances": []}, "instances"),
        ({"instances": X * 5}, "instances"),
        ({"instances": [[1, 2, 3]]}, "instances"),
        ({"instances": [["a", "b", "c", "d"]]}, "instances"),
        ({"instances": [[1, 2, 3, True]]}, "instances"),
        ({"instances": [{"y": [1, 2, 3, 4]}]}, "instances[0]"),
        ({"instances": [{"x": X[0]}, X[0]]}, "instances[1]"),
        ({"instances": [{"x": [1]}]}, "instances[].x"),
        ({"instances": [{"b64": "AAAA"}]}, "instances[0].b64"),
    ],
)
def test_v1_names_the_field_it_refuses(vectors: ServedModel, body: Any, field: str) -> None:
    assert field_refused(V1(vectors, None), json.dumps(body).encode()) == field


@pytest.mark.parametrize(
    "instance", [{"b64": 1}, {"b64": "%%%"}, {"b64": "AAA"}, {"b64": "AAAA", "x": 1}, {"b64": "é"}]
)
def test_v1_refuses_what_is_not_base64(pictures: ServedModel, instance: Any) -> None:
    body = json.dumps({"instances": [instance]}).encode()
    assert field_refused(V1(pictures, images_of(pictures)), body) == "instances[0].b64"


def test_an_image_needs_a_model_that_takes_images(vectors: ServedModel, pictures: ServedModel) -> None:
    with pytest.raises(InputError, match="takes no images"):
        V1(vectors, None).image(jpeg(1))
    with pytest.raises(InputError, match="is empty"):
        V1(pictures, images_of(pictures)).image(b"")


def test_a_labeler_leaves_probabilities_alone() -> None:
    labeler = Labeler(["a", 'say "b" at 100%'], "probabilities")
    assert json.loads(labeler.write([0.25, 0.75])) == {
        "label": 'say "b" at 100%',
        "probabilities": {"a": 0.25, 'say "b" at 100%': 0.75},
    }
    with pytest.raises(InputError, match="not finite"):
        labeler.write([float("nan"), 0.5])
