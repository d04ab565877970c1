"""A bare model file behind the server: V2 tensors, structure checks, and no word that anybody vouches for it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from onnx import TensorProto

from tests.artifacts import WEIGHTS, vector_graph
from tests.bare_models import identity_graph, saved, scaled_graph, vector_graph_of_batch
from tests.contract.conftest import Starter
from tests.contract.server import Answer, Server

X = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]], dtype=np.float32)


@pytest.fixture(scope="module")
def bare(start: Starter, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = saved(tmp_path_factory.mktemp("bare") / "net", vector_graph())
    return start(folder, "--model-name", "my-net")


def tensor(name: str, values: np.ndarray[Any, Any], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.ravel().tolist()}


def infer(server: Server, *inputs: dict[str, Any], name: str = "net") -> Answer:
    return server.post_json(f"/v2/models/{name}/infer", {"inputs": list(inputs)})


def test_it_is_ready_under_the_name_it_was_given(bare: Server) -> None:
    assert bare.ready["model"] == "my-net"
    assert bare.ready["variant"].startswith("my-net@")
    for path in ("/v2/models/my-net/ready", "/v2/health/ready", "/v1/models/my-net"):
        assert bare.ask("GET", path).status == 200


def test_metadata_comes_from_the_graph_and_says_unverified(bare: Server) -> None:
    metadata = bare.ask("GET", "/v2/models/my-net").json
    assert metadata["platform"] == "onnxruntime_onnx"
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["parameters"]["verification"] == "unverified"
    assert bare.state()["verification"] == "unverified"
    assert '"unverified: ' in bare.log.read_text()


def test_json_and_binary_tensors_are_answered(bare: Server) -> None:
    answer = infer(bare, tensor("x", X), name="my-net")
    assert answer.json["outputs"][0]["data"] == pytest.approx((X @ WEIGHTS).ravel().tolist(), abs=1e-5)
    entry = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    binary = bare.ask(
        "POST",
        "/v2/models/my-net/infer",
        head + X.tobytes(),
        {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"},
    )
    length = int(binary.headers["inference-header-content-length"])
    np.testing.assert_allclose(np.frombuffer(binary.body[length:], "<f4").reshape(2, 3), X @ WEIGHTS, rtol=1e-5)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (tensor("y", X), "inputs[0].name"),
        (tensor("x", X[:, :3]), "inputs[0].shape: x takes the shape [-1, 4]"),
        (tensor("x", X, "INT32"), "inputs[0].datatype: x takes FP32"),
        (tensor("x", np.zeros((9, 4))), "at most 8 items"),
    ],
)
def test_what_the_graph_does_not_take_is_refused(bare: Server, entry: dict[str, Any], told: str) -> None:
    answer = infer(bare, entry, name="my-net")
    assert (answer.status, answer.json["code"]) == (400, "invalid_input")
    assert told in answer.json["error"]


def test_an_openvino_model_is_served_from_its_two_files(start: Starter, tmp_path: Path) -> None:
    source = saved(tmp_path / "source", vector_graph())
    folder = tmp_path / "net"
    folder.mkdir()
    openvino.save_model(openvino.Core().read_model(source / "model.onnx"), folder / "model.xml", False)
    server = start(folder)
    assert server.ask("GET", "/v2/models/net").json["platform"] == "openvino"
    assert server.state()["providers"] == ["CPU"]
    answer = infer(server, tensor("x", X))
    assert answer.json["outputs"][0]["data"] == pytest.approx((X @ WEIGHTS).ravel().tolist(), abs=1e-5)


def test_v1_is_not_spoken(bare: Server) -> None:
    answer = bare.post_json("/v1/models/my-net:predict", {"instances": X.tolist()})
    assert (answer.status, answer.json["code"]) == (501, "not_implemented")


def test_a_fixed_batch_is_taken_whole_and_only_so(start: Starter, tmp_path: Path) -> None:
    server = start(saved(tmp_path / "net", vector_graph_of_batch(2)))
    assert server.state()["is_batched"] is False
    assert infer(server, tensor("x", X)).json["outputs"][0]["shape"] == [2, 3]
    for items in (1, 3):
        answer = infer(server, tensor("x", np.zeros((items, 4))))
        assert answer.status == 400
        assert "x takes the shape [2, 4]" in answer.json["error"]


def test_open_sizes_and_inputs_without_a_batch_are_taken_as_they_are(start: Starter, tmp_path: Path) -> None:
    server = start(saved(tmp_path / "net", scaled_graph()))
    for shape in ((1, 1), (3, 5), (12, 2)):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        answer = infer(server, tensor("x", x), tensor("scale", np.array([2.0])))
        (output,) = answer.json["outputs"]
        assert output["shape"] == list(shape)
        assert output["data"] == (2 * x).ravel().tolist()
    assert infer(server, tensor("x", np.zeros((2, 2))), tensor("scale", np.zeros(2))).status == 400


@pytest.mark.parametrize(
    ("kind", "datatype", "values"),
    [
        (TensorProto.DOUBLE, "FP64", [[0.1, -2.5, 1e300]]),
        (TensorProto.FLOAT16, "FP16", [[0.5, -2.5, 1024.0]]),
        (TensorProto.INT64, "INT64", [[-(2**53) - 1, 0, 2**62]]),
        (TensorProto.UINT8, "UINT8", [[0, 7, 255]]),
        (TensorProto.BOOL, "BOOL", [[True, False, True]]),
    ],
)
def test_every_element_type_goes_through(
    start: Starter, tmp_path: Path, kind: int, datatype: str, values: list[list[Any]]
) -> None:
    server = start(saved(tmp_path / "net", identity_graph(kind)))
    entry = {"name": "x", "shape": [1, 3], "datatype": datatype, "data": values[0]}
    (output,) = infer(server, entry).json["outputs"]
    assert (output["datatype"], output["data"]) == (datatype, values[0])


def refusal(*arguments: str) -> str:
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "podium",
            "serve",
            *arguments,
            "--cpus",
            "1",
            "--http-port",
            "0",
            "--grpc-port",
            "0",
            "--metrics-port",
            "0",
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_nothing_to_serve_and_too_much_are_one_sentence_each(tmp_path: Path) -> None:
    assert "holds neither variant.yaml nor a model file" in refusal(str(tmp_path))
    for name in ("a.onnx", "b.onnx"):
        saved(tmp_path, vector_graph(), name)
    told = refusal(str(tmp_path))
    assert "holds 2 model files and no variant.yaml: a.onnx, b.onnx" in told
    assert "put exactly one model file there" in told


def test_a_damaged_file_never_gets_ready(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07 not a graph")
    assert "model.onnx is no whole ONNX model" in refusal(str(tmp_path))
