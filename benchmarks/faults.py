r"""Replicas are replaced under load, in every way that a platform does it: how many requests are lost?

R1, R3 and R34 of the robustness targets in their long forms, on the test cluster, each with the control that takes away
what the promise rests on. The load comes from the load generators' node at a constant mean rate; half of it keeps its
connections, half opens one a request, and nothing is sent twice.

    ./scripts/cluster-up
    python -m benchmarks.faults --out benchmarks/results/faults.json

Prints one row a fault. The exit code is 1 where a request was lost that must not be, a control lost none, or rolling
updates more than doubled the 99th percentile of the load to which nothing is done.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.provenance import fresh_namespace, provenance
from tests.cluster.faults import Bench, Tried, bench

RATE = 50.0
STEADY, ROLLING, MOST = "nothing is done", "R1: five rolling updates and back", 2.0
Fault = Callable[[Bench], None]


def serving(queue: int) -> dict[str, int]:
    return {"maxBatch": 1, "queue": queue}


def five_and_back(made: Bench) -> None:
    for number in range(5):
        made.roll(serving=serving(100 + number))
    made.roll_back()


def upgrade_and_back(made: Bench) -> None:
    made.roll(newer=True, serving=serving(200))
    made.roll_back()


def four_rounds(made: Bench) -> None:
    for _ in range(4):
        made.delete_each()


def without_margin(made: Bench) -> None:
    made.roll(preStop="0s", serving=serving(300))


def at_once(made: Bench) -> None:
    made.delete_each("--grace-period=1")


def all_away(made: Bench) -> None:
    made.roll(newer=True, rollout={"maxSurge": 0, "maxUnavailable": 2}, serving=serving(400))


# What, the seconds of load, what it starts from, the fault, whether it is a control.
PLANS: list[tuple[str, float, dict[str, object], Fault, bool]] = [
    (STEADY, 65, {}, lambda _made: None, False),
    (ROLLING, 200, {}, five_and_back, False),
    ("R34: chart upgrade and rollback", 75, {}, upgrade_and_back, False),
    ("R3: each pod deleted, four rounds", 180, {}, four_rounds, False),
    ("control of R1: no pre-stop margin", 40, {"preStop": "0s"}, without_margin, True),
    ("control of R3: no pre-stop margin", 40, {"preStop": "0s"}, at_once, True),
    ("control of R34: all pods away at once", 60, {"rollout": {"maxSurge": 0, "maxUnavailable": 2}}, all_away, True),
]


def row(what: str, tried: Tried) -> str:
    seen = tried.seen
    cells = [what, len(tried.marks), f"{seen.lost} of {seen.sent}", f"{seen.p50_ms} ms", f"{seen.p99_ms} ms"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="file for the marks, the figures and where they come from")
    parser.add_argument("--only", default="", help="run only plans whose title holds this text")
    options = parser.parse_args()
    print("| fault | times | lost | p50 | p99 |")
    print("| --- | --- | --- | --- | --- |")
    bad: list[str] = []
    rows: list[dict[str, object]] = []
    steady_ms = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_namespace("faults") as namespace,
        bench(namespace, Path(folder)) as made,
    ):
        for what, seconds, start, fault, is_control in PLANS:
            if options.only not in what:
                continue
            made.settle(**start)
            tried = made.under_load(RATE, seconds, partial(fault, made))
            print(row(what, tried), flush=True)
            steady_ms = tried.seen.p99_ms if what == STEADY else steady_ms
            # Without the load to which nothing is done (--only) there is nothing to compare with.
            ratio = round(tried.seen.p99_ms / steady_ms, 2) if steady_ms else None
            rows.append({"what": what, "is_control": is_control, "p99_of_steady": ratio, **asdict(tried)})
            is_void = not tried.seen.is_whole or (bool(tried.marks) and not tried.is_within)
            if is_void or (tried.seen.lost == 0) is is_control:
                bad.append(what)
            if what == ROLLING and ratio is not None and ratio > MOST:
                bad.append(f"{what}: p99 {ratio} times steady")
            if options.out:
                told = {"rate": RATE, "rows": rows}
                options.out.write_text(json.dumps({**provenance(), **told}, indent=1) + "\n", encoding="utf-8")
    print(f"not as promised: {', '.join(bad)}" if bad else "all as promised")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
