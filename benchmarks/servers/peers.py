"""What is compared: each server with its packages, its ways to be set, how it is asked and what it answers.

Every server gets the same ONNX file in ONNX Runtime on the CPU, a free port, and its own virtual environment made of
pinned packages. Where its documentation offers several settings for a machine of two cores, all are tried first and
the best is compared.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.servers.question import BODIES, Question, grpc_scores, scores_of

__all__ = ["OURS", "OUR_CPUS", "PEERS", "Peer", "Settings"]

_PROGRAMS = Path(__file__).parent / "programs"
_STOCK = Path(__file__).parents[1] / "images/stock-sdk/server.py"
_ENGINE = ("numpy==2.4.6", "onnxruntime==1.31.1")
_TOLERANCE = 1e-3

Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Peer:
    """One kind of server.

    Attributes:
        kind: How a request and its answer are written.
        packages: What its environment holds; none: the environment that this runs in.
        settings: The ways it is set, of which the best is compared; `THREADS` are the engine's.
        command: What starts it, given its Python, its working folder and its settings.
        path: Where it is asked.
        prepare: What has to lie in the working folder.
        paths: More of its environment, given its virtual environment and its working folder.
    """

    name: str
    kind: str
    command: Callable[[str, Path, Settings], list[str]]
    path: str
    packages: tuple[str, ...] = ()
    settings: tuple[Settings, ...] = ({},)
    prepare: Callable[[Path, Question, Settings], None] | None = None
    paths: Callable[[Path, Path], Settings] = field(default=lambda _venv, _work: {})
    has_grpc: bool = False

    def request(self, question: Question) -> bytes:
        """Write the request as it goes over the wire."""
        body, headers = BODIES[self.kind](question)
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", *headers, f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def is_right(self, question: Question) -> Callable[[bytes, bytes], bool]:
        """Give what judges an answer by its head and body."""
        return lambda head, body: _are_close(scores_of(self.kind, head, body), question)

    def is_right_message(self, question: Question) -> Callable[[bytes], bool]:
        """Give what judges a gRPC answer."""
        return lambda message: _are_close(grpc_scores(message), question)


def _are_close(scores: object, question: Question) -> bool:
    found = np.asarray(scores, dtype=np.float64).ravel()
    return found.shape == question.scores.shape and bool(np.allclose(found, question.scores, atol=_TOLERANCE))


def _program(name: str) -> Callable[[str, Path, Settings], list[str]]:
    return lambda python, _work, _given: [python, str(_PROGRAMS / name)]


def _ours(python: str, _work: Path, given: Settings) -> list[str]:
    ports = ["--http-port", given["PORT"], "--grpc-port", given["GRPC_PORT"], "--metrics-port", given["SIDE_PORT"]]
    share = ["--cpus", str(OUR_CPUS), "--workers", given["WORKERS"]]
    return [python, "-m", "predictors.server", given["MODEL_FOLDER"], *share, *ports]


def _stock(python: str, _work: Path, given: Settings) -> list[str]:
    ports = ["--http_port", given["PORT"], "--grpc_port", given["GRPC_PORT"]]
    return [python, str(_STOCK), "--model_name", "mnist", *ports, "--enable_latency_logging", "false"]


def _prepare_mlserver(work: Path, _question: Question, given: Settings) -> None:
    shutil.copy(_PROGRAMS / "mlserver_model.py", work)
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": int(given["PORT"]),
        "grpc_port": int(given["GRPC_PORT"]),
        "metrics_port": int(given["SIDE_PORT"]),
        "parallel_workers": int(given["WORKERS"]),
        "gzip_enabled": False,
    }
    model: dict[str, object] = {"name": "mnist", "implementation": "mlserver_model.Mnist"}
    if given["BATCH"] != "1":
        model |= {"max_batch_size": int(given["BATCH"]), "max_batch_time": 0.001}
    (work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (work / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")


_TRITON_CONFIG = """\
name: "mnist"
backend: "python"
max_batch_size: 8
input [ {{ name: "{input}", data_type: TYPE_FP32, dims: [ 1, 28, 28 ] }} ]
output [ {{ name: "{output}", data_type: TYPE_FP32, dims: [ 10 ] }} ]
instance_group [ {{ count: {count}, kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {delay} }}
"""


def _prepare_triton(work: Path, question: Question, given: Settings) -> None:
    model = work / "models/mnist/1"
    model.mkdir(parents=True)
    shutil.copy(_PROGRAMS / "triton_model.py", model / "model.py")
    config = _TRITON_CONFIG.format(
        input=question.input, output=question.output, count=given["WORKERS"], delay=given["DELAY_US"]
    )
    (model.parent / "config.pbtxt").write_text(config, encoding="utf-8")
    # The wheel keeps the stubs of all Pythons apart; the backend wants the one of ours beside itself.
    packed = Path(given["TRITON"])
    shutil.copytree(packed / "backends", work / "backends")
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(packed / "python_backend_stubs" / minor / "triton_python_backend_stub", work / "backends/python")


def _triton(_python: str, work: Path, given: Settings) -> list[str]:
    return [
        str(Path(given["TRITON"]) / "bin/tritonserver"),
        f"--model-repository={work / 'models'}",
        f"--backend-directory={work / 'backends'}",
        "--http-address=127.0.0.1",
        f"--http-port={given['PORT']}",
        f"--grpc-port={given['GRPC_PORT']}",
        f"--metrics-port={given['SIDE_PORT']}",
        "--grpc-address=127.0.0.1",
        "--allow-gpu-metrics=false",
    ]


def _triton_paths(venv: Path, _work: Path) -> Settings:
    packages = next((venv / "lib").glob("python*/site-packages"))
    libraries = [packages / "nvidia_pytriton.libs", Path(sys.base_prefix) / "lib"]
    return {
        "TRITON": str(packages / "pytriton/tritonserver"),
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "PACKAGES": str(packages),
    }


def _mosec(python: str, _work: Path, given: Settings) -> list[str]:
    return [python, str(_PROGRAMS / "mosec_server.py"), "--address", "127.0.0.1", "--port", given["PORT"]]


def _bento(python: str, _work: Path, given: Settings) -> list[str]:
    return [
        str(Path(python).parent / "bentoml"),
        "serve",
        "bento_server:Mnist",
        "--working-dir",
        str(_PROGRAMS),
        "--host",
        "127.0.0.1",
        "--port",
        given["PORT"],
    ]


def _both(**changes: str) -> tuple[Settings, ...]:
    """Two workers of one thread, and one worker of two."""
    return ({"WORKERS": "2", "THREADS": "1", **changes}, {"WORKERS": "1", "THREADS": "2", **changes})


OUR_CPUS = 2
OURS = Peer("podium", "v2-binary", _ours, "/v2/models/mnist/infer", has_grpc=True)

PEERS = (
    Peer(
        "podium-1-worker",
        "v2-binary",
        _ours,
        "/v2/models/mnist/infer",
        settings=({"WORKERS": "1"},),
        has_grpc=True,
    ),
    Peer(
        "kserve",
        "v2-binary",
        _stock,
        "/v2/models/mnist/infer",
        settings=({"THREADS": "1"}, {"THREADS": "2"}),
        has_grpc=True,
    ),
    Peer(
        "mlserver",
        "v2-json",
        lambda python, work, _: [str(Path(python).parent / "mlserver"), "start", str(work)],
        "/v2/models/mnist/infer",
        packages=("mlserver==1.7.1", "onnxruntime==1.31.1"),
        settings=(
            {"WORKERS": "0", "THREADS": "1", "BATCH": "8"},
            {"WORKERS": "0", "THREADS": "1", "BATCH": "1"},
            {"WORKERS": "2", "THREADS": "1", "BATCH": "8"},
        ),
        prepare=_prepare_mlserver,
    ),
    Peer(
        "litserve",
        "base64",
        _program("litserve_server.py"),
        "/predict",
        packages=("litserve==0.2.19", *_ENGINE),
        settings=(
            {"WORKERS": "1", "THREADS": "1", "BATCH": "8", "FAST": "1", "FRONTS": "1"},
            {"WORKERS": "2", "THREADS": "1", "BATCH": "8", "FAST": "1", "FRONTS": "1"},
            {"WORKERS": "2", "THREADS": "1", "BATCH": "1", "FAST": "1", "FRONTS": "2"},
            {"WORKERS": "2", "THREADS": "1", "BATCH": "1", "FAST": "0", "FRONTS": "1"},
        ),
    ),
    Peer(
        "bentoml",
        "base64-list",
        _bento,
        "/predict",
        packages=("bentoml==1.4.39", *_ENGINE),
        settings=(*_both(BATCH="8"), *_both(BATCH="1")),
    ),
    Peer(
        "mosec",
        "raw",
        _mosec,
        "/inference",
        packages=("mosec==0.9.8", *_ENGINE),
        settings=(*_both(WAIT_MS="1"), {"WORKERS": "1", "THREADS": "1", "WAIT_MS": "1"}),
    ),
    Peer(
        "triton",
        "v2-binary",
        _triton,
        "/v2/models/mnist/infer",
        # Its stub reads arrays as NumPy 1 lays them out: with NumPy 2 every output is empty.
        packages=("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.31.1"),
        settings=(
            {"WORKERS": "2", "THREADS": "1", "DELAY_US": "150"},
            {"WORKERS": "2", "THREADS": "1", "DELAY_US": "0"},
        ),
        prepare=_prepare_triton,
        paths=_triton_paths,
        has_grpc=True,
    ),
    Peer("echo", "raw", _program("echo.py"), "/"),
)
