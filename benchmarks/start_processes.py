r"""How long from the start of a process to its first right answer, ours beside KServe's own SDK server?

The form without containers of `start_up.py`: the same artifact, the same request (its golden one) and the same
rule (only an answer with the golden outputs counts). Rounds are interleaved, the server is held on one core
and the client on another. `bare` is our server without the artifact's manifest, as a plain KServe user has it.

    python benchmarks/start_processes.py .podium/store/food11/ADDRESS --rounds 10

Prints one line of JSON a start and the medians with their ratios; exit code 1 where ours takes more than half.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from predictors.golden import read_golden
from predictors.manifest import read_variant

DEADLINE_S = 120
LIMIT = 0.5
PAUSE_S = 0.01
STOCK = Path(__file__).parent / "images" / "stock-sdk" / "server.py"

Outputs = dict[str, npt.NDArray[np.float32]]


class Question:
    """The artifact's first golden item as a V2 request, and what the answer must be."""

    def __init__(self, folder: Path) -> None:
        variant = read_variant(folder)
        inputs, outputs = read_golden(folder, variant)
        tensors = [
            {"name": name, "shape": [1, *values.shape[1:]], "datatype": "FP32", "data": values[:1].ravel().tolist()}
            for name, values in inputs.items()
        ]
        self.body = json.dumps({"inputs": tensors}).encode()
        self._golden = variant.golden
        self._expected: Outputs = {name: values[:1] for name, values in outputs.items()}

    def is_answered_by(self, body: bytes) -> bool:
        found = {tensor["name"]: np.array(tensor["data"]) for tensor in json.loads(body)["outputs"]}
        golden = self._golden
        return all(
            np.allclose(found[name].reshape(values.shape), values, rtol=golden.rtol, atol=golden.atol)
            for name, values in self._expected.items()
        )


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def free_ports(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def seconds(command: list[str], port: int, core: int, environment: dict[str, str], question: Question) -> float:
    """Start a server and return the seconds until it has given the right answer; then end it."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.monotonic() - began < DEADLINE_S and process.poll() is None:
            if ask(port, "GET", "/v2/models/m/ready")[0] == 200:
                status, body = ask(port, "POST", "/v2/models/m/infer", question.body)
                if status == 200 and question.is_answered_by(body):
                    return time.monotonic() - began
            time.sleep(PAUSE_S)
        raise SystemExit(f"no right answer from {' '.join(command)}")
    finally:
        process.kill()
        process.wait()


def commands(folder: Path, bare: Path) -> dict[str, tuple[list[str], int, dict[str, str]]]:
    """Give for each server its command on free ports, its HTTP port and its environment."""
    python, found = sys.executable, {}
    for name, served in (("ours", folder), ("bare", bare)):
        http_port, grpc_port, metrics_port = free_ports(3)
        words = [python, "-m", "podium", "serve", str(served), "--model-name", "m", "--cpus", "1"]
        words += ["--http-port", http_port, "--grpc-port", grpc_port, "--metrics-port", metrics_port]
        found[name] = (words, int(http_port), {})
    http_port, grpc_port = free_ports(2)
    words = [python, str(STOCK), "--model_name", "m", "--http_port", http_port, "--grpc_port", grpc_port]
    found["stock"] = (words, int(http_port), {"MODEL_FILE": str(bare / "model.onnx")})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="artifact of an ort variant")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--core", type=int, default=1, help="core that the servers are held on")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    question = Question(folder)
    os.sched_setaffinity(0, {core for core in os.sched_getaffinity(0) if core != asked.core})
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as bare:
        shutil.copy(folder / "model.onnx", bare)
        for index in range(asked.rounds):
            servers = list(commands(folder, Path(bare)).items())
            for name, (words, port, environment) in servers if index % 2 == 0 else servers[::-1]:
                took = seconds(words, port, asked.core, environment, question)
                times.setdefault(name, []).append(took)
                print(json.dumps({"round": index, "server": name, "first_answer_s": round(took, 3)}), flush=True)
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    ratios = {name: round(medians[name] / medians["stock"], 3) for name in ("ours", "bare")}
    print(json.dumps({"variant": read_variant(folder).id, "median_s": medians, "ratio": ratios}))
    return 0 if max(ratios.values()) <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
