"""Does a race on the cluster survive what happens to it?

Plays one race to its end for reference, then the same race again and again, each time with one fault at a moment that a
seed chose: the program killed, a load generator's pod or the tested pod deleted, the API server stopped for half a
minute, the tested node stopped and started. Where the race did not end by itself it is started again, as a person
would. It must come to the verdicts of the reference and leave nothing on the cluster. Where the fault took the tested
pod itself, a variant may lose its verdict by name (VOID, `restarted`) or not reach it within the budget; another
verdict it may not get.

2026-11-22, kind on 2 shared cores, one round of each fault: nothing was left in five of five; program killed, generator
deleted and API server stopped ended with the verdicts of the reference (PASS, PASS), the tested pod deleted with one
VOID `restarted`, the node stopped with one INCONCLUSIVE. 5 to 7 minutes a round.

    ./scripts/cluster-up
    python -m benchmarks.killed_races --rounds 10 >> killed.jsonl

Prints one line of JSON a race; the exit code is 1 where a verdict differs or something was left. Needs the namespace
`podium` for itself, and a cluster of kind. A round takes three minutes and more; `--skip N` goes on after N of them.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.easy_race import race_command
from loadtest import interrupt
from podium.chaos.kindnodes import KindNodes, find_nodes
from podium.racefile import read_race
from tests.cluster.conftest import ROOT, Kubectl
from tests.eventually import eventually

NODE, CONTROL_PLANE = "podium-worker", "podium-control-plane"
VARIANTS = "ort-fp32, openvino-int8"
STOPPED_S = 30.0
RACE_S = 900.0
KINDS = "pods,jobs,services,configmaps,secrets,isvc,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
# The limits are wide: what is asked is how a race ends, on a machine that may be busy.
THRESHOLDS = "latenessP99: 500ms, achieved: 0.9, throttled: 1.0, generatorCpu: 1.0, little: 1.0, componentSum: 1.0"


@dataclass(frozen=True, slots=True)
class Race:
    """A submission with its profile, and where its runs go."""

    folder: Path
    kubectl: Kubectl

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = race_command(self.folder, "killed", VARIANTS, *options, rate=20, budget="12m", thresholds=THRESHOLDS)
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said)

    def verdicts(self) -> dict[str, str]:
        race = read_race((self.folder / "runs" / "latest").resolve())
        return {entry.id: entry.status for entry in race.variants}

    def voids(self) -> list[str]:
        """Return why runs of the newest race are void, each name once."""
        (folder, *_) = sorted((path for path in (self.folder / "runs").glob("killed-*")), reverse=True)
        found = (json.loads(path.read_text()).get("void") for path in folder.glob("*/*/[0-9]*.json"))
        return sorted({name for name in found if name})

    def left(self) -> list[str]:
        """Return the objects of races that are still there."""
        told = self.kubectl.run("get", KINDS, "-l", "podium.dev/race", "-o", "name", "--ignore-not-found")
        return told.stdout.split()

    def last_words(self) -> str:
        return (self.folder / "said").read_text().strip().splitlines()[-1]


def kill_program(race: Race, process: subprocess.Popen[bytes]) -> None:
    del race
    process.send_signal(signal.SIGKILL)


def delete_generator(race: Race, process: subprocess.Popen[bytes]) -> None:
    del process
    labels = "podium.dev/race,batch.kubernetes.io/job-name"
    eventually(lambda: race.kubectl.run("get", "pods", "-l", labels, "-o", "name").stdout, 120, 0.5)
    race.kubectl.run("delete", "pods", "-l", labels, "--grace-period=0", "--force")


def delete_tested(race: Race, process: subprocess.Popen[bytes]) -> None:
    del process
    labels = "podium.dev/race,serving.kserve.io/inferenceservice"
    eventually(lambda: race.kubectl.run("get", "pods", "-l", labels, "-o", "name").stdout, 120, 0.5)
    race.kubectl.run("delete", "pods", "-l", labels, "--grace-period=0", "--force")


def stop_api_server(race: Race, process: subprocess.Popen[bytes]) -> None:
    del race, process
    nodes = kind_nodes()
    try:
        nodes.signal_api_server(CONTROL_PLANE, "STOP")
        pause(STOPPED_S)
    finally:
        nodes.signal_api_server(CONTROL_PLANE, "CONT")


def stop_node(race: Race, process: subprocess.Popen[bytes]) -> None:
    del process
    nodes = kind_nodes()
    try:
        nodes.stop(NODE)
        pause(STOPPED_S)
    finally:
        nodes.start(NODE)
    race.kubectl.run("wait", f"node/{NODE}", "--for=condition=Ready", "--timeout=120s")


FAULTS: Sequence[Callable[[Race, subprocess.Popen[bytes]], None]] = (
    kill_program,
    delete_generator,
    delete_tested,
    stop_api_server,
    stop_node,
)
# After these the tested pod is another one, which no verdict may ignore.
_TAKES_THE_POD = (delete_tested, stop_node)


def kind_nodes() -> KindNodes:
    found = find_nodes("kind-podium", [NODE, CONTROL_PLANE])
    assert found is not None, "needs the nodes of kind on this machine"  # noqa: S101
    return found


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, seconds + 60, 0.2)


def one_round(race: Race, number: int, fault: Callable[..., None], after_s: float, wanted: dict[str, str]) -> bool:
    began = time.monotonic()
    process = race.start("--new")
    try:
        pause(after_s)
        was_running = process.poll() is None
        fault(race, process)
        codes = [process.wait(RACE_S)]
    finally:
        process.terminate()
        process.wait()
    # 5 and 6 are verdicts; whatever else is no end, and a person starts it again.
    while codes[-1] not in (0, 5, 6) and len(codes) < 3:
        print(race.last_words(), file=sys.stderr)
        codes.append(race.start().wait(RACE_S))
    found = race.verdicts() if codes[-1] in (0, 5, 6) else {}
    eventually(lambda: not race.left() or time.monotonic() - began > 2 * RACE_S, 120, 1)
    excused = {"VOID", "INCONCLUSIVE"} if fault in _TAKES_THE_POD else set()
    same = all(found.get(variant) in {verdict, *excused} for variant, verdict in wanted.items())
    is_right = was_running and same and not race.left()
    line: dict[str, object] = {"round": number, "fault": fault.__name__, "after_s": round(after_s, 1), "codes": codes}
    line |= {"was_running": was_running, "verdicts": found, "voids": race.voids(), "left": race.left()}
    print(json.dumps({**line, "seconds": round(time.monotonic() - began, 1), "right": is_right}), flush=True)
    return is_right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0, help="rounds that were played before, with the same seed")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    # Whoever ends this from outside wants the race gone as well.
    interrupt.as_exception()
    chance = random.Random(options.seed)  # noqa: S311
    rights = []
    with tempfile.TemporaryDirectory(prefix="podium-killed-") as name:
        race = Race(Path(name), Kubectl("kubectl"))
        began = time.monotonic()
        process = race.start("--new")
        try:
            code = process.wait(RACE_S)
        finally:
            process.terminate()
            process.wait()
        whole_s, wanted = time.monotonic() - began, race.verdicts()
        told = {"round": 0, "codes": [code], "verdicts": wanted, "voids": race.voids(), "left": race.left()}
        print(json.dumps({**told, "seconds": round(whole_s, 1)}), flush=True)
        for number in range(1, options.rounds + 1):
            fault, share = FAULTS[(number - 1) % len(FAULTS)], chance.uniform(0.05, 0.9)
            if number > options.skip:
                rights.append(one_round(race, number, fault, share * whole_s, wanted))
    return 0 if all(rights) else 1


if __name__ == "__main__":
    sys.exit(main())
