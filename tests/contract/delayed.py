"""A server that answers each request a known time after it came, however many there are, and says what it answered.

    python -m tests.contract.delayed --service-ms 20 [--refuse-every 10]

It prints its port. A GET answers with how often each status was given; with `--refuse-every 10` the requests numbered
0, 10, 20 … as they came are refused.
"""

import argparse
import asyncio
import contextlib
import json
from collections import Counter

from tests.truth.queue_server import every, reply

_RIGHT = b'{"predictions": [{"label": "pie"}]}'


class Server:
    """Counts requests as they come and answers by status."""

    def __init__(self, service_s: float, refuse_every: int) -> None:
        self._service_s = service_s
        self._refuse_every = refuse_every
        self._came = 0
        self._given: Counter[int] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until it is closed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get "):
                    writer.write(reply(b"200 OK", json.dumps(self._given).encode()))
                    continue
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
                is_refused = every(self._refuse_every, self._came)
                self._came += 1
                await asyncio.sleep(self._service_s)
                self._given[503 if is_refused else 200] += 1
                writer.write(reply(b"503 Service Unavailable" if is_refused else b"200 OK", _RIGHT))
                await writer.drain()
        writer.close()


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--service-ms", type=float, required=True)
    parser.add_argument("--refuse-every", type=int, default=0)
    options = parser.parse_args()
    server = Server(options.service_ms / 1000, options.refuse_every)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
