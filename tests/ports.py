"""Ports for the tests: free ones in a row, below those that the kernel gives to anybody's connections."""

import secrets
import socket
from contextlib import suppress

from tests.eventually import eventually

__all__ = ["free_ports"]

_FIRST, _PAIRS = 20000, 6000


def free_ports(count: int) -> int:
    """Return an even port with `count` free ones from it on."""

    def free() -> int:
        first = _FIRST + 2 * secrets.randbelow(_PAIRS)
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
        return 0

    return eventually(free)
