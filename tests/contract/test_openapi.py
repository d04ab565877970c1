"""The OpenAPI document that the package carries: it names just the routes that answer, and holds for what
schemathesis makes of it."""

import json
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.contract.server import Server
from tests.contract.test_attacks import ANSWERED

DOCUMENT = resources.files("predictors") / "schemas" / "openapi.json"
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method"),
)


@pytest.fixture
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def named(document: dict[str, Any], folder: Path) -> Path:
    """Write the document for the one model that is served, so that most requests reach it."""
    parameters = document["components"]["parameters"]
    parameters["model"]["schema"] = {"type": "string", "enum": ["tiny"]}
    parameters["version"]["schema"] = {"type": "string", "enum": ["1"]}
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    return path


def schemathesis(path: Path, port: int, *arguments: str, timeout_s: float = 200) -> subprocess.CompletedProcess[str]:
    if find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    program = Path(sys.executable).parent / "schemathesis"
    flags = ["--url", f"http://127.0.0.1:{port}", "--checks", ",".join(CHECKS), "--seed", "6", "--no-color"]
    return subprocess.run(
        [program, "run", path, *flags, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=path.parent,
    )


def test_the_document_names_just_the_routes_that_answer(document: dict[str, Any]) -> None:
    told = {
        path.replace("{model}", "tiny").replace("{version}", "1"): {
            word.upper() for word in item if word != "parameters"
        }
        for path, item in document["paths"].items()
    }
    assert told == {path: methods - {"HEAD"} for path, methods in ANSWERED.items()}


def test_schemathesis_finds_nothing(server: Server, document: dict[str, Any], tmp_path: Path) -> None:
    """The short form; the long one and its control are in tests/fuzz."""
    flags = ("--max-examples", "3", "--phases", "coverage,fuzzing")
    ended = schemathesis(named(document, tmp_path), server.http_port, *flags)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert server.is_good()
