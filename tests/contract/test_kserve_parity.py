"""The same requests to our front end and to `kserve.ModelServer` around our adapter: the same answers.

Where they differ, the case says in what (`statuses`: ours and theirs) and why (`reason`).
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import kserve
import numpy as np
import pytest
from fastapi import HTTPException
from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException

from predictors.server.kserve_model import KServeModel
from predictors.server.rpc import messages
from tests.artifacts import jpeg, vector_artifact
from tests.contract.conftest import Starter
from tests.contract.server import Answer, Server, ask_once
from tests.eventually import eventually
from tests.ports import free_ports

JSON = {"content-type": "application/json"}
CHANCE = np.random.default_rng(11)


@dataclass(frozen=True)
class Case:
    """One request, and why the SDK may answer it otherwise (empty: it must not)."""

    id: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    statuses: tuple[int, int] | None = None


def x(items: int) -> list[list[float]]:
    found: list[list[float]] = CHANCE.normal(size=(items, 4)).astype(np.float32).tolist()
    return found


def v1(name: str, document: Any, **more: Any) -> Case:
    return Case(f"v1 {name}", "/v1/models/M:predict", json.dumps(document).encode(), JSON, **more)


def v2(name: str, document: Any, **more: Any) -> Case:
    return Case(f"v2 {name}", "/v2/models/M/infer", json.dumps(document).encode(), JSON, **more)


def tensor(data: Any, shape: Any, datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, "data": data} | more


def request(data: Any, shape: Any, datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"id": "r", "inputs": [tensor(data, shape, datatype)]} | more


def binary(name: str, items: int, *, outputs: bool, size: int | None = None, **more: Any) -> Case:
    values = CHANCE.normal(size=(items, 4)).astype("<f4").tobytes()
    parameters = {"binary_data_size": len(values) if size is None else size}
    entry = {"name": "x", "shape": [items, 4], "datatype": "FP32", "parameters": parameters}
    document: dict[str, Any] = {"id": "b", "inputs": [entry]}
    if outputs:
        document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return Case(f"binary {name}", "/v2/models/M/infer", head + values, headers, **more)


def vector_cases() -> list[Case]:
    cases = [
        Case("live", "/v2/health/live"),
        Case("model ready v1", "/v1/models/M"),
        Case("model ready v2", "/v2/models/M/ready"),
        Case("models v1", "/v1/models"),
        Case("models v2", "/v2/models"),
        Case("unknown model ready", "/v1/models/nobody"),
        Case("unknown model v2", "/v2/models/nobody/ready"),
        Case(
            "unknown model infer", "/v2/models/nobody/infer", b"{}", JSON, "the SDK checks the body first", (404, 422)
        ),
    ]
    cases += [v1(f"{n} items", {"instances": x(n)}) for n in range(1, 9)]
    cases += [v2(f"{n} items flat", request(np.ravel(x(n)).tolist(), [n, 4])) for n in range(1, 9)]
    cases += [v2(f"{n} items nested", request(x(n), [n, 4])) for n in range(1, 9)]
    cases += [binary(f"in, {n} items", n, outputs=False) for n in range(1, 5)]
    cases += [binary(f"in and out, {n} items", n, outputs=True) for n in range(1, 5)]
    cases += [
        v2("integers as floats", request([1, 2, 3, 4], [1, 4])),
        v2("chosen output", request([1, 2, 3, 4], [1, 4], outputs=[{"name": "logits"}])),
        v2("large values", request([1e30, 0, 0, 1e-30], [1, 4])),
        v1("nine items", {"instances": x(9)}),
        v1("no items", {"instances": []}),
        v1("no instances", {}),
        v1("short row", {"instances": [[1, 2, 3]]}),
        v1("ragged", {"instances": [[1, 2, 3, 4], [1]]}),
        v1("texts", {"instances": [["a", "b", "c", "d"]]}),
        v1("booleans", {"instances": [[True, False, True, True]]}),
        v1("null", {"instances": None}, reason="the SDK refuses it in its own words", statuses=(400, 400)),
        v1("an object", {"instances": {"x": 1}}, reason="the SDK refuses it in its own words", statuses=(400, 400)),
        v1("out of range", {"instances": [[1e39, 0, 0, 0]]}),
        v1("an image for a model without", {"instances": [{"b64": "AAAA"}]}),
        Case("v1 no JSON", "/v1/models/M:predict", b"{", JSON, "the SDK refuses it in its own words", (400, 400)),
        Case("v1 an image for a model without", "/v1/models/M:predict", b"\xff\xd8", {"content-type": "image/jpeg"}),
        v2("nine items", request(np.ravel(x(9)).tolist(), [9, 4])),
        v2("another name", {"id": "r", "inputs": [tensor([1, 2, 3, 4], [1, 4]) | {"name": "y"}]}),
        v2("another type", request([1, 2, 3, 4], [1, 4], "INT32")),
        v2("an unknown type", request([1, 2, 3, 4], [1, 4], "FLOAT")),
        v2("another shape", request([1, 2, 3, 4], [2, 2])),
        v2("a negative shape", request([1, 2, 3, 4], [-1, 4])),
        v2("a huge shape", request([1, 2, 3, 4], [2**62, 4])),
        v2("too few values", request([1, 2, 3], [1, 4])),
        v2("too many values", request([1, 2, 3, 4, 5], [1, 4])),
        v2("no inputs", {"id": "r", "inputs": []}),
        v2("two inputs", {"id": "r", "inputs": [tensor([1, 2, 3, 4], [1, 4])] * 2}),
        v2("texts", request(["a", "b", "c", "d"], [1, 4])),
        v2("booleans", request([True, False, True, True], [1, 4])),
        v2("an unknown output", request([1, 2, 3, 4], [1, 4], outputs=[{"name": "scores"}])),
        v2(
            "an output twice",
            request([1, 2, 3, 4], [1, 4], outputs=[{"name": "logits"}] * 2),
            reason="told otherwise",
            statuses=(400, 400),
        ),
        v2("no id", {"inputs": [tensor([1, 2, 3, 4], [1, 4])]}, reason="the SDK answers with an empty id"),
        v2("inputs missing", {"id": "r"}, reason="the SDK refuses by its schema", statuses=(400, 422)),
        v2("a text as shape", request([1, 2, 3, 4], "1,4"), reason="schema", statuses=(400, 422)),
        v2("no list of data", request("abcd", [1, 4]), reason="schema", statuses=(400, 422)),
        v2("a text as number", request([1, 2, 3, 4], ["1", 4]), reason="the SDK takes it for 1", statuses=(400, 200)),
        Case("v2 no JSON", "/v2/models/M/infer", b"{", JSON, "the SDK refuses by its schema", (400, 422)),
        binary("wrong size", 2, outputs=False, size=12, reason="the SDK's reader fails", statuses=(400, 500)),
        Case("versions", "/v2/models/M/versions/1/ready", reason="the SDK has no versions", statuses=(200, 501)),
    ]
    return cases


def image_cases() -> list[Case]:
    cases = []
    for seed, (form, kind) in enumerate((("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"))):
        body = jpeg(seed, form=form)
        cases.append(Case(f"a {form} body", "/v1/models/M:predict", body, {"content-type": f"image/{kind}"}))
        cases.append(v1(f"a {form} in JSON", {"instances": [{"b64": base64.b64encode(body).decode()}] * 2}))
    cases += [
        Case("no image", "/v1/models/M:predict", b"text", {"content-type": "image/jpeg"}),
        Case("an empty body", "/v1/models/M:predict", b"", {"content-type": "image/jpeg"}),
        v1("no base64", {"instances": [{"b64": "#"}]}),
        v1("another key", {"instances": [{"b64": "AAAA", "more": 1}]}),
    ]
    return cases


@dataclass
class Sdk:
    """KServe's server around our adapter."""

    http_port: int
    grpc_port: int
    process: subprocess.Popen[bytes]

    def ask(self, case: Case) -> Answer:
        return ask_once(self.http_port, "GET" if case.body is None else "POST", case.path, case.body, case.headers)


