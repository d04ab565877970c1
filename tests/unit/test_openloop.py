"""The open-loop client takes no connection again that its server may have closed meanwhile."""

import asyncio

import pytest

from tests.contract import openloop
from tests.contract.openloop import CLASS_LOST, _Client
from tests.turns import until


async def statuses(kept_s: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ask, have the server close what is idle, and ask again."""
    monkeypatch.setattr(openloop, "KEPT_S", kept_s)
    is_idle, is_closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await is_idle.wait()
        writer.close()
        await writer.wait_closed()
        is_closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = _Client(server.sockets[0].getsockname()[1], b"{}", lambda _: True, timeout_s=30.0)
        first = await client.ask(keeps=True)
        is_idle.set()
        await is_closed.wait()
        await until(lambda: client.kept[0][1][0].at_eof())
        second = await client.ask(keeps=True)
        client.close()
    return [first[0], second[0]]


async def test_what_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await statuses(0.0, monkeypatch) == [200, 200]


async def test_without_that_a_request_is_lost_that_no_server_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await statuses(3600.0, monkeypatch) == [200, CLASS_LOST]
