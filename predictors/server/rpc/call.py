"""One call of a gRPC method: what the client said of it, its message, and the one or more messages that answer it."""

import re
import struct
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, Protocol
from urllib.parse import quote

from predictors.server.door import Tenant
from predictors.server.rpc.hpack import header_block

__all__ = ["Call", "CallHead", "Link", "Method", "Status", "StatusError", "read_head", "trailers"]

_TIMEOUT: Final = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_NS: Final = {"H": 3600 * 10**9, "M": 60 * 10**9, "S": 10**9, "m": 10**6, "u": 10**3, "n": 1}
_MAX_TEXT: Final = 2048
# What RFC 3986 does not need and gRPC leaves as it is: printable ASCII but the percent sign.
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Status(IntEnum):
    """The codes of gRPC that are used here."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class StatusError(Exception):
    """A call that is refused for how it comes."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


Method = Callable[["Call"], None]


class CallHead:
    """What the headers of a call say; calls that say the same share one.

    Attributes:
        method: What answers.
        timeout_ns: How long the client waits, 0 where it does not say.
        http_status: Another status than 200, where it is no call of gRPC at all.
        fault: Why it is refused, else None.
    """

    __slots__ = ("fault", "headers", "http_status", "method", "timeout_ns")

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.method: Method | None = None
        self.timeout_ns = 0
        self.http_status = 200
        self.fault: StatusError | None = None


class Link(Protocol):
    """The connection of a call."""

    def send(self, call: "Call", message: bytes) -> None:
        """Send a message."""
        ...

    def finish(self, call: "Call", message: bytes | None, block: bytes) -> None:
        """Send the last message, if there is one, and the trailers."""
        ...


class Call:
    """A call that is open.

    Attributes:
        started_ns: When its headers came, `received_ns` when its message was whole.
        on_cancel: Called once if the client goes before the answer is there.
        is_over: Whether it is answered, refused or gone.
        has_begun: Whether headers of the answer were sent.
        is_whole: Whether the client has sent all of it.
        most_bytes: The most that its message may have, where that is less than others may; else 0.
        tenant: Whose call it is, where keys are asked for.
    """

    __slots__ = (
        "_link",
        "body",
        "has_begun",
        "have",
        "head",
        "is_over",
        "is_whole",
        "most_bytes",
        "need",
        "on_cancel",
        "parts",
        "received_ns",
        "started_ns",
        "stream",
        "tenant",
        "window",
    )

    def __init__(self, link: Link, stream: int, head: CallHead) -> None:
        self._link = link
        self.stream = stream
        self.head = head
        self.started_ns = self.received_ns = time.monotonic_ns()
        self.body = b""
        self.parts: list[bytes] = []
        self.have = 0
        self.need = -1
        self.window = self.most_bytes = 0
        self.tenant: Tenant | None = None
        self.is_whole = self.is_over = self.has_begun = False
        self.on_cancel: Callable[[], None] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The client's metadata; of a name that is there twice, the values with a comma between."""
        return self.head.headers

    def send(self, message: bytes) -> None:
        """Send one of several messages."""
        if not self.is_over:
            self._link.send(self, message)

    def reply(self, message: bytes | None, block: bytes) -> None:
        """End it well, with a last message if there is one, and a block of trailers."""
        if not self.is_over:
            self._link.finish(self, message, block)

    def refuse(self, status: Status, text: str, more: Sequence[tuple[str, str]] = ()) -> None:
        """End it with an error."""
        self.reply(None, trailers(status, text, more))

    def cancel(self) -> None:
        """Note that the client has gone."""
        self.is_over = True
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            on_cancel()

    def take(self, payload: bytes, max_bytes: int) -> None:
        """Take a part of the message.

        Raises:
            StatusError: It is larger than `max_bytes`, compressed, or more than one message.
        """
        self.parts.append(payload)
        self.have += len(payload)
        if self.need < 0 and self.have >= 5:
            if len(self.parts[0]) < 5:
                self.parts = [b"".join(self.parts)]
            is_compressed, size = struct.unpack_from(">BI", self.parts[0])
            if size > max_bytes:
                raise StatusError(Status.RESOURCE_EXHAUSTED, f"the message is above {max_bytes} bytes")
            if is_compressed:
                raise StatusError(Status.UNIMPLEMENTED, "the message must come uncompressed")
            self.need = size + 5
        if self.have > max(self.need, 5):
            raise StatusError(Status.INVALID_ARGUMENT, "more came than one message")

    def close(self) -> None:
        """Make the message of its parts.

        Raises:
            StatusError: It is not whole.
        """
        self.is_whole = True
        self.received_ns = time.monotonic_ns()
        if self.have != self.need:
            raise StatusError(Status.INVALID_ARGUMENT, "the message is not whole")
        parts = self.parts
        self.body = parts[0][5:] if len(parts) == 1 else b"".join((parts[0][5:], *parts[1:]))
        self.parts = []


def read_head(fields: Sequence[tuple[bytes, bytes]], find: Callable[[str], Method | None]) -> CallHead | None:
    """Read the headers of a call; None where they are malformed."""
    pseudo: dict[str, str] = {}
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name.startswith(":"):
            if headers or name in pseudo:
                return None
            pseudo[name] = value
        elif not name or name != name.lower() or not value.isprintable():
            return None
        else:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if ":method" not in pseudo or ":path" not in pseudo:
        return None
    head = CallHead(headers)
    if pseudo[":method"] != "POST":
        head.http_status = 405
    elif not headers.get("content-type", "").startswith("application/grpc"):
        head.http_status = 415
    head.method = find(pseudo[":path"])
    if head.method is None:
        head.fault = StatusError(Status.UNIMPLEMENTED, "no such method is served here")
    timeout = headers.get("grpc-timeout")
    if timeout is not None:
        read = _TIMEOUT.fullmatch(timeout)
        if read is None:
            head.fault = StatusError(Status.INVALID_ARGUMENT, "grpc-timeout: is malformed")
        else:
            head.timeout_ns = max(1, int(read[1]) * _UNITS_NS[read[2]])
    return head


def trailers(status: Status, text: str = "", more: Sequence[tuple[str, str]] = ()) -> bytes:
    """Write the block that ends a call."""
    fields = [("grpc-status", str(int(status)))]
    if text:
        fields.append(("grpc-message", quote(text[:_MAX_TEXT], safe=_PLAIN)))
    return header_block([*fields, *more])
