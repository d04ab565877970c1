"""One public client asks a server for everything it can: `python -m tests.contract.speak CLIENT HOST:PORT MODEL`.

Each client runs in a process of its own, because KServe's and Triton's register messages of the same names.
What came back is written as one line of JSON; retries are off, or a failure would not be seen.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

X = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]], dtype=np.float32)


async def kserve_rest(address: str, model: str) -> dict[str, Any]:
    import kserve

    config = kserve.RESTConfig(protocol="v2", retries=0, timeout=60)
    base = f"http://{address}"
    found: dict[str, Any] = {}
    async with kserve.InferenceRESTClient(config) as client:
        for is_binary in (False, True):
            tensor = kserve.InferInput("x", [2, 4], "FP32")
            tensor.set_data_from_numpy(X, binary_data=is_binary)
            parameters = {"binary_data_output": is_binary}
            request = kserve.InferRequest(model, [tensor], request_id="q", parameters=parameters)
            response = await client.infer(base, request, model_name=model)
            found["binary" if is_binary else "json"] = response.outputs[0].as_numpy().tolist()
        found["id"] = response.id
        found["refused"] = await _told_over_rest(client, base, model)
        found["live"] = await client.is_server_live(base)
        found["ready"] = await client.is_server_ready(base)
        found["model_ready"] = await client.is_model_ready(base, model)
    config = kserve.RESTConfig(protocol="v1", retries=0, timeout=60)
    async with kserve.InferenceRESTClient(config) as client:
        found["model_ready_v1"] = await client.is_model_ready(base, model)
    return found


async def _told_over_rest(client: Any, base: str, model: str) -> bool:
    """Whether a wrong shape and an unknown model are refused in the protocol's words."""
    import httpx
    import kserve

    tensor = kserve.InferInput("x", [2, 2], "FP32")
    tensor.set_data_from_numpy(X[:, :2], binary_data=True)
    told = []
    for name in (model, "nobody"):
        try:
            await client.infer(base, kserve.InferRequest(name, [tensor]), model_name=name)
        except httpx.HTTPStatusError as error:
            told.append((error.response.status_code, set(error.response.json())))
    return told == [(400, {"error", "code", "id"}), (404, {"error", "code", "id"})]


async def _told_over_grpc(client: Any, model: str) -> bool:
    import grpc
    import kserve

    tensor = kserve.InferInput("x", [2, 2], "FP32")
    tensor.set_data_from_numpy(X[:, :2], binary_data=True)
    told = []
    for name in (model, "nobody"):
        try:
            await client.infer(kserve.InferRequest(name, [tensor]))
        except grpc.RpcError as error:
            told.append((error.code().name, "inputs[0].shape" in error.details()))
    return told == [("INVALID_ARGUMENT", True), ("NOT_FOUND", False)]


async def kserve_grpc(address: str, model: str) -> dict[str, Any]:
    import kserve

    found: dict[str, Any] = {}
    async with kserve.InferenceGRPCClient(address, retries=0, timeout=60) as client:
        for is_binary in (False, True):
            tensor = kserve.InferInput("x", [2, 4], "FP32")
            tensor.set_data_from_numpy(X, binary_data=is_binary)
            response = await client.infer(kserve.InferRequest(model, [tensor], request_id="q"))
            found["binary" if is_binary else "json"] = response.outputs[0].as_numpy().tolist()
        found["id"] = response.id
        found["refused"] = await _told_over_grpc(client, model)
        found["live"] = await client.is_server_live()
        found["ready"] = await client.is_server_ready()
        found["model_ready"] = await client.is_model_ready(model)
    return found


def triton_http(address: str, model: str) -> dict[str, Any]:
    import tritonclient.http as triton

    with triton.InferenceServerClient(address) as client:
        found = _triton(triton, client, model)
        calls = [client.async_infer(model, [_tensor(triton)]) for _ in range(20)]
        found["many"] = all(call.get_result().as_numpy("logits").shape == (2, 3) for call in calls)
        return found


def _tensor(triton: Any) -> Any:
    tensor = triton.InferInput("x", [2, 4], "FP32")
    tensor.set_data_from_numpy(X)
    return tensor


def triton_grpc(address: str, model: str) -> dict[str, Any]:
    import tritonclient.grpc as triton

    with triton.InferenceServerClient(address) as client:
        return _triton(triton, client, model)


