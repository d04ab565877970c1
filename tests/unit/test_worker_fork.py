"""A worker whose decoder cannot be made tells its parent why, as of whatever else keeps it from serving."""

import asyncio
import socket
from types import SimpleNamespace
from typing import cast

import pytest

from predictors.errors import WorkerError
from predictors.server.core import Predictor
from predictors.server.origin import Origin
from predictors.server.settings import Settings
from predictors.server.workers.crew import _error_of
from predictors.server.workers.link import Kind, Link, Message, linked
from predictors.server.workers.worker import work
from tests.turns import until


def test_the_parent_hears_why_a_worker_has_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_predictor: Predictor) -> None:
        raise WorkerError("the decoder cannot be started: no processes are left", "give it room for one more process")

    monkeypatch.setattr(Predictor, "fork", refused)
    ours, theirs = linked()
    with ours, theirs:
        code = work(cast(Origin, SimpleNamespace(model=None)), Settings(variant="digits"), theirs, has_grpc=False)
        theirs.close()
        (message,) = asyncio.run(_heard(ours))
    assert (code, message.kind) == (1, Kind.FAILED)
    error = _error_of(message.body)
    assert isinstance(error, WorkerError), "the machine's fault, and not the artifact's"
    assert str(error) == "the decoder cannot be started: no processes are left"
    assert error.hint == "give it room for one more process"


async def _heard(sock: socket.socket) -> list[Message]:
    heard: list[Message] = []
    gone = asyncio.Event()
    link = Link(sock, lambda message, _: heard.append(message), gone.set)
    await until(gone.is_set)
    link.close()
    return heard