def sdk_server(name: str, folder: Path, log: Path) -> Sdk:
    http_port = free_ports(2)
    grpc_port = http_port + 1
    flags = ["--http_port", str(http_port), "--grpc_port", str(grpc_port), "--enable_latency_logging", "false"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.sdk_server", name, str(folder), *flags],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return ask_once(http_port, "GET", f"/v2/models/{name}/ready").status == 200
        except OSError:
            return False

    eventually(is_ready, deadline_s=200, pause_s=0.1)
    return Sdk(http_port, grpc_port, process)


@pytest.fixture(scope="module")
def both(
    start: Starter, vector_folder: Path, image_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Server, Sdk]]]:
    pairs: dict[str, tuple[Server, Sdk]] = {}
    try:
        for name, folder in (("tiny", vector_folder), ("tinyimg", image_folder)):
            log = tmp_path_factory.mktemp("sdk") / "log"
            pairs[name] = (start(folder), sdk_server(name, folder, log))
        yield pairs
    finally:
        for _, sdk in pairs.values():
            sdk.process.kill()
            sdk.process.wait(60)


VECTORS = [(case, "tiny") for case in vector_cases()]
IMAGES = [(case, "tinyimg") for case in image_cases()]


def meaning(answer: Answer) -> Any:
    """Give what an answer says, without what names the server."""
    length = answer.headers.get("inference-header-content-length")
    if length is None:
        return without_nulls(answer.json)
    return without_nulls(json.loads(answer.body[: int(length)])), answer.body[int(length) :]


