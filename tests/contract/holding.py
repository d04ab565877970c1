"""A server whose engine a test holds: what comes meanwhile waits for as long as the test wants, on any machine."""

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.contract.conftest import Starter
from tests.contract.server import Answer, Server
from tests.eventually import eventually

__all__ = ["held", "hold", "waiting", "with_a_gate"]

# One at a time, five milliseconds each, and healthy however long the engine is held.
_FLAGS = ("--pace", "5", "--gather", "1", "--max-batch", "1", "--stall", "60m")
_HOLD = b'{"instances": [[200000.0, 0.0, 0.0, 0.0]]}'


def with_a_gate(start: Starter, folder: Path, *flags: str) -> Server:
    """Start a server of the vector model whose engine can be held."""
    return start(folder, *_FLAGS, *flags, program="tests.contract.stub")


def waiting(server: Server, at_least: int) -> None:
    """Wait until so many requests are in flight, the one that holds the engine among them."""
    eventually(lambda: server.state()["in_flight"] >= at_least, pause_s=0.005)


def hold(server: Server, pool: Executor) -> "Future[Answer]":
    """Keep the engine busy for longer than any test takes, or until the server gets SIGUSR1."""
    headers = {"content-type": "application/json", "x-podium-timeout-ms": "200000"}
    asking = pool.submit(server.ask, "POST", "/v1/models/tiny:predict", _HOLD, headers, timeout_s=200)
    eventually(lambda: server.state()["computing_s"] > 0, pause_s=0.005)
    return asking


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Keep the engine busy; at the end it lets go, once and for all, and answers who held it."""
    with ThreadPoolExecutor(1) as pool:
        asking = hold(server, pool)
        try:
            yield
        finally:
            server.process.send_signal(signal.SIGUSR1)
        assert asking.result().status == 200
