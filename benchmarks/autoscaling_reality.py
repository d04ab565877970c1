r"""How near is the simulator to runs that were played live? Reads what `podium autoscale score` recorded.

    python -m benchmarks.autoscaling_reality benchmarks/results/autoscale [--fewest 6]

Every run is simulated from its load and its policy alone; what a pod is like comes from the other runs of the same
question. The bar is that of the issue: at least six recorded runs with four changes of the ready pods or more, in both
modes and under three loads; ready pods within one of the recorded in 90 % of the seconds, violated seconds within 25 %.
The best constant number of pods is the control. Nothing is measured anew.

Prints one row a run. The exit code is 1 where the bar is missed, and 2 where there are too few runs to tell.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from podium.scoring.card import card_of
from podium.scoring.record import find_runs
from podium.scoring.replay import MOST_DIFFERENCE, SHARE_WITHIN, Replay, is_near, replays

COLUMNS = ["load", "mode", "policy", "repeat", "changes", "ready ±1", "exact", "constant ±1"]
COLUMNS += ["violated", "simulated", "off by", "near"]
MODES = 2
LOADS = 3


def row(one: Replay) -> str:
    run = one.run
    cells = [run.subject.profile_name, run.mode, run.policy, str(run.repeat), str(one.changes)]
    cells += [f"{share:.0%}" for share in (one.within, one.exact, one.constant)]
    cells += [f"{one.recorded_s} s", f"{one.simulated_s} s", f"{one.difference:.0%}", "yes" if is_near(one) else "no"]
    return "| " + " | ".join(cells) + " |"


def told(found: Sequence[Replay]) -> str:
    seconds = sum(one.run.seconds for one in found)
    shares = [
        sum(share * one.run.seconds for one, share in zip(found, column, strict=True)) / max(1, seconds)
        for column in ([one.within for one in found], [one.constant for one in found])
    ]
    recorded, simulated = sum(one.recorded_s for one in found), sum(one.simulated_s for one in found)
    return (
        f"pooled over {seconds:,} s: ready within 1 pod in {shares[0]:.0%}, a constant number of pods {shares[1]:.0%}; "
        f"SLO violated {recorded} s as recorded, {simulated} s as simulated; "
        f"{sum(map(is_near, found))} of {len(found)} runs within {SHARE_WITHIN:.0%} and {MOST_DIFFERENCE:.0%}"
    )


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, nargs="+", help="folders that podium autoscale score wrote")
    parser.add_argument("--fewest", type=int, default=6, help="runs with enough changes that are needed")
    options = parser.parse_args(words)
    found = replays([card_of(run) for run in find_runs(options.records)])
    print(f"| {' | '.join(COLUMNS)} |")
    print("| --- " * len(COLUMNS) + "|")
    for one in found:
        print(row(one))
    counted = [one for one in found if one.counts]
    print(told(counted))
    modes = {one.run.mode for one in counted}
    loads = {one.run.subject.profile_name for one in counted}
    if len(counted) < options.fewest or len(modes) < MODES or len(loads) < LOADS:
        print(f"too few to tell: {len(counted)} runs with enough changes, {len(modes)} modes, {len(loads)} loads")
        return 2
    return 0 if all(map(is_near, counted)) else 1


if __name__ == "__main__":
    sys.exit(main())
