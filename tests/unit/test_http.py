"""Connections against a port in this process: order, back pressure, clients that leave, clients that do not read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from predictors.server.connection import Exchange, Timeouts
from predictors.server.head import WireLimits
from predictors.server.http import Port

GET = b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n"


class Desk:
    """A handler that answers with the path, at once or when told."""

    def __init__(self) -> None:
        self.pending: list[Exchange] = []
        self.is_holding = False
        self.body: Callable[[Exchange], bytes] = lambda exchange: exchange.head.path.encode()

    def __call__(self, exchange: Exchange) -> None:
        if self.is_holding:
            self.pending.append(exchange)
        else:
            self.answer(exchange)

    def answer(self, exchange: Exchange) -> None:
        exchange.reply(200, self.body(exchange))


class Site:
    """A port with its handler and address."""

    def __init__(self, body_bytes: int = 1 << 20, connections: int = 4, write_s: float = 60.0) -> None:
        self.desk = Desk()
        self.refused: list[int] = []
        timeouts = Timeouts(write_s=write_s, linger_s=0.3)
        self.port = Port(
            self.desk,
            limits=WireLimits(body_bytes=body_bytes),
            connections=connections,
            timeouts=timeouts,
            on_refusal=self.refused.append,
        )

    async def open(self) -> "Site":
        sock = socket.create_server(("127.0.0.1", 0))
        self.address = sock.getsockname()
        await self.port.listen(sock)
        return self

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = await Site().open()
    yield site
    await site.port.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.005)


async def read_body(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return await asyncio.wait_for(reader.readexactly(length), 60)


async def test_requests_sent_while_one_is_answered_come_in_order(site: Site) -> None:
    site.desk.is_holding = True
    reader, writer = await site.connect()
    writer.write(GET % b"1")
    await until(lambda: len(site.desk.pending) == 1)
    writer.write(GET % b"2" + GET % b"3")
    await until(lambda: next(iter(site.port.hall.connections))._receiver.buffered > 0)
    assert site.port.busy == 1
    site.desk.is_holding = False
    site.desk.answer(site.desk.pending[0])
    assert [await read_body(reader) for _ in range(3)] == [b"/1", b"/2", b"/3"]
    writer.close()


async def test_a_flood_behind_one_request_stops_being_read(site: Site) -> None:
    site.desk.is_holding = True
    reader, writer = await site.connect()
    writer.write(GET % b"1")
    await until(lambda: len(site.desk.pending) == 1)
    # Three times what a connection keeps, and less than what the kernel takes.
    writer.write(GET % b"x" * 6000)
    (connection,) = site.port.hall.connections
    await until(lambda: connection._is_paused)
    held = connection._receiver.buffered
    site.desk.is_holding = False
    site.desk.answer(site.desk.pending[0])
    answers = [await read_body(reader) for _ in range(6001)]
    assert answers[0] == b"/1"
    assert set(answers[1:]) == {b"/x"}
    assert held < 6000 * len(GET % b"x") + 1
    writer.close()


async def test_a_client_that_leaves_is_noticed_while_it_waits(site: Site) -> None:
    site.desk.is_holding = True
    _, writer = await site.connect()
    writer.write(GET % b"1")
    await until(lambda: len(site.desk.pending) == 1)
    told: list[bool] = []
    site.desk.pending[0].on_cancel = lambda: told.append(True)
    writer.close()
    await until(lambda: site.desk.pending[0].is_canceled)
    assert told == [True]
    site.desk.answer(site.desk.pending[0])
    assert not site.port.hall.connections


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    site = await Site(write_s=0.3).open()
    site.desk.body = lambda exchange: b"x" * (8 << 20)
    sock = socket.create_connection(site.address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(GET % b"1" + GET % b"2")
    await until(lambda: len(site.port.hall.connections) == 1)
    await until(lambda: not site.port.hall.connections)
    sock.close()
    await site.port.close()


async def test_a_client_that_reads_late_but_in_time_gets_everything(site: Site) -> None:
    """The control: a full buffer alone cuts nobody off."""
    site.desk.body = lambda exchange: b"x" * (1 << 20)
    reader, writer = await site.connect()
    writer.write(GET % b"1" + GET % b"2")
    await until(lambda: len(site.port.hall.connections) == 1)
    assert [len(await read_body(reader)) for _ in range(2)] == [1 << 20, 1 << 20]
    writer.close()


async def test_an_answer_is_given_once(site: Site) -> None:
    site.desk.is_holding = True
    reader, writer = await site.connect()
    writer.write(GET % b"1")
    await until(lambda: len(site.desk.pending) == 1)
    site.desk.answer(site.desk.pending[0])
    with pytest.raises(RuntimeError, match="twice"):
        site.desk.answer(site.desk.pending[0])
    assert await read_body(reader) == b"/1"
    writer.close()


async def test_after_a_refusal_nothing_is_read_for_long(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"nonsense\r\n\r\n" + b"x" * (1 << 20))
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 60)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert site.refused == [400]
    await until(lambda: not site.port.hall.connections)
    writer.close()


async def test_a_refused_client_that_stays_is_cut_off(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"nonsense\r\n\r\n")
    assert b"connection: close" in await asyncio.wait_for(reader.read(), 60)
    await until(lambda: not site.port.hall.connections)
    writer.close()


async def test_a_broken_second_request_is_refused_after_the_first_answer(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(GET % b"1" + b"nonsense\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), 60)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 400 Bad Request") == 1
    writer.close()


async def test_draining_closes_each_connection_after_its_answer(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(GET % b"1")
    assert await read_body(reader) == b"/1"
    site.port.drain()
    writer.write(GET % b"2")
    answer = await asyncio.wait_for(reader.read(), 60)
    assert b"connection: close" in answer
    writer.close()


POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"


async def test_bodies_on_their_way_in_share_one_budget() -> None:
    size = 10 << 20
    site = await Site(body_bytes=size, connections=10).open()
    opened = [await site.connect() for _ in range(5)]
    for _, writer in opened:
        writer.write(POST % size + b"x" * (size - 1))
    await until(lambda: len(site.refused) == 3)
    assert site.refused == [503] * 3
    assert site.port.hall.receiving_bytes <= site.port.hall.max_receiving_bytes == 2 * size
    answered = 0
    for reader, writer in opened:
        writer.write(b"x")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        answered += answer.startswith(b"HTTP/1.1 200 OK")
        writer.close()
    assert answered == 2
    await until(lambda: site.port.hall.receiving_bytes == 0)
    await site.port.close()


async def test_one_after_the_other_the_same_bodies_are_taken(site: Site) -> None:
    """The control: it is the sum at one moment that counts."""
    reader, writer = await site.connect()
    for _ in range(20):
        writer.write(POST % (1 << 20) + b"x" * (1 << 20))
        assert await read_body(reader) == b"/"
    assert site.refused == []
    writer.close()


async def test_closing_a_port_that_never_listened_is_harmless() -> None:
    await Site().port.close()
