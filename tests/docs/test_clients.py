"""The snippets of docs/clients.md, run as they stand against a server; only ports and tensor names are put in."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.artifacts import image_artifact, jpeg
from tests.contract.server import Server, started

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^## (.*?)$|^```(sh|python)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def snippets() -> Iterator[tuple[str, str, str]]:
    """List the snippets with the headings that they stand under."""
    heading = ""
    for title, language, text in BLOCKS:
        heading = title or heading
        if text and not text.startswith("podium serve"):
            yield heading, language, text


SNIPPETS = list(snippets())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = image_artifact(tmp_path_factory.mktemp("mnist"), name="mnist")
    server = started(folder, tmp_path_factory.mktemp("log") / "server.log")
    yield server
    assert server.stop() == 0
    if server.process.stdout is not None:
        server.process.stdout.close()


def shown(server: Server, text: str, language: str, folder: Path) -> str:
    """Run a snippet and give what it prints."""
    (folder / "digit.png").write_bytes(jpeg(1, form="PNG"))
    ports = {"localhost:8080": server.http_port, "localhost:8081": server.grpc_port}
    for name, port in ports.items():
        text = text.replace(name, f"127.0.0.1:{port}")
    text = text.replace('"input"', '"x"').replace('"output"', '"logits"')
    command = ["sh", "-euc", text] if language == "sh" else [sys.executable, "-W", "ignore", "-c", text]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.parametrize(("heading", "language", "text"), SNIPPETS, ids=[f"{n}-{s[0]}" for n, s in enumerate(SNIPPETS)])
def test_the_snippet_works_as_written(served: Server, heading: str, language: str, text: str, tmp_path: Path) -> None:
    if language == "sh" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    told = shown(served, text, language, tmp_path)
    if heading == "curl":
        assert '"ready":true' in told or "predictions" in told
        assert ("x-podium-timing" in told) == ("timing" in text)
        assert told.count('"label"') in ({0} if "ready" in text else {text.count("digit.png")})
    elif heading == "What a refusal looks like":
        assert '"error":"inputs: must list x"' in told
    else:
        number = {"KServe's REST client": "first", "KServe's gRPC client": "second", "tritonclient over HTTP": "third"}
        assert told.startswith(number.get(heading, "fourth"))
        assert "(2, 3)" in told or "(1, 3)" in told


def test_every_client_of_the_page_has_a_snippet() -> None:
    assert len(SNIPPETS) == 8
    headings = {heading for heading, _, _ in SNIPPETS}
    assert headings == set(re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE))
