"""Connections are handed over as they come; when nobody has time, one is kept and the others wait in the kernel."""

import errno
import gc
import os
import socket
from collections.abc import Iterator

import pytest

from predictors.errors import WorkerError
from predictors.server.origin import find_origin
from predictors.server.settings import Settings
from predictors.server.sockets import Sockets, bound
from predictors.server.workers import entrance, parent
from predictors.server.workers.entrance import Entrance
from tests.artifacts import vector_artifact
from tests.turns import until


class Worker:
    """Takes connections while it has time."""

    def __init__(self) -> None:
        self.has_time = True
        self.asked = 0
        self.taken: list[tuple[str, int]] = []

    def take(self, connection: socket.socket) -> bool:
        self.asked += 1
        if self.has_time:
            self.taken.append(connection.getpeername())
        return self.has_time


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with bound("127.0.0.1", 0) as found:
        yield found


async def test_every_connection_is_handed_over_and_closed_here(sock: socket.socket) -> None:
    worker = Worker()
    door = Entrance(sock, worker.take)
    door.listen()
    clients = [socket.create_connection(sock.getsockname()) for _ in range(5)]
    await until(lambda: len(worker.taken) == 5)
    assert worker.taken == [client.getsockname() for client in clients]
    assert [client.recv(1) for client in clients] == [b""] * 5, "nobody else holds them"
    for client in clients:
        client.close()
    door.close()


async def test_one_is_kept_and_no_other_accepted_while_nobody_has_time(
    sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "_FULL_S", 0.001)
    worker = Worker()
    worker.has_time = False
    door = Entrance(sock, worker.take)
    door.listen()
    clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
    await until(lambda: worker.asked > 3)
    assert worker.taken == []
    worker.has_time = True
    await until(lambda: len(worker.taken) == 3)
    assert worker.taken == [client.getsockname() for client in clients], "in their order"
    for client in clients:
        client.close()
    door.close()


async def test_one_that_is_kept_at_the_end_is_closed(sock: socket.socket) -> None:
    worker = Worker()
    worker.has_time = False
    door = Entrance(sock, worker.take)
    door.listen()
    with socket.create_connection(sock.getsockname()) as client:
        await until(lambda: worker.asked > 0)
        door.close()
        assert client.recv(1) == b""


class Exhausted(socket.socket):
    """Cannot accept at first, as where no descriptors are left."""

    failures = 2

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


async def test_without_descriptors_it_tries_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "_OUT_S", 0.001)
    worker = Worker()
    with Exhausted() as sock:
        sock.bind(("127.0.0.1", 0))
        door = Entrance(sock, worker.take)
        door.listen()
        with socket.create_connection(sock.getsockname()):
            await until(lambda: worker.taken)
        assert sock.failures == 0
        door.close()


def test_a_process_too_many_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fail)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    settings = Settings(variant=str(vector_artifact(tmp_path_factory.mktemp("vector"))), cpus=2, workers=2)
    with bound("127.0.0.1", 0) as data, bound("127.0.0.1", 0) as side:
        origin = find_origin(settings)
        with pytest.raises(WorkerError, match="worker 1 cannot be started: Resource temporarily unavailable"):
            parent.lead(origin, settings, Sockets(data, side, None))
