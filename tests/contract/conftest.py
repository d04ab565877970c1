"""Servers for the tests: one shared by a module, and others as a test asks for them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import image_artifact, vector_artifact
from tests.contract.server import Server, ended, started

Starter = Callable[..., Server]
# How long the load or the flood of a row lasts here; tests/fuzz/test_long.py has the long forms.
SHORT_S = {"R6": 3.0, "R7": 2.0, "R11": 0.0, "S22": 1.0}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start servers that end with the module."""
    servers: list[Server] = []

    def begin(folder: Path, *arguments: str, **options: Any) -> Server:
        log = tmp_path_factory.mktemp("log") / "server.log"
        servers.append(started(folder, log, *arguments, **options))
        return servers[-1]

    yield begin
    unclean = ended(servers)
    for server in servers:
        if server.process.stdout is not None:
            server.process.stdout.close()
    # Who needs all of its grace time for nothing ends with 1: its test is to end it, and to say why.
    assert not unclean, f"told to stop, these did not end well: {[server.process.args for server in unclean]}"


@pytest.fixture
def lasting_s() -> Mapping[str, float]:
    """Seconds by row."""
    return SHORT_S


@pytest.fixture(scope="module")
def vector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact whose answers can be worked out by hand."""
    return vector_artifact(tmp_path_factory.mktemp("vector"))


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact that takes gray images of 28 x 28."""
    return image_artifact(tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="module")
def server(start: Starter, vector_folder: Path) -> Server:
    """A server of the vector artifact, shared by the module."""
    return start(vector_folder)


@pytest.fixture(scope="module")
def pictures(start: Starter, image_folder: Path) -> Server:
    """A server of the image artifact, shared by the module."""
    return start(image_folder)
