"""A server with known service times: one worker, first in first out, every request the same time, one stall.

What it does is simple enough to be computed from a schedule alone, which is what the tests compare with. The
worker is a thread that sleeps, because an event loop rounds its waits to whole milliseconds. A GET answers with
the sizes of all bodies so far, and by how many milliseconds each answer left later than it should have. Over gRPC
the method ModelInfer is served, and Facts in the place of GET.

    python queue_server.py --service-ms 20 [--grpc 1] [--stall-request 9 --stall-s 2] [--wrong-every 7 --refuse-every 5]

Over HTTP it may also close every so manieth connection in the place of an answer (`--close-every`), answer 200 with an
error in the body (`--error-every`), or end itself when a request of some number comes (`--die-at`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc.aio

Answer = asyncio.Future[tuple[int, float]]
Job = tuple[float, Answer]
Jobs = queue.SimpleQueue[Job]
# How long a request takes, in s, by its number and by when it came since the start.
Service = Callable[[int, float], float]


def work(jobs: Jobs, service: Service) -> None:
    finished = began = time.monotonic()
    number = 0
    while True:
        arrived, answer = jobs.get()
        # From the planned end of the one before, so that oversleeping does not add up.
        finished = max(arrived, finished) + service(number, arrived - began)
        time.sleep(max(0.0, finished - time.monotonic()))
        answer.get_loop().call_soon_threadsafe(settle, answer, number, finished)
        number += 1


def settle(answer: Answer, number: int, finished: float) -> None:
    # Whoever asked may have gone away.
    if not answer.done():
        answer.set_result((number, finished))


class Server:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.jobs: Jobs = queue.SimpleQueue()
        self.sizes: list[int] = []
        self.late_ms: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get "):
                    writer.write(reply(b"200 OK", json.dumps({"sizes": self.sizes, "late_ms": self.late_ms}).encode()))
                    continue
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                size = int(fields[b"content-length"])
                await reader.readexactly(size)
                number, finished = await self.worked(size)
                if number == self.options.die_at:
                    os._exit(1)
                if every(self.options.close_every, number):
                    break
                writer.write(self.predict(number))
                self.late_ms.append(1000 * (time.monotonic() - finished))
                await writer.drain()
        writer.close()

    async def worked(self, size: int) -> tuple[int, float]:
        """Wait for the worker, and return the request's number and when it was done."""
        self.sizes.append(size)
        answer: Answer = asyncio.get_running_loop().create_future()
        self.jobs.put((time.monotonic(), answer))
        return await answer

    def predict(self, number: int) -> bytes:
        if every(self.options.error_every, number):
            return reply(b"200 OK", b'{"error": "the model has no weights"}')
        body = b'{"predictions": []}' if self.is_wrong(number) else b'{"predictions": [{"label": "pie"}]}'
        return reply(b"503 Service Unavailable" if self.is_refused(number) else b"200 OK", body)

    async def infer(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        from grpc import StatusCode

        number, finished = await self.worked(len(request))
        self.late_ms.append(1000 * (time.monotonic() - finished))
        if self.is_refused(number):
            await context.abort(StatusCode.UNAVAILABLE, "full")
        return message(items=2 if self.is_wrong(number) else 1)

    async def facts(self, _request: bytes, _context: Any) -> bytes:
        return json.dumps({"sizes": self.sizes, "late_ms": self.late_ms}).encode()

    def is_wrong(self, number: int) -> bool:
        return every(self.options.wrong_every, number)

    def is_refused(self, number: int) -> bool:
        return every(self.options.refuse_every, number)


def every(period: int, number: int) -> bool:
    return bool(period) and number % period == 0


def reply(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def message(items: int) -> bytes:
    """Return a ModelInferResponse with one output: its type (field 2) and shape (3), and its bytes (6)."""
    output = b"\x12\x04FP32" + b"\x1a\x01" + bytes([items])
    return b"\x2a" + bytes([len(output)]) + output + b"\x32" + bytes([4 * items]) + bytes(4 * items)


async def serve_grpc(server: Server) -> None:
    # The image that the cluster's tests start this in has none.
    import grpc
    import grpc.aio

    listener = grpc.aio.server()
    methods = {
        name: grpc.unary_unary_rpc_method_handler(f)
        for name, f in {"ModelInfer": server.infer, "Facts": server.facts}.items()
    }
    listener.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods),)
    )
    port = listener.add_insecure_port("127.0.0.1:0")
    await listener.start()
    print(port, flush=True)  # noqa: T201
    await listener.wait_for_termination()


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--grpc", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stall-request", type=int, default=-1)
    parser.add_argument("--stall-s", type=float, default=0.0)
    parser.add_argument("--wrong-every", type=int, default=0)
    parser.add_argument("--refuse-every", type=int, default=0)
    parser.add_argument("--close-every", type=int, default=0)
    parser.add_argument("--error-every", type=int, default=0)
    parser.add_argument("--die-at", type=int, default=-1)
    return parser.parse_args()


async def serve(options: argparse.Namespace, service: Service) -> None:
    """Serve until it is ended; the port is the first line of what it prints."""
    server = Server(options)
    threading.Thread(target=work, args=(server.jobs, service), daemon=True).start()
    if options.grpc:
        await serve_grpc(server)
        return
    listener = await asyncio.start_server(server.serve, options.host, options.port, backlog=1000)
    print(listener.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    async with listener:
        await listener.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--service-ms", type=float, required=True)
    options = options_of(parser)
    stalls = {options.stall_request: options.stall_s}
    asyncio.run(serve(options, lambda number, _at_s: options.service_ms / 1000 + stalls.get(number, 0.0)))


if __name__ == "__main__":
    main()