def without_nulls(value: Any) -> Any:
    """Leave out what the SDK writes as null and we not at all."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("case", "model"), VECTORS + IMAGES, ids=lambda item: getattr(item, "id", None))
def test_the_answers_are_the_same(both: dict[str, tuple[Server, Sdk]], case: Case, model: str) -> None:
    ours, sdk = both[model]
    named = Case(case.id, case.path.replace("/M", f"/{model}"), case.body, case.headers)
    mine = ask_once(ours.http_port, "GET" if case.body is None else "POST", named.path, named.body, named.headers)
    theirs = sdk.ask(named)
    if case.statuses is not None:
        assert case.reason
        assert (mine.status, theirs.status) == case.statuses
        return
    assert theirs.status == mine.status, theirs.body
    if mine.status != 200:
        assert mine.json["error"] in theirs.body.decode() or mine.status == 404
        return
    found, expected = meaning(theirs), meaning(mine)
    if case.reason:
        found = {key: value for key, value in found.items() if key != "id"}
    assert found == expected
    if case.path.endswith(("infer", "predict")):
        assert theirs.headers["x-podium-variant"] == mine.headers["x-podium-variant"]


def test_there_are_at_least_sixty_requests() -> None:
    assert len(VECTORS) + len(IMAGES) >= 60


def test_metadata_names_the_same_tensors(both: dict[str, tuple[Server, Sdk]]) -> None:
    ours, sdk = both["tiny"]
    case = Case("metadata", "/v2/models/tiny")
    mine, theirs = ask_once(ours.http_port, "GET", case.path).json, sdk.ask(case).json
    for kind in ("inputs", "outputs"):
        assert theirs[kind] == mine[kind]


def rpc_request(values: Any, shape: list[int], *, is_raw: bool = False, **more: Any) -> bytes:
    request = messages.ModelInferRequest(model_name=more.get("model", "tiny"), id="g")
    tensor = request.inputs.add(name=more.get("name", "x"), datatype=more.get("datatype", "FP32"), shape=shape)
    if is_raw:
        request.raw_input_contents.append(np.array(values, dtype="<f4").tobytes())
    else:
        tensor.contents.fp32_contents.extend(values)
    for output in more.get("outputs", ()):
        request.outputs.add(name=output)
    return bytes(request.SerializeToString())


def rpc_outcome(port: int | None, request: bytes) -> tuple[Any, Any]:
    """Give the status code, and the answer or the sentence of the refusal."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)]) as channel:
        try:
            answer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(request, timeout=60)
        except grpc.RpcError as error:
            return error.code(), error.details()
    message = messages.ModelInferResponse.FromString(answer)
    for output in message.outputs:
        # The SDK also tells the size of raw outputs here, which is REST's way and known from the bytes.
        output.ClearField("parameters")
    return StatusCode.OK, message


