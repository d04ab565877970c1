"""V1 and V2 over a real connection: routes, answers, headers, times."""

import base64
import json
import re
import socket

import numpy as np
import pytest

from predictors.imaging import preprocessing
from tests.artifacts import WEIGHTS, jpeg
from tests.contract.server import Server

X = [[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]]
TENSOR = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X}
LOGITS = np.array(X, dtype=np.float32) @ WEIGHTS


def test_the_ready_line_names_ports_and_variant(server: Server) -> None:
    assert server.ready["event"] == "ready"
    assert server.ready["variant"].startswith("tiny-ort-fp32@")
    assert server.state()["address"] == server.ready["variant"].split("@")[1]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "podium", "version": "2", "extensions": ["binary_tensor_data", "model_configuration"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/tiny/ready", {"name": "tiny", "ready": True}),
        ("/v2/models/tiny/versions/1/ready", {"name": "tiny", "ready": True}),
        ("/v1/models/tiny", {"name": "tiny", "ready": True}),
        ("/v1/models", {"models": ["tiny"]}),
    ],
)
def test_questions_about_the_server_are_answered(server: Server, path: str, expected: object) -> None:
    answer = server.ask("GET", path)
    assert (answer.status, answer.json) == (200, expected)
    assert answer.headers["x-podium-variant"] == server.ready["variant"]


def test_a_head_request_has_no_body(server: Server) -> None:
    answer = server.ask("HEAD", "/v2/health/live")
    assert (answer.status, answer.body) == (200, b"")


def test_metadata_names_the_tensors(server: Server) -> None:
    metadata = server.ask("GET", "/v2/models/tiny").json
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_the_configuration_is_what_tritons_clients_ask_for(server: Server) -> None:
    found = server.ask("GET", "/v2/models/tiny/config")
    assert found.json == {
        "name": "tiny",
        "platform": "ort-fp32",
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}],
        "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [3]}],
        "dynamic_batching": {"max_queue_delay_microseconds": 0},
    }
    assert server.ask("GET", "/v2/models/tiny/versions/1/config").json == found.json
    for path in ("/v2/models/tiny/versions/2/config", "/v2/models/nobody/config"):
        assert server.ask("GET", path).status == 404
    assert server.ask("POST", "/v2/models/tiny/config", b"{}").status == 405


