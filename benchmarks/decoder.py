"""What does the decoder's process cost? JPEG requests a second with it, and with images decoded in the server.

Both servers are up all the time and asked in turn, in short rounds whose order changes, so that what else the machine
does meets both. Each round is closed loop, over 8 connections and over one. Beside rates and medians stands the
processor time of a request as the servers count it, their decoders included: what a busy machine leaves nearly alone.

    python -m benchmarks.decoder food11-ort-int8 --rounds 10 --seconds 3

Prints a line of JSON a round, and medians with their ratios at the end.
"""

import argparse
import http.client
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MANNERS = {"process": (), "in-place": ("--without", "decoder")}
CONNECTIONS = (8, 1)
SEED = 7


def photograph(width: int = 320, height: int = 240) -> bytes:
    """Make a JPEG of a size and a quality as photographs in a race have them."""
    coarse = np.random.default_rng(SEED).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


class Server:
    def __init__(self, ready: dict[str, Any]) -> None:
        self.port: int = ready["http_port"]
        self._side: int = ready["metrics_port"]
        self.path = f"/v1/models/{ready['model']}:predict"

    def state(self) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._side)
        connection.request("GET", "/debug/state")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def proportional_mib(self) -> float:
        state = self.state()
        pids = [state["pid"], *([state["decoder"]["pid"]] if state["decoder"]["pid"] else [])]
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii") for pid in pids]
        return sum(int(text.partition("\nPss:")[2].split()[0]) for text in rollups) / 1024


@contextmanager
def started(variant: str, cpus: str, flags: tuple[str, ...]) -> Iterator[Server]:
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    command = [sys.executable, "-m", "tests.contract.stub", variant, "--cpus", cpus, *ports, *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe was made")
        yield Server(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait()


def asked(server: Server, image: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Ask over so many connections at once, and return rate, median and processor time of a request.

    Raises:
        OSError, http.client.HTTPException, RuntimeError: what ended one of the connections: a round with fewer of them
            says nothing of all.
    """

    def ask(end: float) -> list[float]:
        times = []
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            while time.monotonic() < end:
                began = time.monotonic()
                connection.request("POST", server.path, image, {"content-type": "image/jpeg"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"status {answer.status}")
                times.append(time.monotonic() - began)
        return times

    before, began = server.state()["cpu_s"], time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        times = [one for found in pool.map(ask, [began + seconds] * connections) for one in found]
    took_s = time.monotonic() - began
    used_s = server.state()["cpu_s"] - before
    return {
        "rps": round(len(times) / took_s, 1),
        "p50_ms": round(statistics.median(times) * 1e3, 3),
        "cpu_ms": round(used_s / len(times) * 1e3, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("variant")
    parser.add_argument("--cpus", default="1")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked_for = parser.parse_args()
    image = photograph()
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        servers = {
            manner: stack.enter_context(started(asked_for.variant, asked_for.cpus, flags))
            for manner, flags in MANNERS.items()
        }
        for number in range(asked_for.rounds + 1):
            for connections in CONNECTIONS:
                for manner in sorted(servers, reverse=number % 2 == 1):
                    seen = asked(servers[manner], image, connections, asked_for.seconds)
                    # The first round is for warming up.
                    if number:
                        found.setdefault((manner, connections), []).append(seen)
                        print(json.dumps({"round": number, "manner": manner, "connections": connections, **seen}))
        print(json.dumps({manner: round(server.proportional_mib(), 1) for manner, server in servers.items()}))
    for connections in CONNECTIONS:
        middle = {
            manner: {key: statistics.median(one[key] for one in found[manner, connections]) for key in seen}
            for manner in servers
        }
        ratios = {key: round(middle["process"][key] / middle["in-place"][key], 3) for key in seen}
        print(json.dumps({"connections": connections, **middle, "ratios": ratios}))


if __name__ == "__main__":
    main()
