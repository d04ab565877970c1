r"""How many requests a second does a server answer on one core?

A closed loop: each of `--connections` connections sends its next request when the answer to the last is
there. Pin the server and this client to different cores:

    taskset -c 0 python -m predictors.server FOLDER --cpus 1 --http-port 8080
    taskset -c 1 python benchmarks/server_throughput.py \
        http://127.0.0.1:8080/v1/models/food11:predict --body a.jpg

With `--pid` of the server, its CPU time for each request is given too, which holds on a busy machine where
the rate does not. A closed loop says what a server can do at most, not what latency a user sees under load:
for that, race.
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop

_KINDS = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".json": "application/json"}


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, latencies: list[float], failures: list[bytes]) -> None:
        self._request = request
        self._until = until
        self._latencies = latencies
        self._failures = failures
        self._buffer = b""
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        if not head.startswith(b"http/1.1 200"):
            self._failures.append(self._buffer[:200])
        self._buffer = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def _measure(host: str, port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    failures: list[bytes] = []
    began = time.perf_counter()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: _Client(request, began + seconds, latencies, failures), host, port
        )
        clients.append(client)
    await asyncio.gather(*[client.ended for client in clients])
    spent = time.perf_counter() - began
    p50, p99 = (float(value) * 1e3 for value in np.percentile(latencies, [50, 99]))
    return {
        "connections": connections,
        "requests": len(latencies),
        "per_second": round(len(latencies) / spent, 1),
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "failures": len(failures),
        "first_failure": failures[0].decode("latin-1") if failures else None,
    }


def _cpu_seconds(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--body", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pid", type=int, help="the server's, to read its CPU time")
    parser.add_argument("--header", action="append", default=[], help="further header lines")
    arguments = parser.parse_args()
    url = urlsplit(arguments.url)
    body = arguments.body.read_bytes()
    kind = _KINDS.get(arguments.body.suffix, "application/octet-stream")
    head = [
        f"POST {url.path} HTTP/1.1",
        f"Host: {url.netloc}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *arguments.header,
    ]
    request = "\r\n".join([*head, "", ""]).encode("ascii") + body
    host, port = url.hostname or "127.0.0.1", url.port or 80
    before = _cpu_seconds(arguments.pid)
    figures = uvloop.run(_measure(host, port, request, arguments.connections, arguments.seconds))
    if arguments.pid:
        spent = _cpu_seconds(arguments.pid) - before
        figures["cpu_us_per_request"] = round(spent * 1e6 / max(1, int(str(figures["requests"]))), 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
