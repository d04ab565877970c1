"""The gRPC port: bound before anything is loaded, answering while it loads, drained with GOAWAY.

`grpc.aio` on the event loop that serves HTTP too. Its own limits follow ours: messages as large as a body
may be, a bound on calls at once, idle connections closed, and no port shared with another process.

Stopping the library's server sends GOAWAY, but cancels what crosses it on the wire: measured, about one call
of each busy client. Only a connection that has become too old is sent away gracefully, with its calls
served to the end. So where there is a pre-stop margin, no connection gets older than a third of it: in the
margin every client leaves by itself and is routed elsewhere, and the stop finds nobody. A new connection
every second or so costs a client about a millisecond, and spreads long-lived clients over the replicas.
"""

import os
from typing import Any

from predictors.errors import ListenError
from predictors.server.core import Predictor
from predictors.server.metrics import Metrics

__all__ = ["RpcPort"]

_MAX_METADATA_BYTES = 16 << 10
_MIN_PING_MS = 10_000
_AGES_A_MARGIN = 3


class RpcPort:
    """A listening port for gRPC."""

    def __init__(self, predictor: Predictor, metrics: Metrics) -> None:
        # What the library says of its own inner life belongs in no log of ours.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        import grpc.aio

        from predictors.server.rpc.service import Service

        settings, model = predictor.settings, predictor.model
        margin_ms = int(settings.pre_stop_s * 1000)
        ages = [("grpc.max_connection_age_ms", max(1, margin_ms // _AGES_A_MARGIN))] if margin_ms else []
        self._server: Any = grpc.aio.server(
            maximum_concurrent_rpcs=settings.connections,
            options=[
                *ages,
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", model.body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
                ("grpc.max_concurrent_streams", settings.connections),
                # The library's own is two minutes for a client that says nothing after it has connected.
                ("grpc.server_handshake_timeout_ms", int(settings.head_timeout_s * 1000)),
                ("grpc.max_connection_idle_ms", int(settings.idle_timeout_s * 1000)),
                ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_MS),
            ],
        )
        self._server.add_generic_rpc_handlers(tuple(Service(predictor, metrics).handlers()))

    async def listen(self, host: str, port: int) -> int:
        """Take the port and answer from now on; return its number.

        Raises:
            ListenError: It cannot be taken.
        """
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            number = int(self._server.add_insecure_port(place))
        except RuntimeError as error:
            raise ListenError(f"cannot listen on {place} for gRPC", "choose another port, or --no-grpc") from error
        await self._server.start()
        return number

    async def drain(self, grace_s: float) -> None:
        """Send every client away (GOAWAY), finish the calls that run, and cancel what is left after the grace."""
        await self._server.stop(grace_s)
