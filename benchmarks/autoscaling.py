r"""A step of load from inside the cluster: one pod, three or more, and one again. Which requests are lost on the way?

The chart `loadtest` plays the steps from the load generators' node, the chart `variant` makes the autoscaler, and what
the cluster says is kept second by second. Each run has a namespace of its own, which goes afterwards.

    ./scripts/cluster-up
    python -m benchmarks.autoscaling --runs 5 --out benchmarks/results/autoscaling.json

Prints one row a run. The exit code is 1 where a run lost a request, had too few pods, or its load was not what was
planned. Nothing is sent twice: a request without a right answer within five seconds is lost.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.provenance import fresh_namespace, provenance
from tests.cluster.conftest import ROOT
from tests.cluster.load import loading
from tests.cluster.releases import Helm, shelved
from tests.cluster.scaling import NAME, Scaled, artifact_of, scaling_values, step

STEPS = [(4.0, 8.0), (20.0, 40.0), (4.0, 30.0)]
PODS = 3
BACK_S = 90.0


def one_run(folder: Path) -> Scaled:
    with (
        fresh_namespace("scaling") as namespace,
        shelved(namespace, artifact_of(folder / "artifact")) as artifact,
        loading(namespace, folder / "load") as load,
    ):
        Helm(namespace.namespace)("install", NAME, str(ROOT / "charts" / "variant"), values=scaling_values(artifact))
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=120s")
        return step(namespace, load, STEPS, back_s=BACK_S)


def row(number: int, run: Scaled) -> str:
    up, down = run.first(PODS), run.back(1)
    cells = [number, f"{run.seen.lost} of {run.seen.sent}", run.most, f"{up} s" if up else "never"]
    cells += [f"{down} s" if down else "never", f"{run.seen.p50_ms} ms", f"{run.seen.p99_ms} ms"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file for the timelines and where they come from")
    options = parser.parse_args()
    runs: list[Scaled] = []
    print(f"| run | lost | most pods | {PODS} pods after | one pod again after | p50 | p99 |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for number in range(1, options.runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(one_run(Path(folder)))
        print(row(number, runs[-1]), flush=True)
        if options.out:
            told = {"steps": STEPS, "values": scaling_values("ARTIFACT"), "runs": [asdict(run) for run in runs]}
            options.out.write_text(json.dumps({**provenance(), **told}, indent=1) + "\n", encoding="utf-8")
    good = [run for run in runs if run.seen.is_whole and run.seen.lost == 0 and run.most >= PODS]
    print(f"{len(good)} of {len(runs)} runs without a loss and with {PODS} pods or more")
    return 0 if len(good) == len(runs) else 1


if __name__ == "__main__":
    sys.exit(main())
