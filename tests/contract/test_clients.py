"""The clients that people have already: KServe's, Triton's and curl, against a variant and a bare model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import WEIGHTS, vector_graph
from tests.bare_models import saved
from tests.contract.conftest import Starter
from tests.contract.server import Server
from tests.contract.speak import CLIENTS, X

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["variant", "bare"])
def served(
    request: pytest.FixtureRequest, start: Starter, vector_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Server:
    if request.param == "variant":
        return start(vector_folder)
    return start(saved(tmp_path_factory.mktemp("bare") / "tiny", vector_graph()))


def speak(client: str, port: int, model: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.contract.speak", client, f"127.0.0.1:{port}", model],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=ROOT,
    )


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_every_answer_is_right(served: Server, client: str) -> None:
    if client == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    port = served.grpc_port if client.endswith("grpc") else served.http_port
    assert port is not None
    ended = speak(client, port, "tiny")
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    expected = (X @ WEIGHTS).tolist()
    for kind in {"json", "binary"} & set(found):
        for row, right in zip(found.pop(kind), expected, strict=True):
            assert row == pytest.approx(right, abs=1e-5)
    assert found.pop("inputs", ["x"]) == ["x"]
    assert found.pop("server", "podium") == "podium"
    assert found.pop("id") == "q"
    assert len(found) >= 3
    assert set(found.values()) == {True}


def test_a_model_that_is_not_there_is_an_error_to_a_client(served: Server) -> None:
    """The control: a client that gets nothing right does not end well."""
    assert speak("kserve-rest", served.http_port, "nobody").returncode != 0
