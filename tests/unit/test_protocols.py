"""What a request looks like in each protocol."""

import json

import pytest

from loadtest.errors import ScheduleError
from loadtest.protocols import PROTOCOLS, RequestAs, path_of, request_as

V2 = {"inputs": [{"name": "image", "shape": [4, 3, 2, 2], "datatype": "FP32", "parameters": {}}]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_path_follows_the_version_of_the_protocol(protocol: str) -> None:
    expected = {"v1": "/v1/models/pie:predict", "v2": "/v2/models/pie/infer"}
    grpc = "/inference.GRPCInferenceService/ModelInfer"
    assert path_of(protocol, "pie") == expected.get(protocol[:2], grpc)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.jpg", "jpeg"), ("a.JPEG", "jpeg"), ("a.png", "png"), ("a.webp", "webp")]
)
def test_an_image_is_sent_as_its_ending_says(name: str, kind: str) -> None:
    request = request_as("v1-image", name, b"")
    assert (request.headers, request.items) == ({"content-type": f"image/{kind}"}, 1)


def test_json_bodies_say_how_many_items_they_ask_about() -> None:
    assert request_as("v1-json", "a.json", b'{"instances": [[1], [2], [3]]}').items == 3
    assert request_as("v2-json", "a.json", json.dumps(V2).encode()).items == 4


def test_a_binary_body_is_sent_with_the_length_of_its_header() -> None:
    header = json.dumps(V2).encode()
    request = request_as("v2-binary", "a.bin", header + bytes(range(256)))
    assert request.items == 4
    assert request.headers["inference-header-content-length"] == str(len(header))
    assert request.headers["content-type"] == "application/octet-stream"
    assert request_as("grpc", "a.bin", header + bytes(range(256))) == RequestAs({}, 4)


@pytest.mark.parametrize(
    ("protocol", "name", "body"),
    [
        ("v1-image", "a.txt", b""),
        ("v1-json", "a.json", b"{}"),
        ("v1-json", "a.json", b"[1"),
        ("v2-json", "a.json", b'{"inputs": []}'),
        ("v2-binary", "a.bin", b"\xff\xd8"),
        ("v2-binary", "a.bin", b'{"inputs": [{"shape": []}]}'),
        ("grpc", "a.jpg", b"\xff\xd8"),
    ],
)
def test_a_payload_of_another_protocol_is_refused_by_name(protocol: str, name: str, body: bytes) -> None:
    with pytest.raises(ScheduleError, match=f"payload {name} is not a {protocol} request"):
        request_as(protocol, name, body)


def test_a_protocol_that_is_not_spoken_is_refused_with_those_that_are() -> None:
    with pytest.raises(ScheduleError, match="'thrift' cannot be played") as error:
        path_of("thrift", "pie")
    assert "v2-binary" in error.value.hint
    with pytest.raises(ScheduleError, match="'thrift'"):
        request_as("thrift", "a", b"")