def _triton(triton: Any, client: Any, model: str) -> dict[str, Any]:
    is_http = triton.__name__.endswith("http")
    found: dict[str, Any] = {}
    for is_binary in (False, True):
        tensor = triton.InferInput("x", [2, 4], "FP32")
        if is_http:
            tensor.set_data_from_numpy(X, binary_data=is_binary)
            outputs = [triton.InferRequestedOutput("logits", binary_data=is_binary)]
        else:
            tensor.set_data_from_numpy(X)
            outputs = [triton.InferRequestedOutput("logits")]
        result = client.infer(model, [tensor], request_id="q", outputs=outputs)
        found["binary" if is_binary else "json"] = result.as_numpy("logits").tolist()
    response = result.get_response()
    found["id"] = response["id"] if is_http else response.id
    found["live"] = client.is_server_live()
    found["ready"] = client.is_server_ready()
    found["model_ready"] = client.is_model_ready(model)
    found["refused"] = _told_by_triton(triton, client, model)
    again = client.infer(model, [tensor], model_version="1")
    found["version"] = bool((again.as_numpy("logits") == result.as_numpy("logits")).all())
    found["version_ready"] = client.is_model_ready(model, "1")
    found["no_other_version"] = not client.is_model_ready(model, "9") if is_http else True
    metadata = client.get_model_metadata(model)
    found["inputs"] = [item["name"] for item in metadata["inputs"]] if is_http else [i.name for i in metadata.inputs]
    found["configured"] = _configuration(client, model, is_http)
    server = client.get_server_metadata()
    found["server"] = server["name"] if is_http else server.name
    return found


def _configuration(client: Any, model: str, is_http: bool) -> bool:
    """Whether the configuration, which perf_analyzer asks for first, holds what it goes by."""
    told = []
    for version in ("", "1"):
        config = client.get_model_config(model, version, **({} if is_http else {"as_json": True}))
        config = config.get("config", config)
        tensors = [(one["name"], one["data_type"], [int(n) for n in one["dims"]]) for one in config["input"]]
        batching = "dynamic_batching" in config
        told.append((config["name"], config["backend"], config["max_batch_size"], batching, tensors))
    return told == [(model, "onnxruntime", 8, True, [("x", "TYPE_FP32", [4])])] * 2


def _told_by_triton(triton: Any, client: Any, model: str) -> bool:
    from tritonclient.utils import InferenceServerException

    wrong = triton.InferInput("x", [2, 2], "FP32")
    wrong.set_data_from_numpy(X[:, :2])
    right = triton.InferInput("x", [2, 4], "FP32")
    right.set_data_from_numpy(X)
    absent = [triton.InferRequestedOutput("nothing")]
    told = []
    for name, tensor, outputs in ((model, wrong, None), ("nobody", right, None), (model, right, absent)):
        try:
            client.infer(name, [tensor], outputs=outputs)
        except InferenceServerException as error:
            told.append((str(error.status()).rpartition(".")[2], error.message()))
    statuses = [status for status, _ in told]
    named = "inputs[0].shape" in told[0][1] and "outputs[0].name" in told[2][1]
    return named and statuses in (["400", "404", "400"], ["INVALID_ARGUMENT", "NOT_FOUND", "INVALID_ARGUMENT"])


def curl(address: str, model: str) -> dict[str, Any]:
    base = f"http://{address}/v2"
    entry = {"name": "x", "shape": [2, 4], "datatype": "FP32", "data": X.ravel().tolist()}
    body = json.dumps({"id": "q", "inputs": [entry]})
    answer = json.loads(_curl(f"{base}/models/{model}/infer", "-H", "Content-Type: application/json", "-d", body))
    return {
        "json": np.reshape(answer["outputs"][0]["data"], (2, 3)).tolist(),
        "id": answer["id"],
        "live": json.loads(_curl(f"{base}/health/live"))["live"],
        "ready": json.loads(_curl(f"{base}/health/ready"))["ready"],
        "model_ready": json.loads(_curl(f"{base}/models/{model}/ready"))["ready"],
    }


def _curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sSf", "-m", "20", *arguments], capture_output=True, text=True, check=True).stdout


CLIENTS: dict[str, Callable[[str, str], Any]] = {
    "kserve-rest": kserve_rest,
    "kserve-grpc": kserve_grpc,
    "triton-http": triton_http,
    "triton-grpc": triton_grpc,
    "curl": curl,
}


def main() -> None:
    name, address, model = sys.argv[1:]
    found = CLIENTS[name](address, model)
    if asyncio.iscoroutine(found):
        found = asyncio.run(found)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
