"""Requests made of golden inputs: what the server's own reader takes back out of them is what went in."""

import json
from pathlib import Path

import numpy as np
import pytest

from podium.goldenload import encoded, golden_payloads, golden_protocol
from predictors.golden import read_golden
from predictors.manifest import read_variant
from tests.artifacts import vector_artifact


@pytest.mark.parametrize(
    ("protocol", "golden"),
    [
        ("v1-json", "v2-json"),
        ("v2-json", "v2-json"),
        ("v1-image", "v2-binary"),
        ("v2-binary", "v2-binary"),
        ("grpc", "grpc"),
    ],
)
def test_each_protocol_has_one_for_golden_inputs(protocol: str, golden: str) -> None:
    assert golden_protocol(protocol) == golden


def test_a_request_of_so_many_items_is_written_and_is_one_of_the_protocol(tmp_path: Path) -> None:
    artifact = vector_artifact(tmp_path / "artifact")
    for protocol in ("v2-json", "v2-binary", "grpc"):
        for items in (1, 5):
            found = golden_payloads(artifact, tmp_path / f"{protocol}-{items}", protocol=protocol, items=items)
            assert [request.items for request in found.requests_as(protocol)] == [items]
    same = golden_payloads(artifact, tmp_path / "again", protocol="v2-json")
    assert same.sha256 == golden_payloads(artifact, tmp_path / "third", protocol="v2-json").sha256


def test_both_encodings_hold_the_same_numbers(tmp_path: Path) -> None:
    artifact = vector_artifact(tmp_path / "artifact")
    golden, _ = read_golden(artifact, read_variant(artifact))
    x = np.resize(golden["x"], (5, 4))
    text = json.loads(encoded({"x": x}, "v2-json"))
    assert text["inputs"][0]["datatype"] == "FP32"
    assert np.array_equal(np.array(text["inputs"][0]["data"], np.float32).reshape(5, 4), x)
    raw = encoded({"x": x}, "v2-binary")
    head, end = json.JSONDecoder().raw_decode(raw.decode("latin-1"))
    assert head["inputs"][0]["parameters"]["binary_data_size"] == x.nbytes
    assert raw[end:] == x.tobytes()