@pytest.mark.parametrize(
    "request_",
    [
        rpc_request([0, 1, 2, 3], [1, 4]),
        rpc_request([0, 1, 2, 3], [1, 4], is_raw=True),
        rpc_request(range(16), [4, 4], is_raw=True),
        rpc_request([0, 1, 2, 3], [1, 4], outputs=["logits"]),
        rpc_request([0, 1, 2, 3], [2, 2]),
        rpc_request([0, 1, 2], [1, 4]),
        rpc_request([0, 1, 2], [1, 4], is_raw=True),
        rpc_request([0, 1, 2, 3], [1, 4], name="y"),
        rpc_request([0, 1, 2, 3], [1, 4], is_raw=True, datatype="INT32"),
        rpc_request([0, 1, 2, 3], [1, 4], outputs=["scores"]),
        rpc_request([float("nan"), 1, 2, 3], [1, 4]),
        rpc_request([0, 1, 2, 3], [1, 4], model="nobody"),
    ],
    ids=range(12),
)
def test_the_answers_over_grpc_are_the_same(both: dict[str, tuple[Server, Sdk]], request_: bytes) -> None:
    ours, sdk = both["tiny"]
    mine, theirs = rpc_outcome(ours.grpc_port, request_), rpc_outcome(sdk.grpc_port, request_)
    assert theirs[0] is mine[0], theirs[1]
    if mine[0] is not StatusCode.NOT_FOUND:
        assert theirs[1] == mine[1]


def infer_request(*, from_grpc: bool) -> kserve.InferRequest:
    tensor = kserve.InferInput("x", [1, 4], "FP32", [0.0, 1.0, 2.0, 3.0])
    return kserve.InferRequest("tiny", [tensor], request_id="r", from_grpc=from_grpc)


async def test_a_deadline_that_passes_has_its_own_status(tmp_path: Path) -> None:
    model = KServeModel("slow", str(vector_artifact(tmp_path, name="slow", work=1100)), cpus=1, timeout_s=0.001)
    model.load()
    with pytest.raises(HTTPException) as over_rest:
        await model.predict(infer_request(from_grpc=False))
    assert over_rest.value.status_code == 504
    with pytest.raises(GrpcException) as over_grpc:
        await model.predict(infer_request(from_grpc=True))
    assert over_grpc.value.status_code is StatusCode.DEADLINE_EXCEEDED
    model.stop()


async def test_a_model_that_is_not_loaded_or_stopped_is_not_ready(vector_folder: Path) -> None:
    model = KServeModel("tiny", str(vector_folder), cpus=1)
    assert not await model.healthy()
    with pytest.raises(HTTPException) as caught:
        await model.predict(infer_request(from_grpc=False))
    assert caught.value.status_code == 503
    assert caught.value.headers == {"retry-after": "1"}
    model.load()
    assert await model.healthy()
    response = await model.predict(infer_request(from_grpc=True))
    assert isinstance(response, kserve.InferResponse)
    assert response.outputs[0].shape == [1, 3]
    model.stop()
    assert not await model.healthy()
    with pytest.raises(GrpcException) as refused:
        await model.predict(infer_request(from_grpc=True))
    assert refused.value.status_code is StatusCode.UNAVAILABLE
