"""The k6 scripts: what they accept as a right answer, and that they refuse a shot they do not understand."""

import json
import struct
import subprocess
from pathlib import Path
from typing import cast

import pytest

from loadtest.k6 import ENVIRONMENT, Runner, command, shot_environment, write_shot
from loadtest.payloads import PayloadSet
from loadtest.process import start, wait_all
from loadtest.shot import Endpoint, Shot

V2 = {"outputs": [{"name": "p", "shape": [2, 11], "datatype": "FP32"}]}


def text(protocol: str, body: object, items: int, *, right: bool) -> dict[str, object]:
    written = body if isinstance(body, str) else json.dumps(body)
    name = f"{protocol} {written} for {items}"
    return {"name": name, "protocol": protocol, "body": written, "items": items, "right": right}


def binary(header: object, tail: int, *, right: bool, length: int | None = None) -> dict[str, object]:
    head = json.dumps(header).encode()
    said = {"Inference-Header-Content-Length": str(len(head) if length is None else length)}
    name = f"v2-binary {head.decode()} and {tail} bytes, header {said}"
    body = list(head + bytes(tail))
    return {
        "name": name,
        "protocol": "v2-binary",
        "binary": True,
        "body": body,
        "headers": {} if length == -1 else said,
        "items": 2,
        "right": right,
    }


def scored(first: float, known: float, *, datatype: str = "FP32", right: bool) -> dict[str, object]:
    """Return a binary answer of one item with two scores, where the first is known."""
    header = {"outputs": [{"datatype": datatype, "shape": [1, 2], "parameters": {"binary_data_size": 8}}]}
    case = binary(header, 8, right=right)
    body = [*cast("list[int]", case["body"])[:-8], *struct.pack("<2f", first, 0.0)]
    return {**case, "body": body, "items": 1, "known": known, "name": f"{datatype} {first} for {known}"}


def tensor(rows: int, size: int) -> dict[str, object]:
    return {"outputs": [{"name": "p", "shape": [rows, 11], "parameters": {"binary_data_size": size}}]}


CASES = [
    text("v1-image", {"predictions": [{"label": "pie"}]}, 1, right=True),
    text("v1-image", {"predictions": []}, 1, right=False),
    text("v1-json", {"predictions": [1, 2]}, 2, right=True),
    text("v1-json", {"predictions": [1, 2]}, 3, right=False),
    text("v1-json", {"error": "full"}, 1, right=False),
    text("v1-json", {"predictions": "12"}, 2, right=False),
    text("v1-json", "<html>", 1, right=False),
    text("v2-json", V2, 2, right=True),
    text("v2-json", V2, 1, right=False),
    text("v2-json", {"outputs": []}, 1, right=False),
    text("v2-json", {"error": "full"}, 1, right=False),
    binary(tensor(2, 88), 88, right=True),
    binary(tensor(2, 88), 87, right=False),
    binary(tensor(1, 88), 88, right=False),
    binary(tensor(2, 88), 88, right=False, length=-1),
    binary(tensor(2, 88), 88, right=False, length=10_000),
    binary(tensor(2, 88), 88, right=False, length=3),
    binary({"outputs": []}, 0, right=False),
    {**text("v1-image", {"predictions": [{"label": "pie"}]}, 1, right=True), "label": "pie"},
    {**text("v1-image", {"predictions": [{"label": "pie"}]}, 1, right=False), "label": "soup"},
    {**text("v1-json", {"predictions": [3]}, 1, right=False), "label": "soup"},
    scored(1.5, 1.5, right=True),
    scored(1.5, 2.5, right=False),
    scored(1.5, 2.5, datatype="INT64", right=True),
]


def test_right_answers_are_told_from_wrong_ones_in_every_protocol(k6: Path, tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(CASES))
    script = Path(__file__).with_name("answers.js")
    run = [str(k6), "run", "--quiet", "--summary-mode=disabled", "-e", f"CASES={path}", str(script)]
    found = subprocess.run(run, env={**ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "closed", "seconds": 1.0}, "the shot is closed, this script plays open ones"),
        ({"protocol": "thrift"}, "no such protocol: thrift"),
        ({"payloads": "nothing.json"}, "no such file"),
        ({"users": 0}, "users is 0"),
    ],
)
def test_a_shot_that_a_script_does_not_understand_is_refused(
    k6: Path, bodies: PayloadSet, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    endpoint = Endpoint("http://127.0.0.1:9", "v1-image", "pie")
    shot = Shot("open", users=1, timeout_s=1.0, schedule=bodies.order(1))
    write_shot(tmp_path, endpoint, shot, bodies, Runner())
    path = tmp_path / "shot.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    log = tmp_path / "log"
    run = command(k6, kind="open", folder=tmp_path)
    with start(run, log=log, environment=shot_environment(tmp_path), cores=None) as child:
        assert wait_all([child], 60.0)[0].code != 0
    assert sentence in log.read_text()
    assert not (tmp_path / "result.json").exists()
