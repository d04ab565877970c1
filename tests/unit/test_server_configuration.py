"""A model's configuration in Triton's form: what the batch does to sizes, and that both protocols say the same."""

import pytest

from predictors.bare import BareModel
from predictors.manifest import GraphTensor, RuntimeSpec
from predictors.server.configuration import Configuration
from predictors.server.model import ServedModel


def configured(*shapes: tuple[int, ...], is_batched: bool = True, engine: str = "ort") -> Configuration:
    tensors = tuple(GraphTensor(name=f"t{n}", dtype="int64", shape=shape) for n, shape in enumerate(shapes))
    bare = BareModel(
        id="m",
        runtime=RuntimeSpec(name=engine, provider="CPUExecutionProvider"),
        inputs=tensors,
        outputs=tensors[:1],
        is_batched=is_batched,
    )
    model = ServedModel(name="m", version="1", address="0" * 64, variant=bare, preprocessing=None, max_items=16)
    return Configuration.of(model, delay_s=0.00025)


def test_sizes_are_told_without_the_batch() -> None:
    told = configured((-1, 3, 8), (-1, 5)).document()
    assert told["max_batch_size"] == 16
    assert [tensor["dims"] for tensor in told["input"]] == [[3, 8], [5]]
    assert told["input"][0]["data_type"] == "TYPE_INT64"
    assert told["dynamic_batching"] == {"max_queue_delay_microseconds": 250}


def test_a_model_without_a_batch_has_its_whole_shape_and_no_batching() -> None:
    told = configured((1, -1, 8), is_batched=False).document()
    assert (told["max_batch_size"], told["input"][0]["dims"]) == (0, [1, -1, 8])
    assert "dynamic_batching" not in told


def test_a_scalar_is_one_value_that_is_reshaped_to_none() -> None:
    assert configured((-1,)).document()["input"][0] == {
        "name": "t0",
        "data_type": "TYPE_INT64",
        "dims": [1],
        "reshape": {"shape": []},
    }


@pytest.mark.parametrize(("engine", "backend"), [("ort", "onnxruntime"), ("openvino", "openvino")])
def test_engines_have_the_names_of_backends(engine: str, backend: str) -> None:
    assert configured((-1, 2), engine=engine).backend == backend


@pytest.mark.parametrize("is_batched", [True, False])
def test_grpc_says_what_http_says(is_batched: bool) -> None:
    pytest.importorskip("google.protobuf")
    from google.protobuf.json_format import MessageToDict

    from predictors.server.rpc.messages import ModelConfigResponse
    from predictors.server.rpc.service import configured as written

    told = configured((-1,), (-1, 2), is_batched=is_batched)
    found = MessageToDict(
        ModelConfigResponse.FromString(written(told)).config,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    expected = told.document()
    for tensor in (*found["input"], *found["output"]):
        tensor["dims"] = [int(size) for size in tensor["dims"]]
    if is_batched:
        delay = found["dynamic_batching"]["max_queue_delay_microseconds"]
        found["dynamic_batching"]["max_queue_delay_microseconds"] = int(delay)
    assert found == expected
