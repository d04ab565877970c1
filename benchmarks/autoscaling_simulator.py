r"""How near is the simulator of an HPA to what the test cluster did? Replays the runs of benchmarks.autoscaling.

    python -m benchmarks.autoscaling_simulator benchmarks/results/autoscaling.json

The recorded timelines do not say when the load began within them, nor when a figure was taken. So a run is replayed
with the begin that fits the other runs best; beside it stands the begin that fits the run itself, which flatters. The
best constant number of pods is the control: what it reaches needs no simulator. Nothing is measured anew.

The last column leaves the model of the pods out: the controller is given each CPU figure that the cluster's own was
given, and its decisions are compared, syncs in which nothing happened included.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from podium.autoscaling.fleet import PodModel, StartParts
from podium.autoscaling.hpa import HpaState, PodReading, replicas_for_utilization
from podium.autoscaling.policy import HpaPolicy
from podium.autoscaling.simulation import simulate
from podium.autoscaling.timeline import Floats, Integers
from podium.quantities import parse_quantity

# The flags of kind-config.yaml and the resolution of its metrics-server. A container's counter is read by the kubelet
# about every 10 s and by the metrics-server as often, so a figure is some seconds old when it can be read.
CONTROLLER = {"syncPeriod": "5s", "cpuInitializationPeriod": "20s", "initialReadinessDelay": "5s"}
SAMPLING = {"resolution": "10s", "window": "10s", "delay": "5s"}
DELAY_S = 5.0
# From wanted to ready, as the timelines show it.
START = StartParts(0.5, 0.0, 2.0, 1.0)
BEGINS_S = range(25)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded run: its load, its policy, and its pods by second."""

    steps: list[tuple[float, float]]
    policy: HpaPolicy
    cores: float
    wanted: Integers
    ready: Integers
    looks: list[dict[str, Any]]

    @property
    def changes(self) -> int:
        """Return how often the ready pods changed."""
        return int(np.count_nonzero(np.diff(self.ready)))


def by_second(looks: list[dict[str, Any]], key: str) -> Integers:
    """Return a column of the looks by second: each holds until the next one."""
    ends = [int(look["at_s"]) for look in looks[1:]] + [int(looks[-1]["at_s"]) + 1]
    column = np.zeros(ends[-1], dtype=np.int64)
    begin = 0
    for look, end in zip(looks, ends, strict=True):
        column[begin:end] = look[key]
        begin = end
    return column