def test_v1_and_v2_agree_with_the_arithmetic(server: Server) -> None:
    predictions = server.post_json("/v1/models/tiny:predict", {"instances": X}).json["predictions"]
    assert [one["label"] for one in predictions] == [["apple", "bread", "cheese"][i] for i in LOGITS.argmax(1)]
    powers = np.exp(LOGITS - LOGITS.max(1, keepdims=True))
    shares = powers / powers.sum(1, keepdims=True)
    for found, expected in zip(predictions, shares, strict=True):
        assert list(found["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    answer = server.post_json("/v2/models/tiny/infer", {"id": "q", "inputs": [TENSOR]}).json
    assert answer["id"] == "q"
    (output,) = answer["outputs"]
    assert output["shape"] == [2, 3]
    assert output["data"] == pytest.approx(LOGITS.ravel().tolist(), abs=1e-5)


def test_nothing_is_explained(server: Server) -> None:
    answer = server.post_json("/v1/models/tiny:explain", {"instances": X})
    assert (answer.status, answer.json["code"]) == (501, "not_implemented")
    assert server.post_json("/v1/models/nobody:explain", {"instances": X}).status == 404


def test_binary_tensors_travel_both_ways(server: Server) -> None:
    entry = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
    head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    answer = server.ask(
        "POST",
        "/v2/models/tiny/versions/1/infer",
        head + np.array(X, dtype="<f4").tobytes(),
        {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"},
    )
    assert answer.status == 200
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert json.loads(answer.body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 24}
    np.testing.assert_allclose(np.frombuffer(answer.body[length:], "<f4").reshape(2, 3), LOGITS, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("form", "kind"), [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp")])
def test_an_image_is_a_body(pictures: Server, form: str, kind: str) -> None:
    body = jpeg(3, form=form)
    raw = pictures.ask("POST", "/v1/models/tinyimg:predict", body, {"content-type": f"image/{kind}"})
    assert raw.status == 200
    encoded = pictures.post_json(
        "/v1/models/tinyimg:predict", {"instances": [{"b64": base64.b64encode(body).decode()}]}
    )
    assert encoded.json == raw.json
    tensor = preprocessing("mnist-28", {}).decode(body)[None]
    entry = {"name": "x", "shape": list(tensor.shape), "datatype": "FP32", "data": tensor.ravel().tolist()}
    logits = pictures.post_json("/v2/models/tinyimg/infer", {"inputs": [entry]}).json["outputs"][0]["data"]
    assert raw.json["predictions"][0]["label"] == ["apple", "bread", "cheese"][int(np.argmax(logits))]


def test_a_body_too_large_for_the_event_loop_is_answered_the_same(pictures: Server) -> None:
    tensors = np.random.default_rng(5).normal(size=(8, 1, 28, 28)).astype(np.float32)
    entry = {"name": "x", "shape": [8, 1, 28, 28], "datatype": "FP32", "data": tensors.tolist()}
    body = json.dumps({"inputs": [entry]}).encode()
    assert len(body) > 64 << 10
    many = pictures.ask("POST", "/v2/models/tinyimg/infer", body).json["outputs"][0]["data"]
    one = entry | {"shape": [1, 1, 28, 28], "data": tensors[:1].tolist()}
    first = pictures.post_json("/v2/models/tinyimg/infer", {"inputs": [one]}).json["outputs"][0]["data"]
    assert many[:3] == pytest.approx(first, abs=1e-4)
    broken = pictures.ask("POST", "/v2/models/tinyimg/infer", body[:-1])
    assert (broken.status, broken.json["code"]) == (400, "invalid_input")


def test_a_large_image_in_json_is_read_away_from_the_event_loop(pictures: Server) -> None:
    body = jpeg(3, size=700, form="PNG")
    assert len(body) > 64 << 10
    document = {"instances": [{"b64": base64.b64encode(body).decode()}]}
    encoded = pictures.post_json("/v1/models/tinyimg:predict", document)
    raw = pictures.ask("POST", "/v1/models/tinyimg:predict", body, {"content-type": "image/png"})
    assert encoded.status == 200
    assert encoded.json == raw.json


def test_a_request_id_is_echoed(server: Server) -> None:
    good = server.post_json("/v1/models/tiny:predict", {"instances": X}, x_request_id="r-17")
    assert good.headers["x-request-id"] == "r-17"
    bad = server.post_json("/v1/models/tiny:predict", {}, x_request_id="r-18")
    assert bad.headers["x-request-id"] == bad.json["id"] == "r-18"
    unnamed = server.post_json("/v1/models/tiny:predict", {})
    assert re.fullmatch(r"[0-9a-f]{16}", unnamed.json["id"])


def parts_of(header: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+);dur=([0-9.]+)", header)}


@pytest.mark.parametrize("kind", ["json", "image"])
def test_the_parts_of_the_time_sum_to_the_whole(pictures: Server, kind: str) -> None:
    for seed in range(20):
        if kind == "image":
            headers = {"content-type": "image/jpeg", "x-podium-timing": "1"}
            answer = pictures.ask("POST", "/v1/models/tinyimg:predict", jpeg(seed), headers)
        else:
            zeros = {"instances": np.zeros((2, 1, 28, 28)).tolist()}
            answer = pictures.post_json("/v1/models/tinyimg:predict", zeros, x_podium_timing="1")
        parts = parts_of(answer.headers["x-podium-timing"])
        whole = parts.pop("total")
        assert list(parts) == ["receive", "decode", "preprocess", "queue", "batch", "compute", "postprocess"]
        assert abs(sum(parts.values()) - whole) <= max(0.02 * whole, 0.05)
        assert parts["compute"] > 0
        assert (parts["preprocess"] > 0) == (kind == "image")


def test_times_are_told_only_on_request(server: Server) -> None:
    assert "x-podium-timing" not in server.post_json("/v1/models/tiny:predict", {"instances": X}).headers


def test_one_connection_carries_many_requests_even_pipelined(server: Server) -> None:
    body = json.dumps({"instances": X}).encode()
    request = (
        b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    last = request.replace(b"Host: h", b"Host: h\r\nConnection: close")
    answers = server.raw(request * 20 + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 21
    assert answers.count(b"connection: close") == 1


def test_a_client_may_ask_before_it_sends(server: Server) -> None:
    body = json.dumps({"instances": X}).encode()
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/models/tiny:predict HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"


def test_an_old_client_gets_an_answer_and_a_close(server: Server) -> None:
    answer = server.raw(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer


def test_a_colon_may_come_escaped(server: Server) -> None:
    assert server.post_json("/v1/models/tiny%3Apredict", {"instances": X}).status == 200
