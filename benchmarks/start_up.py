r"""How long from the start of a container to its first right answer, ours beside KServe's own SDK server?

Both images stand on the same base and serve the same ONNX file; the request is the artifact's golden one, and only an
answer with the golden outputs counts. Rounds are interleaved. Each container gets one core's share, and the client
asks every few milliseconds from another.

    python predictors/images/build.py && python predictors/images/build.py --only stock-sdk
    python benchmarks/start_up.py .podium/store/food11/ADDRESS --rounds 10

Prints one line of JSON a container and the medians with their ratio; exit code 1 where ours takes more than half. The
processor time of the container is given too, where the host shows it: it holds on a busy machine, where the wall time
does not.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from predictors.golden import read_golden
from predictors.images.build import build_images
from predictors.images.catalog import choose
from predictors.manifest import read_variant

DEADLINE_S = 60
HOST = "0.0.0.0"  # noqa: S104  (of the container)
LIMIT = 0.5
PAUSE_S = 0.04
SWITCHES = [
    "--read-only",
    "--user",
    "65532",
    "--cap-drop",
    "ALL",
    "--tmpfs",
    "/tmp",  # noqa: S108
    "--cpus",
    "1",
]


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


def golden_request(folder: Path) -> tuple[bytes, dict[str, np.ndarray], tuple[float, float]]:
    """Return a V2 request as JSON with the first golden item, its outputs, and the tolerances."""
    variant = read_variant(folder)
    inputs, outputs = read_golden(folder, variant)
    tensors = [
        {"name": name, "shape": [1, *values.shape[1:]], "datatype": "FP32", "data": values[:1].ravel().tolist()}
        for name, values in inputs.items()
    ]
    expected = {name: values[:1] for name, values in outputs.items()}
    return json.dumps({"inputs": tensors}).encode(), expected, (variant.golden.rtol, variant.golden.atol)


def is_right(body: bytes, expected: dict[str, np.ndarray], tolerance: tuple[float, float]) -> bool:
    outputs = {tensor["name"]: tensor for tensor in json.loads(body)["outputs"]}
    return all(
        name in outputs
        and np.allclose(np.reshape(outputs[name]["data"], values.shape), values, rtol=tolerance[0], atol=tolerance[1])
        for name, values in expected.items()
    )


def ask(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer; status 0 where there is none."""
    connection = http.client.HTTPConnection(address, 8080, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def first_answer(address: str, request: tuple[bytes, dict[str, np.ndarray], tuple[float, float]]) -> float:
    """Return the wall time of the first right answer; as in Kubernetes, nothing is asked before the model is ready."""
    body, expected, tolerance = request
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if ask(address, "GET", "/v2/models/m/ready")[0] == 200:
            status, content = ask(address, "POST", "/v2/models/m/infer", body)
            answered = time.time()
            if status == 200 and is_right(content, expected, tolerance):
                return answered
        time.sleep(PAUSE_S)
    raise SystemExit(f"no right answer from {address} within {DEADLINE_S} s")


def cpu_seconds(container: str) -> float | None:
    """Return what a container has used of the processor (control groups 1 and 2); None where nobody shows it."""
    for path in Path("/sys/fs/cgroup").glob(f"cpuacct/docker/{container}/cpuacct.usage"):
        return int(path.read_text()) / 1e9
    for pattern in (f"docker/{container}/cpu.stat", f"system.slice/docker-{container}.scope/cpu.stat"):
        for path in Path("/sys/fs/cgroup").glob(pattern):
            return int(path.read_text().split()[1]) / 1e6
    return None


def one_round(image: str, folder: Path, arguments: list[str], cpu: str, request: tuple) -> tuple[float, float | None]:
    """Return the seconds from a container's start to its first right answer, and of the processor till then."""
    mount = f"{folder.resolve()}:/mnt/models:ro"
    container = docker("run", "-d", *SWITCHES, "--cpuset-cpus", cpu, "-v", mount, image, *arguments)
    try:
        seen = json.loads(docker("inspect", container))[0]
        address = next(iter(seen["NetworkSettings"]["Networks"].values()))["IPAddress"]
        answered = first_answer(address, request)
        spent = cpu_seconds(container)
        # Docker gives nanoseconds, Python reads microseconds.
        started = datetime.fromisoformat(seen["State"]["StartedAt"][:26].rstrip("Z") + "+00:00").timestamp()
        return answered - started, spent
    finally:
        docker("rm", "-f", container)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="artifact of an ort variant")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cpu", default="1", help="core that the containers are held on")
    asked = parser.parse_args()
    ours = build_images(choose(["predictor-ort"], with_torch=False))["predictor-ort"]
    build_images(choose(["stock-sdk"], with_torch=False))
    stock = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "kind.local/podium/stock-sdk").splitlines()[0]
    request = golden_request(asked.folder)
    arguments = {"ours": ["/mnt/models", "--model-name", "m", "--host", HOST], "stock": ["--model_name", "m"]}
    images = {"ours": ours, "stock": stock}
    times: dict[str, list[float]] = {"ours": [], "stock": []}
    used: dict[str, list[float]] = {"ours": [], "stock": []}
    for index in range(asked.rounds):
        for name in ("ours", "stock") if index % 2 == 0 else ("stock", "ours"):
            took, spent = one_round(images[name], asked.folder, arguments[name], asked.cpu, request)
            times[name].append(took)
            if spent is not None:
                used[name].append(spent)
            line = {"round": index, "image": images[name], "first_answer_s": round(took, 3), "cpu_s": spent}
            print(json.dumps(line), flush=True)
    result = {"first_answer_s": compared(times)}
    if used["ours"]:
        result["cpu_s"] = compared(used)
    print(json.dumps(result))
    return 0 if result["first_answer_s"]["ratio"] <= LIMIT else 1


def compared(values: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians and ours over the stock one's."""
    medians = {name: statistics.median(found) for name, found in values.items()}
    return {
        **{name: round(value, 3) for name, value in medians.items()},
        "ratio": round(medians["ours"] / medians["stock"], 3),
    }


if __name__ == "__main__":
    sys.exit(main())
