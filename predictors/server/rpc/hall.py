"""What the connections of the gRPC port share: what answers, who is let in, and how much there may be of everything."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from predictors.server.connection import Timeouts
from predictors.server.rpc.call import Call, Method

if TYPE_CHECKING:
    from predictors.server.rpc.connection import RpcConnection

__all__ = ["RpcHall"]


@dataclass(slots=True)
class RpcHall:
    """What the connections of one port share.

    Attributes:
        find: Finds what answers a path.
        enter: Lets a call in by its headers, or refuses it and returns False; None where no keys are asked for.
        message_bytes: The largest message.
        max_connections: Most connections, most calls on one of them, and most on all together.
        calls: Number of open calls.
        receiving_bytes: What unfinished messages hold together; twice the largest at most.
        is_leaving: Whether clients are being sent away.
    """

    find: Callable[[str], Method | None]
    message_bytes: int
    max_connections: int
    timeouts: Timeouts
    enter: Callable[[Call], bool] | None = None
    connections: set["RpcConnection"] = field(default_factory=set)
    calls: int = 0
    receiving_bytes: int = 0
    is_leaving: bool = False

    @property
    def max_receiving_bytes(self) -> int:
        """The most that unfinished messages may hold together."""
        return max(2 * self.message_bytes, 16 << 20)
