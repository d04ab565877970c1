"""How late does a process leave its sleep on this machine, with cores that may halt and with cores kept awake?

What a load generator does to send at an intended start: sleep until then, on a core of its own, while a server works
on the next one. On a virtual machine a halted core waits for its host; `loadtest.cores.awake` is what races do against
that. Rounds are interleaved. Needs root for the second way.

    python benchmarks/late_starts.py --rounds 10 --seconds 5

Prints one line of JSON a round and the means; exit code 1 where keeping awake made starts later.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

from loadtest.cores import awake, stolen_seconds
from loadtest.process import prefer

PERIOD_S = 1 / 80
WORK_S = 0.001
LATE_S = 0.010
SERVER = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    began = time.monotonic()
    while time.monotonic() - began < 0.007: pass
    time.sleep(0.005)
"""


def starts(seconds: float, core: int) -> dict[str, float]:
    """Play one round on a core and return the figures of its starts, in ms and shares."""
    late_s: list[float] = []
    stolen_s = stolen_seconds({core})
    intended = time.monotonic()
    end = intended + seconds
    while intended < end:
        intended += PERIOD_S
        time.sleep(max(0.0, intended - time.monotonic()))
        began = time.monotonic()
        late_s.append(began - intended)
        while time.monotonic() - began < WORK_S:
            pass
    late_s.sort()
    now_s = stolen_seconds({core})
    steal = 0.0 if now_s is None or stolen_s is None else (now_s - stolen_s) / seconds
    return {
        "p50_ms": 1000 * late_s[len(late_s) // 2],
        "p99_ms": 1000 * late_s[int(0.99 * len(late_s))],
        "max_ms": 1000 * late_s[-1],
        "late_share": sum(one > LATE_S for one in late_s) / len(late_s),
        "steal": steal,
    }


def main() -> int:
    """Play the rounds and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, {first})
    prefer(os.getpid())
    found: dict[str, list[dict[str, float]]] = {"halting": [], "awake": []}
    with subprocess.Popen([sys.executable, "-c", SERVER, str(second)]) as server:
        try:
            for number in range(options.rounds):
                for way, rounds in found.items():
                    with awake() if way == "awake" else contextlib.nullcontext(True) as granted:
                        if not granted:
                            print("cores cannot be kept awake here: that is root's to ask", file=sys.stderr)
                            return 2
                        rounds.append(starts(options.seconds, first))
                    print(json.dumps({"round": number, "way": way, **rounds[-1]}), flush=True)
        finally:
            server.kill()
    means = {
        way: {name: statistics.mean(one[name] for one in rounds) for name in rounds[0]} for way, rounds in found.items()
    }
    print(json.dumps({"means": means}))
    return int(means["awake"]["late_share"] > means["halting"]["late_share"])


if __name__ == "__main__":
    sys.exit(main())
