"""The sockets that a server listens on, bound before anything is loaded so that a port in use ends it at once."""

import errno
import socket
from typing import NamedTuple

from predictors.errors import ListenError

__all__ = ["Sockets", "bound"]


class Sockets(NamedTuple):
    """Bound and not listening yet; without gRPC there is no third."""

    data: socket.socket
    side: socket.socket
    rpc: socket.socket | None

    @property
    def ports(self) -> dict[str, int | None]:
        """Name the ports as the ready line does."""
        return {
            "http_port": self.data.getsockname()[1],
            "grpc_port": None if self.rpc is None else self.rpc.getsockname()[1],
            "metrics_port": self.side.getsockname()[1],
        }


def bound(host: str, port: int) -> socket.socket:
    """Bind a port; 0 takes a free one.

    Raises:
        ListenError: The address is not ours to listen on.
        OSError: The port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise OSError(errno.EADDRINUSE, "the port is in use", f"{host}:{port}") from error
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}", "choose another address") from error
    return sock
