"""What do load tools say of a server that stalls? `python -m benchmarks.coordinated_omission`, about 9 minutes.

A server of one worker and a known service time stalls once, for 0.1 to 5 s; what users who come on their own must have
seen follows from the times at which they come. Beside that truth: p99 and maximum from the intended start, as Podium
records them at Poisson arrivals, and what k6 and vegeta print themselves at a constant rate, each beside the truth of
its own arrivals; and a closed loop of one user, beside what users at that rate would have seen.

k6 runs twice: with users for every request of the stall, and with ten, which are plenty for the server when it does
not stall. A run in which the machine did not let the generator send or the server answer when they meant to is
played again, whatever it measured; nothing here passes or fails.
"""

import argparse
import dataclasses
import json
import math
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.loopback import GENERATOR_CORES, QUEUE_SERVER, environment, served
from loadtest.histogram import Histogram
from loadtest.k6 import ENVIRONMENT, find_k6
from loadtest.payloads import PayloadSet
from loadtest.play import play
from loadtest.process import start, wait_all
from loadtest.schedule import constant, poisson
from loadtest.shot import Endpoint, Shot
from loadtest.vegeta import find_vegeta
from tests.loads import payloads
from tests.priority import going_first

Integers = npt.NDArray[np.int64]

RATE, SERVICE_S = 50.0, 0.004
STALLS_S = (0.1, 0.3, 1.0, 2.0, 5.0)
FEW_USERS = 10
SEED = 2026
TRIES = 4
# Nine times in ten, and five times as much always.
STEADY_MS = 2.0
# A star that is no Markdown.
UNSTEADY = " \\*"
_NS = 1_000_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One planted stall and how long it is played."""

    stall_s: float

    @property
    def seconds(self) -> float:
        return min(30.0, max(2.0, 20 * self.stall_s))

    @property
    def stalled(self) -> int:
        """Number of the request that stalls."""
        return round(RATE * self.seconds / 4)

    def truth_ms(self, schedule: Integers) -> dict[str, float]:
        """Return p99 (nearest rank) and maximum of what users with these arrivals see."""
        latencies, free = [], 0.0
        for number, arrival in enumerate((schedule / _NS).tolist()):
            free = max(free, arrival) + SERVICE_S + (self.stall_s if number == self.stalled else 0.0)
            latencies.append(1000 * (free - arrival))
        latencies.sort()
        return {"p99_ms": latencies[math.ceil(0.99 * len(latencies)) - 1], "max_ms": latencies[-1]}


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """What a tool said, and by how many ms its sends were late where it tells."""

    figures_ms: dict[str, float]
    requests: int
    dropped: int = 0
    late_ms: Sequence[float] = (0.0,)


def ours(case: Case, port: int, bodies: PayloadSet, folder: Path) -> Said:
    schedule = poisson(RATE, case.seconds, SEED)
    users = math.ceil(RATE * (case.stall_s + 1)) + 16
    shot = Shot("open", users=users, timeout_s=10, schedule=schedule, seconds=case.seconds)
    endpoint = Endpoint(f"http://127.0.0.1:{port}", "v1-image", "pie")
    found = play(endpoint, shot, bodies, workdir=folder, cores=GENERATOR_CORES)
    seen = Histogram.of_ns(found.samples.recorded_intended_ns(found.timeout_ns))
    figures = {"p99_ms": seen.percentile_ms(99), "max_ms": seen.percentile_ms(100)}
    return Said(figures, len(found.samples), found.dropped, (found.samples.lateness_ns / 1e6).tolist())


def k6_alone(case: Case, port: int, bodies: PayloadSet, folder: Path, *, users: int, rate: float | None) -> Said:
    summary = folder / "summary.json"
    words = {"URL": target(port), "BODY": str(bodies.files[0].resolve()), "SECONDS": f"{case.seconds:g}"}
    words |= {"USERS": str(users), **({} if rate is None else {"RATE": f"{rate:g}"})}
    script = Path(__file__).with_name("k6_summary.js")
    command = [str(find_k6()), "run", "--quiet", "--no-color", "--summary-export", str(summary), str(script)]
    run(command, folder, {**ENVIRONMENT, **words}, case)
    metrics = json.loads(summary.read_text())["metrics"]
    took = metrics["http_req_duration"]
    dropped = metrics.get("dropped_iterations", {}).get("count", 0)
    return Said({"p99_ms": took["p(99)"], "max_ms": took["max"]}, metrics["http_reqs"]["count"], dropped)


def k6_with_enough_users(case: Case, port: int, bodies: PayloadSet, folder: Path) -> Said:
    users = math.ceil(RATE * (case.stall_s + 1)) + 16
    return k6_alone(case, port, bodies, folder, users=users, rate=RATE)


def k6_with_few_users(case: Case, port: int, bodies: PayloadSet, folder: Path) -> Said:
    return k6_alone(case, port, bodies, folder, users=FEW_USERS, rate=RATE)


def closed_loop(case: Case, port: int, bodies: PayloadSet, folder: Path) -> Said:
    return k6_alone(case, port, bodies, folder, users=1, rate=None)


def vegeta_alone(case: Case, port: int, bodies: PayloadSet, folder: Path) -> Said:
    vegeta, points, report = str(find_vegeta()), folder / "points.bin", folder / "report.json"
    asked = folder / "targets.txt"
    asked.write_text(f"POST {target(port)}\nContent-Type: image/jpeg\n@{bodies.files[0].resolve()}\n")
    words = [f"-rate={RATE:g}/1s", f"-duration={case.seconds:g}s", f"-targets={asked}", f"-output={points}"]
    run([vegeta, "attack", *words], folder, {}, case)
    run([vegeta, "report", "-type=json", f"-output={report}", str(points)], folder, {}, case)
    told = json.loads(report.read_text())
    figures = {"p99_ms": told["latencies"]["99th"] / 1e6, "max_ms": told["latencies"]["max"] / 1e6}
    return Said(figures, told["requests"])


Tool = Callable[[Case, int, PayloadSet, Path], Said]
TOOLS: dict[str, Tool] = {
    "podium, from the intended start": ours,
    "k6's summary, users for the stall": k6_with_enough_users,
    "k6's summary, 10 users": k6_with_few_users,
    "vegeta's report": vegeta_alone,
    "closed loop, 1 user": closed_loop,
}


def target(port: int) -> str:
    return Endpoint(f"http://127.0.0.1:{port}", "v1-image", "pie").target


def run(command: Sequence[str], folder: Path, words: dict[str, str], case: Case) -> None:
    log = folder / "said.log"
    with start(command, log=log, environment=words, cores=GENERATOR_CORES) as child:
        (usage,) = wait_all([child], case.seconds + 60)
    if usage.code != 0:
        raise SystemExit(f"{command[0]} ended with code {usage.code}:\n{log.read_text()}")


def is_steady(*late_ms: Sequence[float]) -> bool:
    usual, worst = (max(float(np.percentile(one, q)) for one in late_ms) for q in (90, 100))
    return usual < STEADY_MS and worst < 5 * STEADY_MS


def row(case: Case, name: str, folder: Path) -> dict[str, object]:
    """Play a case with a tool until the machine let it, and return what was said beside the truth."""
    arrivals = poisson(RATE, case.seconds, SEED) if TOOLS[name] is ours else constant(RATE, case.seconds)
    truth = case.truth_ms(arrivals)
    attempts = 0
    options = ["--service-ms", f"{1000 * SERVICE_S:g}", "--stall-request", str(case.stalled)]
    for _ in range(TRIES):
        attempts += 1
        with (
            tempfile.TemporaryDirectory(dir=folder) as place,
            served(QUEUE_SERVER, *options, "--stall-s", f"{case.stall_s:g}") as port,
        ):
            said = TOOLS[name](case, port, payloads(folder / "payloads", 5), Path(place))
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60) as answer:
                answered_late_ms = json.load(answer)["late_ms"]
        if steady := is_steady(said.late_ms, answered_late_ms):
            break
    errors = {f"{key.removesuffix('_ms')}_error": said.figures_ms[key] / truth[key] - 1 for key in truth}
    return {
        "stall_s": case.stall_s,
        "tool": name,
        "seconds": case.seconds,
        "requests": said.requests,
        "dropped": said.dropped,
        **{key: round(value, 2) for key, value in said.figures_ms.items()},
        **{f"true_{key}": round(value, 2) for key, value in truth.items()},
        **{key: round(value, 4) for key, value in errors.items()},
        "attempts": attempts,
        "steady": steady,
    }


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the errors as Markdown: a line for each tool, a column for each stall; what never was steady is marked."""
    stalls = sorted({float(str(one["stall_s"])) for one in rows})
    lines = ["| p99 / maximum beside the truth | " + " | ".join(f"{one:g} s" for one in stalls) + " |"]
    lines.append("|" + " --- |" * (len(stalls) + 1))
    for tool in TOOLS:
        cells = {one["stall_s"]: one for one in rows if one["tool"] == tool}
        texts = [
            f"{cells[one]['p99_error']:+.1%} / {cells[one]['max_error']:+.1%}"
            + ("" if cells[one]["steady"] else UNSTEADY)
            for one in stalls
            if one in cells
        ]
        lines.append(f"| {tool} | " + " | ".join(texts) + " |")
    if not all(one["steady"] for one in rows):
        lines += ["", f"{UNSTEADY.strip()} in none of {TRIES} tries could all send and answer when they meant to"]
    return "\n".join(lines)


def main() -> int:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalls", type=float, nargs="+", default=STALLS_S)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS), metavar="TOOL")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coordinated_omission.json"))
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    told = environment()
    with tempfile.TemporaryDirectory(prefix="podium-stalls-") as folder, going_first():
        for stall_s in options.stalls:
            for name in options.tools:
                rows.append(row(Case(stall_s), name, Path(folder)))
                print(json.dumps(rows[-1]), flush=True)
    result = {
        "command": "python -m benchmarks.coordinated_omission",
        "environment": told,
        "server": {"workers": 1, "service_ms": 1000 * SERVICE_S, "rate": RATE, "seed": SEED},
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
