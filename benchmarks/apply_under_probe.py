"""Does `podium race --apply` lose a request, race after race?

Runs real races on the test cluster, each of one variant of mnist with an objective so easy that it wins, in turn ort
and openvino, and lets each winner serve under the same name while a probe in the cluster asks 20 times a second. Then
one race whose budget ends before anything is settled, which must change nothing.

    ./scripts/cluster-up
    python -m benchmarks.apply_under_probe --rounds 5 > apply.jsonl

Prints one line of JSON a race and one in the end; exit code 1 where a request failed, a winner does not serve, or the
undecided race changed the service. Needs the namespace `podium` for itself: it makes and removes the service `applied`.
A round takes two minutes and more, most of it the race.

2026-11-22, kind on 2 shared cores: five replacements in a row, 0 of 10,640 requests failed, the longest took 78 ms. The
undecided race ended with 6 and changed nothing.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.easy_race import race_command
from tests.cluster.conftest import ROOT, STANDARD, Kubectl, on_test_cluster
from tests.cluster.probing import Seen, probing

NAME = "applied"
VARIANTS = ("ort-fp32", "openvino-int8")
THRESHOLDS = "latenessP99: 100ms, achieved: 0.98, throttled: 1.0, generatorCpu: 1.0, little: 0.9, componentSum: 0.9"


def race(folder: Path, variant: str, *options: str) -> tuple[int, float, str]:
    """Race one variant with `--apply`; return the exit code, the seconds, and what it said last."""
    given = ("--apply", "--new", *options)
    command = race_command(folder, NAME, variant, *given, rate=60, budget="10m", thresholds=THRESHOLDS)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, time.monotonic() - began, lines[-1] if lines else ""


def served(kubectl: Kubectl) -> Mapping[str, str]:
    """Return what the service says of itself, without our prefix."""
    found: dict[str, str] = kubectl.get("isvc", NAME)["metadata"]["annotations"]
    return {key.removeprefix("podium.dev/"): text for key, text in found.items() if key.startswith("podium.dev/")}


def show(number: int, variant: str, came: tuple[int, float, str], told: Mapping[str, str], seen: Seen | None) -> None:
    line: dict[str, object] = {"race": number, "variant": variant, "code": came[0], "seconds": round(came[1], 1)}
    line |= {"said": came[2], "serves": told["variant"], "since": told["since"], "reason": told["reason"]}
    if seen is not None:
        line |= {"asked": seen.sent, "failed": seen.failed, "worst_ms": round(seen.worst_ms, 1)}
    print(json.dumps(line), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    # Whoever ends this from outside wants the service gone as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kubectl = on_test_cluster()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="podium-apply-") as name:
        folder = Path(name)
        try:
            came = race(folder, VARIANTS[0])
            show(0, VARIANTS[0], came, served(kubectl), None)
            with probing(kubectl, NAME) as probe:
                for number in range(1, rounds + 1):
                    variant = VARIANTS[number % 2]
                    came = race(folder, variant)
                    told = served(kubectl)
                    show(number, variant, came, told, Seen.read(kubectl, probe))
                    if came[0] != 0 or told["variant"] != f"mnist-{variant}":
                        faults.append(f"race {number} did not let {variant} serve")
                before = served(kubectl)
                came = race(folder, VARIANTS[0], "--budget", "15s")
                show(rounds + 1, "undecided", came, served(kubectl), seen := Seen.read(kubectl, probe))
                if came[0] != 6 or served(kubectl) != before:
                    faults.append("the undecided race was decided, or changed what serves")
        finally:
            subprocess.run(
                [sys.executable, "-m", "podium", "delete", NAME, "-n", "podium", "--kubeconfig", str(STANDARD)],
                cwd=ROOT,
                check=False,
                stdout=subprocess.DEVNULL,
            )
    faults += [f"{seen.failed} of {seen.sent} requests failed, last: {seen.last}"] if seen.failed else []
    result = {"asked": seen.sent, "failed": seen.failed, "worst_ms": round(seen.worst_ms, 1), "answers": seen.answers}
    print(json.dumps({**result, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
