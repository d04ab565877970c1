"""How much can the generator send from one core, and what do its histograms cost? `python -m benchmarks.generator`.

k6 with our extension on the first core, an echo that computes nothing on the last. Poisson arrivals at rising rates,
several rounds in turn: lateness from the intended start, and processor time a request. The histograms are made from the
samples when a run is over; a Go benchmark of exactly that code stands beside the processor time of the whole k6 at the
same rate. What k6 takes to start so many users is known from a shot of one request, and left out. Nothing here passes
or fails.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.loopback import GENERATOR_CORES, SERVER_CORE, environment, pressure_us
from loadtest.play import play
from loadtest.process import prefer
from loadtest.schedule import poisson
from loadtest.shot import Endpoint, GeneratorFacts, Shot
from tests.eventually import eventually
from tests.loads import payloads
from tests.ports import free_ports
from tests.priority import going_first

RATES = (500.0, 1000.0, 2000.0, 3000.0, 4000.0)
ROOT = Path(__file__).parents[1]
ECHO = ROOT / "benchmarks" / "servers" / "programs" / "echo.py"
ANSWER = b'{"predictions": [0]}'
USERS = 400
LATE_MS = 10.0


@contextmanager
def echoing() -> Iterator[Endpoint]:
    """Run the echo on the last core."""
    port = free_ports(1)
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, str(ECHO)]
    with subprocess.Popen(command, env={**os.environ, "ANSWER": ANSWER.hex(), "PORT": str(port)}) as process:
        try:
            prefer(process.pid)
            eventually(lambda: is_open(port), 30)
            yield Endpoint(f"http://127.0.0.1:{port}", "v1-image", "pie")
        finally:
            process.kill()


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def first_of(shot: Shot) -> Shot:
    """Return a shot of one request, for which as many users get ready."""
    return replace(shot, schedule=np.zeros(1, dtype=np.int64), seconds=None)


def cpu_us(facts: GeneratorFacts, start: GeneratorFacts, *, requests: int) -> float:
    """Return the processor time of a request in µs, without that of the start."""
    return 1e6 * max(0.0, facts.cpu_seconds - start.cpu_seconds) / max(1, requests - 1)


def sent(rate: float, seconds: float, seed: int, folder: Path) -> dict[str, float | None]:
    """Play one round and return its figures."""
    shot = Shot("open", users=USERS, timeout_s=2, schedule=poisson(rate, seconds, seed), seconds=seconds)
    bodies = payloads(folder / "payloads", 5)
    with echoing() as endpoint:
        start = play(endpoint, first_of(shot), bodies, workdir=folder, cores=GENERATOR_CORES).generator
        before = pressure_us()
        found = play(endpoint, shot, bodies, workdir=folder, cores=GENERATOR_CORES)
        after = pressure_us()
    late_ms = found.samples.lateness_ns / 1e6
    facts = found.generator
    return {
        "rate": rate,
        "planned": found.planned,
        "good": int(found.samples.good.sum()),
        "dropped": found.dropped,
        "late_p50_ms": round(float(np.percentile(late_ms, 50)), 3),
        "late_p99_ms": round(float(np.percentile(late_ms, 99)), 3),
        "late_max_ms": round(float(late_ms.max()), 3),
        "latency_p50_ms": round(float(np.percentile(found.samples.latency_actual_ns / 1e6, 50)), 3),
        "cpu_us_a_request": round(cpu_us(facts, start, requests=len(late_ms)), 1),
        "start_cpu_s": round(start.cpu_seconds, 3),
        "cpu_share": round(facts.cpu_seconds / facts.wall_s, 3),
        "stolen": facts.stolen,
        "pressure_s": None if before is None or after is None else round((after - before) / 1e6, 2),
    }


def log_cost_us(repeats: int) -> dict[float, float]:
    """Return what the histograms of one request cost in Go, in µs of one core, by the rate of the run."""
    go = shutil.which("go") or shutil.which("go", path=str(ROOT / ".podium/go/go/bin"))
    if go is None:
        raise SystemExit("there is no Go toolchain; ./scripts/build-k6 fetches one where it needs it")
    words = ["-trimpath", "-vet=off", "-run", "^$", "-bench", "BenchmarkTheLog", "-benchtime", "1s", "-cpu", "1"]
    told = subprocess.run(
        [go, "test", *words, "-count", str(repeats), "."],
        cwd=ROOT / "loadtest" / "xk6-hdr",
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOGC": "400"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    costs: dict[float, list[float]] = {}
    for line in told.splitlines():
        if line.startswith("BenchmarkTheLog/"):
            fields = line.split()
            costs.setdefault(float(fields[0].split("/")[1]), []).append(float(fields[fields.index("ns/request") - 1]))
    return {rate: statistics.median(found) / 1000 for rate, found in costs.items()}


def summary(rows: list[dict[str, float | None]], cost_us: dict[float, float]) -> dict[str, object]:
    """Return medians over the rounds by rate, and what the histograms are of the whole."""
    found: dict[str, object] = {}
    for rate in sorted({float(one["rate"] or 0) for one in rows}):
        mine = [one for one in rows if one["rate"] == rate]
        names = ("late_p50_ms", "late_p99_ms", "late_max_ms", "cpu_us_a_request", "cpu_share")
        medians = {name: statistics.median(float(one[name] or 0) for one in mine) for name in names}
        share = {"log_share": round(cost_us[rate] / medians["cpu_us_a_request"], 4)} if rate in cost_us else {}
        in_time = sum(float(one["late_p99_ms"] or 0) <= LATE_MS and not one["dropped"] for one in mine)
        found[f"{rate:g}"] = {**medians, **share, "rounds": len(mine), "rounds_in_time": in_time}
    return found


def main() -> int:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/generator.json"))
    options = parser.parse_args()
    told = environment()
    cost_us = log_cost_us(options.rounds)
    print(json.dumps({"log_us_a_request": cost_us}), flush=True)
    rows = []
    with tempfile.TemporaryDirectory(prefix="podium-generator-") as folder, going_first():
        for number in range(options.rounds):
            for rate in options.rates:
                rows.append({"round": number, **sent(rate, options.seconds, number, Path(folder))})
                print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": "python -m benchmarks.generator",
        "environment": told,
        "log_us_a_request": {f"{rate:g}": round(cost, 3) for rate, cost in cost_us.items()},
        "by_rate": summary(rows, cost_us),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["by_rate"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
