"""V2 over gRPC: the same answers as over HTTP, the same refusals in gRPC's words, and a drain with GOAWAY."""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from onnx import TensorProto

from predictors.server.rpc import messages
from tests.artifacts import WEIGHTS, jpeg, vector_artifact, vector_graph
from tests.bare_models import identity_graph, saved
from tests.contract.conftest import Starter
from tests.contract.holding import held, hold, waiting, with_a_gate
from tests.contract.server import Server
from tests.eventually import eventually

X = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]], dtype=np.float32)
Code = grpc.StatusCode


class Rpc:
    """A channel to a server, and the calls of both services by name."""

    def __init__(self, server: Server) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.enable_retries", 0)])

    def ask(self, method: str, request: bytes, *, timeout_s: float = 60, headers: Any = None) -> tuple[bytes, Any]:
        """Give the answer's bytes and its trailing metadata."""
        call = self.channel.unary_unary(f"/{method}")
        answer, done = call.with_call(request, timeout=timeout_s, metadata=headers)
        return answer, dict(done.trailing_metadata())

    def infer(self, request: Any, **more: Any) -> Any:
        return messages.ModelInferResponse.FromString(
            self.ask("inference.GRPCInferenceService/ModelInfer", request.SerializeToString(), **more)[0]
        )

    def refusal(self, request: Any, **more: Any) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            self.infer(request, **more)
        return caught.value

    def health(self, service: str = "") -> str:
        asked = messages.HealthCheckRequest(service=service).SerializeToString()
        answer = messages.HealthCheckResponse.FromString(self.ask("grpc.health.v1.Health/Check", asked)[0])
        return str(messages.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.fixture(scope="module")
def rpc(server: Server) -> Iterator[Rpc]:
    found = Rpc(server)
    yield found
    found.channel.close()


def raw(values: np.ndarray[Any, Any] = X, *, name: str = "tiny", datatype: str = "FP32", **more: Any) -> Any:
    request = messages.ModelInferRequest(model_name=name, id="q", **more)
    request.inputs.add(name="x", datatype=datatype, shape=values.shape)
    request.raw_input_contents.append(values.tobytes())
    return request


def typed(values: Any, shape: Any, *, datatype: str = "FP32", field: str = "fp32_contents", name: str = "tiny") -> Any:
    request = messages.ModelInferRequest(model_name=name)
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    getattr(tensor.contents, field).extend(values)
    return request


def test_raw_contents_are_answered_raw(rpc: Rpc) -> None:
    answer = rpc.infer(raw())
    assert (answer.model_name, answer.model_version, answer.id) == ("tiny", "1", "q")
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("logits", "FP32", [2, 3])
    found = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(2, 3)
    np.testing.assert_allclose(found, X @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_typed_contents_are_answered_typed_and_equal_http(rpc: Rpc, server: Server) -> None:
    answer = rpc.infer(typed(X.ravel().tolist(), [2, 4]))
    assert not answer.raw_output_contents
    entry = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X.tolist()}
    over_http = server.post_json("/v2/models/tiny/infer", {"inputs": [entry]}).json["outputs"][0]["data"]
    assert list(answer.outputs[0].contents.fp32_contents) == over_http


def test_headers_are_carried_as_metadata(rpc: Rpc, server: Server) -> None:
    headers = (("x-request-id", "r-5"), ("x-podium-timing", "1"))
    _, trailing = rpc.ask("inference.GRPCInferenceService/ModelInfer", raw().SerializeToString(), headers=headers)
    assert trailing["x-request-id"] == "r-5"
    assert trailing["x-podium-variant"] == server.ready["variant"]
    assert "compute;dur=" in trailing["x-podium-timing"]
    assert server.state()["requests"]["v2-grpc 200"] >= 1


def test_questions_about_the_server_are_answered(rpc: Rpc) -> None:
    def told(method: str, request: Any, kind: Any) -> Any:
        return kind.FromString(rpc.ask(f"inference.GRPCInferenceService/{method}", request)[0])

    named = messages.ModelReadyRequest(name="tiny").SerializeToString()
    assert told("ServerLive", b"", messages.ServerLiveResponse).live
    assert told("ServerReady", b"", messages.ServerReadyResponse).ready
    assert told("ModelReady", named, messages.ModelReadyResponse).ready
    assert told("ServerMetadata", b"", messages.ServerMetadataResponse).name == "podium"
    metadata = told("ModelMetadata", named, messages.ModelMetadataResponse)
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("tiny", ["1"], "ort-fp32")
    assert (metadata.inputs[0].name, list(metadata.inputs[0].shape)) == ("x", [-1, 4])
    config = told("ModelConfig", named, messages.ModelConfigResponse).config
    assert (config.name, config.max_batch_size, list(config.input[0].dims)) == ("tiny", 8, [4])
    for service in ("", "tiny", "inference.GRPCInferenceService"):
        assert rpc.health(service) == "SERVING"
    with pytest.raises(grpc.RpcError) as unknown:
        rpc.health("nobody")
    assert unknown.value.code() is Code.NOT_FOUND


def both_contents() -> Any:
    request = typed(X.ravel().tolist(), [2, 4])
    request.raw_input_contents.append(X.tobytes())
    return request


@pytest.mark.parametrize(
    ("request_", "code", "told"),
    [
        (raw(name="nobody"), Code.NOT_FOUND, "no such model"),
        (raw(model_version="7"), Code.NOT_FOUND, "no such model or version"),
        (raw(X[:, :3].copy()), Code.INVALID_ARGUMENT, "inputs[0].shape: x takes the shape [-1, 4]"),
        (raw(np.zeros((9, 4), np.float32)), Code.INVALID_ARGUMENT, "at most 8 items"),
        (raw(datatype="INT32"), Code.INVALID_ARGUMENT, "inputs[0].datatype: x takes FP32"),
        (raw(datatype="NOTHING"), Code.INVALID_ARGUMENT, "inputs[0].datatype"),
        (raw(np.full((1, 4), np.nan, np.float32)), Code.INVALID_ARGUMENT, "not finite"),
        (
            typed([1, 2, 3], [1, 4]),
            Code.INVALID_ARGUMENT,
            "inputs[0].data: 3 values in the shape [3] came",
        ),
        (typed([1, 2, 3, float("inf")], [1, 4]), Code.INVALID_ARGUMENT, "not finite"),
        (typed([], [1, 4]), Code.INVALID_ARGUMENT, "inputs[0].data"),
        (typed([1, 2, 3, 4], [2**62, 4]), Code.INVALID_ARGUMENT, "at most 8 items"),
        (typed([1, 2, 3, 4], [-1, 4]), Code.INVALID_ARGUMENT, "inputs[0].shape"),
        (typed([1, 2, 3, 4], [1, 4], field="fp64_contents"), Code.INVALID_ARGUMENT, "go into fp32_contents"),
        (typed([], [1, 4], datatype="FP16"), Code.INVALID_ARGUMENT, "goes into raw_input_contents"),
        (both_contents(), Code.INVALID_ARGUMENT, "must not stand beside raw_input_contents"),
        (messages.ModelInferRequest(model_name="tiny"), Code.INVALID_ARGUMENT, "inputs: must list x"),
        (
            messages.ModelInferRequest(model_name="tiny", raw_input_contents=[b"", b""]),
            Code.INVALID_ARGUMENT,
            "raw_input_contents: 2 came for 0 inputs",
        ),
    ],
)
def test_a_request_that_means_nothing_is_refused_with_the_field(rpc: Rpc, request_: Any, code: Any, told: str) -> None:
    refused = rpc.refusal(request_)
    assert refused.code() is code
    assert told in refused.details()
    assert dict(refused.trailing_metadata())["x-podium-code"] in ("invalid_input", "unknown_model")


def test_bytes_that_are_no_message_are_the_clients_fault(rpc: Rpc) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc.ask("inference.GRPCInferenceService/ModelInfer", b"\xff\xff\xff")
    assert caught.value.code() is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload", "ModelStreamInfer"])
def test_nothing_of_the_management_interface_exists(rpc: Rpc, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        rpc.ask(f"inference.GRPCInferenceService/{method}", b"")
    assert caught.value.code() is Code.UNIMPLEMENTED
    assert rpc.health("tiny") == "SERVING"


def test_a_message_above_the_models_limit_is_refused(rpc: Rpc) -> None:
    refused = rpc.refusal(raw(np.zeros((50_000, 4), np.float32)))
    assert refused.code() is Code.RESOURCE_EXHAUSTED
    assert rpc.infer(raw()).id == "q"


def test_images_travel_as_bytes(start: Starter, image_folder: Path) -> None:
    rpc = Rpc(start(image_folder))
    images = [jpeg(1), jpeg(2)]
    request = messages.ModelInferRequest(model_name="tinyimg")
    tensor = request.inputs.add(name="x", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend(images)
    by_content = rpc.infer(request)
    assert list(by_content.outputs[0].shape) == [2, 3]
    request = messages.ModelInferRequest(model_name="tinyimg")
    request.inputs.add(name="x", datatype="BYTES", shape=[2])
    request.raw_input_contents.append(b"".join(len(image).to_bytes(4, "little") + image for image in images))
    by_bytes = rpc.infer(request)
    found = np.frombuffer(by_bytes.raw_output_contents[0], "<f4").tolist()
    assert found == pytest.approx(list(by_content.outputs[0].contents.fp32_contents))
    rpc.channel.close()


@pytest.mark.parametrize(
    ("kind", "datatype", "field", "values"),
    [
        (TensorProto.INT8, "INT8", "int_contents", [-128, 0, 127]),
        (TensorProto.UINT8, "UINT8", "uint_contents", [0, 7, 255]),
        (TensorProto.INT64, "INT64", "int64_contents", [-(2**62), 0, 5]),
        (TensorProto.BOOL, "BOOL", "bool_contents", [True, False, True]),
        (TensorProto.DOUBLE, "FP64", "fp64_contents", [0.1, -1e300, 3.0]),
    ],
)
def test_every_typed_field_goes_through(
    start: Starter, tmp_path: Path, kind: int, datatype: str, field: str, values: list[Any]
) -> None:
    rpc = Rpc(start(saved(tmp_path / "net", identity_graph(kind))))
    answer = rpc.infer(typed(values, [1, 3], datatype=datatype, field=field, name="net"))
    assert list(getattr(answer.outputs[0].contents, field)) == values
    if datatype == "INT8":
        refused = rpc.refusal(typed([300, 0, 0], [1, 3], datatype=datatype, field=field, name="net"))
        assert "a value is outside INT8" in refused.details()
    rpc.channel.close()


def code_of(rpc: Rpc, request: Any, timeout_s: float = 60) -> Any:
    try:
        rpc.infer(request, timeout_s=timeout_s)
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


def test_a_full_queue_is_resource_exhausted(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, "--queue", "2")
    rpc = Rpc(server)
    with ThreadPoolExecutor(2) as pool:
        with held(server):
            accepted = [pool.submit(code_of, rpc, raw(X[:1])) for _ in range(2)]
            waiting(server, 3)
            assert {code_of(rpc, raw(X[:1])) for _ in range(9)} == {Code.RESOURCE_EXHAUSTED}
        assert {future.result() for future in accepted} == {Code.OK}
    assert server.state()["requests"]["v2-grpc 503"] == 9
    rpc.channel.close()


def test_a_deadline_takes_the_work_out_of_the_queue(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder)
    rpc = Rpc(server)
    before = sum(server.state()["batches"].values())
    with held(server):
        with ThreadPoolExecutor(8) as pool:
            # Long enough that all of them wait before the first one leaves, on a busy machine too.
            left = [pool.submit(code_of, rpc, raw(X[:1]), 5) for _ in range(8)]
            waiting(server, 9)
        eventually(lambda: server.state()["in_flight"] == 1)
    assert {future.result() for future in left} == {Code.DEADLINE_EXCEEDED}
    assert sum(server.state()["batches"].values()) - before == 1, "who has left is not computed for"
    rpc.channel.close()


def test_an_engine_that_fails_tells_nothing_but_an_id(start: Starter, tmp_path: Path) -> None:
    server = start(vector_artifact(tmp_path, name="tiny", fail_on_negative=True))
    rpc = Rpc(server)
    refused = rpc.refusal(raw(np.full((1, 4), -1, np.float32)))
    assert (refused.code(), refused.details()) == (Code.INTERNAL, "the prediction failed")
    identity = dict(refused.trailing_metadata())["x-request-id"]
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    assert identity in [line.get("id") for line in lines]
    rpc.channel.close()


def leave(rpc: Rpc, seen: list[Any]) -> None:
    """Close a channel that was watched: a closed one fails the thread that still watches it."""
    rpc.channel.unsubscribe(seen.append)
    eventually(lambda: not any("(_run)" in thread.name for thread in threading.enumerate()))
    rpc.channel.close()


def health_watch(rpc: Rpc) -> Iterator[int]:
    """Give the health of the model, now and whenever it changes."""
    asked = messages.HealthCheckRequest(service="tiny").SerializeToString()
    watch = rpc.channel.unary_stream("/grpc.health.v1.Health/Watch")(asked, timeout=200)
    return (messages.HealthCheckResponse.FromString(status).status for status in watch)


def test_the_pre_stop_margin_is_served(start: Starter, vector_folder: Path) -> None:
    """The margin is longer than any test takes, so that it ends with the test and not by itself."""
    server = start(vector_folder, "--pre-stop", "9m", "--grace", "10m")
    rpc = Rpc(server)
    told = health_watch(rpc)
    assert next(told) == 1
    server.process.send_signal(signal.SIGTERM)
    assert next(told) == 2, "a watcher hears of it at once"
    assert rpc.health() == "NOT_SERVING"
    assert rpc.infer(raw()).id == "q", "who has not heard yet is served"
    server.stop(signal.SIGKILL)
    rpc.channel.close()


def test_in_the_pre_stop_margin_clients_are_sent_away(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, "--pre-stop", "1500ms")
    rpc = Rpc(server)
    rpc.infer(raw())
    seen: list[Any] = []
    rpc.channel.subscribe(seen.append)
    watcher = Rpc(server)
    told = health_watch(watcher)
    assert next(told) == 1
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: grpc.ChannelConnectivity.IDLE in seen)
    assert server.process.wait(60) == 0
    assert list(told) == [2], "the watch has ended with an answer"
    assert code_of(rpc, raw()) is Code.UNAVAILABLE
    leave(rpc, seen)
    watcher.channel.close()


def test_calls_in_flight_are_finished_before_the_end(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, "--pre-stop", "100ms", "--grace", "5m")
    rpc = Rpc(server)
    with ThreadPoolExecutor(8) as pool:
        with held(server):
            accepted = [pool.submit(code_of, rpc, raw(X[:1])) for _ in range(8)]
            waiting(server, 9)
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: server.state()["state"] == "refusing", pause_s=0.005)
        assert [future.result() for future in accepted] == [Code.OK] * 8
    assert server.process.wait(60) == 0
    rpc.channel.close()


def test_at_the_end_clients_are_sent_away_and_their_calls_finished(start: Starter, vector_folder: Path) -> None:
    server = with_a_gate(start, vector_folder, "--grace", "5m")
    rpc = Rpc(server)
    seen: list[Any] = []
    rpc.channel.subscribe(seen.append)
    with ThreadPoolExecutor(3) as pool:
        with held(server):
            accepted = [pool.submit(code_of, rpc, raw(X[:1])) for _ in range(3)]
            waiting(server, 4)
            server.process.send_signal(signal.SIGTERM)
            # Nothing has been answered yet: GOAWAY comes before the end.
            eventually(lambda: grpc.ChannelConnectivity.IDLE in seen, pause_s=0.005)
        assert [future.result() for future in accepted] == [Code.OK] * 3
    assert server.process.wait(60) == 0
    leave(rpc, seen)


def test_killed_hard_it_loses_them(start: Starter, vector_folder: Path) -> None:
    """The control: the calls above can fail."""
    server = with_a_gate(start, vector_folder)
    rpc = Rpc(server)
    with ThreadPoolExecutor(9) as pool:
        hold(server, pool)
        accepted = [pool.submit(code_of, rpc, raw(X[:1])) for _ in range(8)]
        waiting(server, 9)
        server.stop(signal.SIGKILL)
        assert [future.result() for future in accepted] == [Code.UNAVAILABLE] * 8
    rpc.channel.close()


def test_a_watcher_does_not_hold_up_the_end(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder)
    rpc = Rpc(server)
    watch = rpc.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60)
    next(watch)
    # 1, were it there until the grace time is over.
    assert server.stop() == 0
    rpc.channel.close()


def test_without_grpc_nothing_listens(start: Starter, tmp_path: Path) -> None:
    server = start(saved(tmp_path / "net", vector_graph()), "--grpc", "false")
    assert server.grpc_port is None
