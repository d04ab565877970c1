"""Messages arrive whole and in order, connections with them, and nothing waits for who does not read."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from predictors.server.workers.link import Door, Kind, Link, Message, linked
from tests.turns import until

Heard = list[tuple[Message, socket.socket | None]]


class End:
    """One end that keeps what it hears."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: Heard = []
        self.gone = asyncio.Event()
        self.link = Link(sock, lambda message, came: self.heard.append((message, came)), self.gone.set)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = linked()
    yield ends
    for end in ends:
        end.close()


async def test_messages_arrive_whole_and_in_order(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = End(pair[0]), End(pair[1])
    one.link.send(Kind.READY)
    one.link.send(Kind.TOLD, [1, {2: "x" * 50_000}])
    one.link.send(Kind.DRAIN)
    await until(lambda: len(other.heard) == 3)
    assert [message.kind for message, _ in other.heard] == [Kind.READY, Kind.TOLD, Kind.DRAIN]
    assert other.heard[1][0].body == [1, {"2": "x" * 50_000}]
    assert all(came is None for _, came in other.heard)
    one.link.close()
    await until(other.gone.is_set)


async def test_a_connection_is_handed_over(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = End(pair[0]), End(pair[1])
    client, served = socket.socketpair()
    with client, served:
        assert one.link.hand(Door.GRPC, served)
        served.close()
        await until(lambda: other.heard)
        ((message, came),) = other.heard
        assert (message, Door(message.body)) == (Message(Kind.TAKE, "grpc"), Door.GRPC)
        assert came is not None
        with came:
            assert not came.get_inheritable()
            came.send(b"here")
            assert client.recv(10) == b"here"
    one.link.close()
    other.link.close()


async def test_orders_wait_for_who_does_not_read_and_connections_do_not(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one = End(pair[0])
    sent = 0
    while not one.link.is_behind:
        one.link.send(Kind.TELL, [sent, "state"])
        sent += 1
        assert sent < 100_000
    one.link.send(Kind.DRAIN)
    with socket.socket() as served:
        assert not one.link.hand(Door.HTTP, served)
        other = End(pair[1])
        await until(lambda: len(other.heard) == sent + 1)
        assert other.heard[-1][0].kind is Kind.DRAIN
        assert not one.link.is_behind
        assert one.link.hand(Door.HTTP, served)
        await until(lambda: other.heard[-1][0].kind is Kind.TAKE)
        came = other.heard[-1][1]
        assert came is not None
        came.close()
    one.link.close()
    other.link.close()


async def test_what_was_said_before_the_end_is_heard(pair: tuple[socket.socket, socket.socket]) -> None:
    one, other = End(pair[0]), End(pair[1])
    # It goes without having read what it was told, which the kernel reports before what it said itself.
    other.link.send(Kind.DRAINED)
    one.link.send(Kind.END)
    other.link.close()
    await until(one.gone.is_set)
    assert [message.kind for message, _ in one.heard] == [Kind.DRAINED]
    one.link.send(Kind.END)
    with socket.socket() as served:
        assert not one.link.hand(Door.HTTP, served)