def read(path: Path) -> list[Recorded]:
    """Read every run of a file; what a run does not say of itself, the file says of all."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for run in whole["runs"]:
        values = run.get("values", whole["values"])
        policy = {
            "name": "recorded",
            "kind": "hpa",
            "metric": "cpu",
            "target": float(values["autoscaling"]["targetUtilization"]),
            "replicas": values["replicas"],
            "behavior": values["autoscaling"]["behavior"],
            "controller": CONTROLLER,
            "sampling": SAMPLING,
        }
        looks = run["looks"]
        found.append(
            Recorded(
                steps=[(rate, seconds) for rate, seconds in run.get("steps", whole["steps"])],
                policy=HpaPolicy.model_validate(policy),
                cores=parse_quantity(values["resources"]["requests"]["cpu"]),
                wanted=np.maximum(by_second(looks, "wanted"), 1),
                ready=by_second(looks, "ready"),
                looks=looks,
            )
        )
    return found


def replayed(run: Recorded, begin_s: int, cost_s: float) -> tuple[Integers, Integers]:
    """Return the wanted and the ready pods of the simulator, as long as the recorded run."""
    rates: Floats = np.zeros(run.ready.size)
    at = begin_s
    for rate, seconds in run.steps:
        rates[at : at + round(seconds)] = rate
        at += round(seconds)
    most = run.cores / cost_s
    model = PodModel(safe_rate=most, saturated_rate=most, latency_s=cost_s, start=START, stop_s=4.0)
    line = simulate(rates, run.policy, model, pods=1)
    return line.wanted, line.ready


def decisions(run: Recorded) -> tuple[int, int]:
    """Return how many decisions on the recorded CPU figures are the recorded ones, and of how many."""
    state, controller = HpaState(run.policy), run.policy.controller
    right = total = 0
    since, sampled_s = [-1000.0], 0.0
    for look, after in zip(run.looks[1:], [*run.looks[2:], None], strict=True):
        at, before = look["at_s"], run.looks[run.looks.index(look) - 1]
        former, since = since, since[: look["ready"]] + [at] * (look["ready"] - len(since))
        if look["used"] is None:
            continue
        # A look that shows a new figure or a new number of pods comes right after the sync that made it.
        decided = (look["used"], look["wanted"]) != (before["used"], before["wanted"])
        begin = at if decided else at + controller.sync_period_s
        end = after["at_s"] - 1.5 if after else at + 0.1
        sampled_s = at - DELAY_S if look["used"] != before["used"] else sampled_s
        current = max(1, before["wanted"])
        for now in [at] * decided + list(np.arange(begin + controller.sync_period_s * decided, end, 5.0)):
            # What a sync saw were the pods of before it.
            ready = former if now == at else since
            pods = [
                PodReading(ready_s - START.load_s, True, ready_s, float(look["used"]), sampled_s, 10.0)
                for ready_s in ready
            ] + [PodReading(None, False, now, None, now, 10.0)] * (current - len(ready))
            asked = replicas_for_utilization(pods, current, run.policy.target, controller, now)
            right += state.decide(asked, current, now) == look["wanted"]
            total += 1
            current = look["wanted"]
    return right, total


def agreement(found: Integers, recorded: Integers, within: int = 1) -> float:
    """Return the share of seconds in which two columns differ by no more than so many pods."""
    return float(np.mean(np.abs(found - recorded) <= within))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    # The recorded pods used 71 to 75 % of 0.45 cores for 20 requests a second.
    parser.add_argument("--cost-ms", type=float, default=16.0, help="CPU time of a request")
    options = parser.parse_args()
    runs, cost_s = read(options.results), options.cost_ms / 1000
    if len(runs) < 2:
        parser.error(f"{options.results} has {len(runs)} runs, and two are the least")
    replays = [{begin: replayed(run, begin, cost_s) for begin in BEGINS_S} for run in runs]
    fits = [
        {begin: agreement(ready, run.ready) for begin, (_, ready) in replay.items()}
        for run, replay in zip(runs, replays, strict=True)
    ]
    print("| run | changes | begin | ready ±1 | exact | wanted ±1 | own begin ±1 | constant ±1 | exact | decisions |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    pooled, decided = [], (0, 0)
    for index, run in enumerate(runs):
        others = [fit for other, fit in enumerate(fits) if other != index]
        begin = max(BEGINS_S, key=lambda at, others=others: sum(fit[at] for fit in others))  # type: ignore[misc]
        wanted, ready = replays[index][begin]
        constants = [np.full_like(run.ready, pods) for pods in range(1, int(run.ready.max()) + 1)]
        shares = [
            agreement(ready, run.ready),
            agreement(ready, run.ready, 0),
            agreement(wanted, run.wanted),
            max(fits[index].values()),
            max(agreement(one, run.ready) for one in constants),
            max(agreement(one, run.ready, 0) for one in constants),
        ]
        right, total = decisions(run)
        decided = (decided[0] + right, decided[1] + total)
        cells = [str(index + 1), str(run.changes), f"{begin} s", *(f"{share:.0%}" for share in shares)]
        print("| " + " | ".join([*cells, f"{right} of {total}"]) + " |")
        pooled.append((run.ready.size, shares))
    seconds = sum(size for size, _ in pooled)
    means = [sum(size * shares[index] for size, shares in pooled) / seconds for index in range(len(pooled[0][1]))]
    print(
        f"pooled over {seconds} s: ready within 1 pod in {means[0]:.0%}, their own best begins {means[3]:.0%}", end=""
    )
    print(f"; a constant number of pods {means[4]:.0%}; exact {means[1]:.0%} against {means[5]:.0%}")
    print(f"decisions on the recorded CPU figures: {decided[0]} of {decided[1]} as recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
