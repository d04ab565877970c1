"""What does it take to put the results of many runners together? `python -m benchmarks.merging`, about a minute.

64 runners of 10 million samples each, as their histogram logs say it: one interval a second and clock. Read, decoded
and added in a process of its own, whose time and peak memory are given, its imports apart; what comes out must be
the histogram of all, or there are no figures. Beside it the addition alone, and what a fleet does with samples:
parsing and joining the 40 bytes of each request, which is bounded by what a race sends and not by this bar.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.loopback import environment
from loadtest.histogram import CLOCKS, Histogram, Interval, log_text, read_logs
from loadtest.samples import Samples, read_samples, write_samples
from loadtest.schedule import poisson

RUNNERS, SAMPLES = 64, 10_000_000
# Median and spread of each clock in ms: a web server's latency, and a generator that is in time.
SHAPES = {"actual": (8.0, 0.6), "intended": (8.2, 0.6), "lateness": (0.1, 0.8)}
JOINED = 640_000


def write_logs(folder: Path, *, runners: int, samples: int, seconds: int) -> dict[str, Histogram]:
    """Write a log for each runner, and return what all of them hold together."""
    chance = np.random.default_rng(2026)
    shares = {}
    for tag, (median_ms, spread) in SHAPES.items():
        drawn = Histogram.of_ns((1e6 * median_ms * chance.lognormal(0, spread, 400_000)).astype(np.int64))
        shares[tag] = drawn.counts / drawn.count
    ends = np.arange(seconds + 1) * samples // seconds
    totals = {tag: np.zeros_like(share, dtype=np.int64) for tag, share in shares.items()}
    for runner in range(runners):
        intervals = []
        for second, count in enumerate(np.diff(ends).tolist()):
            for tag in CLOCKS:
                counts = chance.multinomial(count, shares[tag])
                totals[tag] += counts
                intervals.append(Interval(tag, second, Histogram(counts)))
        (folder / f"{runner:02d}.hdr").write_text(log_text(intervals, 1_700_000_000.0))
    return {tag: Histogram(counts) for tag, counts in totals.items()}


def read_and_tell(folder: Path) -> int:
    """Read all logs of a folder, and print what that took and what came out: the work of the child."""
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, began_cpu_s = time.monotonic(), time.process_time()
    totals = read_logs(sorted(folder.glob("*.hdr")))
    told = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - began_cpu_s}
    told |= {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "imports_mib": before_mib}
    print(json.dumps({**told, "totals": {tag: one.encode() for tag, one in totals.items()}}))
    return 0


def merged_logs(folder: Path, wanted: dict[str, Histogram]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.merging", "--read", str(folder)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = {tag: Histogram.decode(text) for tag, text in told.pop("totals").items()}
    if found != wanted:
        raise SystemExit("what was merged is not the histogram of all")
    return {name: round(value, 4) for name, value in told.items()}


def joined_samples(folder: Path, count: int) -> dict[str, float]:
    """Return what a fleet does with the samples of 64 runners, `count` in all."""
    intended = poisson(10_000, 2 * count / 10_000, 1)[:count]
    start = intended + 100_000
    number = np.arange(count)
    one = np.zeros(count, dtype=np.int64)
    whole = Samples(number, intended, start, start + 8_000_000, one + 200, one == 0, one)
    paths = [folder / f"{index}.samples" for index in range(RUNNERS)]
    for index, path in enumerate(paths):
        write_samples(path, whole.select(number % RUNNERS == index))
    began = time.monotonic()
    joined = Samples.joined([read_samples(path) for path in paths])
    took_s = time.monotonic() - began
    if not np.array_equal(joined.intended_ns, intended):
        raise SystemExit("what was joined is not what all runners saw")
    return {"samples": count, "wall_s": round(took_s, 4), "ns_a_sample": round(1e9 * took_s / count, 1)}


def added(parts: int) -> dict[str, float]:
    """Return what adding histograms alone takes, without reading any."""
    chance = np.random.default_rng(1)
    values = (8e6 * chance.lognormal(0, 0.6, SAMPLES // 10)).astype(np.int64)
    ones = [Histogram.of_ns(values + index) for index in range(parts)]
    began = time.monotonic()
    total = ones[0].merged(*ones[1:])
    took_s = time.monotonic() - began
    if total.count != parts * len(values):
        raise SystemExit("what was added lost values")
    return {"histograms": parts, "wall_s": round(took_s, 5)}


def main() -> int:
    """Merge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 300], help="lengths of the runs")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/merging.json"))
    options = parser.parse_args()
    if options.read:
        return read_and_tell(options.read)
    told = environment()
    found: dict[str, object] = {}
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory(prefix="podium-merging-") as name:
            folder = Path(name)
            wanted = write_logs(folder, runners=RUNNERS, samples=SAMPLES, seconds=seconds)
            size_mib = sum(path.stat().st_size for path in folder.glob("*.hdr")) / 2**20
            rounds = [merged_logs(folder, wanted) for _ in range(options.rounds)]
        medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        found[f"{seconds}"] = {
            "histograms": RUNNERS * seconds * len(CLOCKS),
            "samples_each": {tag: one.count // RUNNERS for tag, one in wanted.items()},
            "logs_mib": round(size_mib, 1),
            "median": medians,
            "rounds": rounds,
        }
        print(json.dumps({"seconds": seconds, **medians}), flush=True)
    with tempfile.TemporaryDirectory(prefix="podium-merging-") as name:
        joined = joined_samples(Path(name), JOINED)
    result = {
        "command": "python -m benchmarks.merging",
        "environment": told,
        "runners": RUNNERS,
        "by_seconds": found,
        "addition_alone": added(RUNNERS),
        "samples_joined": joined,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"addition_alone": result["addition_alone"], "samples_joined": joined}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
