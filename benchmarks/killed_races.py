"""Does a race on the cluster survive what happens to it?

Plays one race to its end for reference, then the same race again and again, each time with one fault at a moment that a
seed chose: the program killed, a load generator's pod or the tested pod deleted, the API server stopped for half a
minute, the tested node stopped and started, a load generator evicted. Where the race did not end by itself it is
started again, as a person would. It must come to the verdicts of the reference and leave nothing on the cluster. Where
the fault took the tested pod itself, a variant may lose its verdict by name (VOID, `restarted`) or not reach it within
the budget; another verdict it may not get.

2026-11-22, kind on 2 shared cores, one round of each fault: nothing was left in five of five; program killed, generator
deleted and API server stopped ended with the verdicts of the reference (PASS, PASS), the tested pod deleted with one
VOID `restarted`, the node stopped with one INCONCLUSIVE. 5 to 7 minutes a round.

    ./scripts/cluster-up
    python -m benchmarks.killed_races --rounds 12

Prints one line of JSON a race and appends it, with where it comes from, to benchmarks/results/killed_races.jsonl; the
exit code is 1 where a verdict differs or something was left. A round that goes wrong is a line like any other, and the
next one follows; what it left is swept before. Needs the namespace `podium` for itself, and a cluster of kind. A round
takes three minutes and more; `--skip N` goes on after N of them.
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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.easy_race import race_command
from benchmarks.provenance import provenance
from loadtest import interrupt
from podium.chaos.kindnodes import KindNodes, find_nodes
from podium.errors import PodiumError
from podium.racefile import read_race
from tests.cluster.conftest import ROOT, Kubectl, on_test_cluster
from tests.eventually import eventually

NODE, CONTROL_PLANE = "podium-worker", "podium-control-plane"
VARIANTS = "ort-fp32, openvino-int8"
STOPPED_S = 30.0
RACE_S = 900.0
LEAVE_S = 120.0
RESULTS = ROOT / "benchmarks" / "results" / "killed_races.jsonl"
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

    def play(
        self, *options: str, beside: Callable[[subprocess.Popen[bytes]], None] = lambda _process: None
    ) -> int | None:
        """Play a race with something done beside it, and return its exit code; None where it did not end in time."""
        process = self.start(*options)
        try:
            beside(process)
            return process.wait(RACE_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.terminate()
            process.wait()

    def verdicts(self) -> dict[str, str]:
        race = read_race((self.folder / "runs" / "latest").resolve())
        return {entry.id: entry.status for entry in race.variants}

    def voids(self) -> list[str]:
        """Return why runs of the newest race are void, each name once."""
        folders = sorted((path for path in (self.folder / "runs").glob("killed-*")), reverse=True)
        paths = folders[0].glob("*/*/[0-9]*.json") if folders else ()
        found = (json.loads(path.read_text()).get("void") for path in paths)
        return sorted({name for name in found if name})

    def left(self) -> list[str]:
        """Return the objects of races that are still there; where the cluster does not tell, what it said instead."""
        asked = ("get", KINDS, "-l", "podium.dev/race", "-o", "name", "--ignore-not-found")
        told = self.kubectl.run(*asked, check=False)
        return told.stdout.split() if told.returncode == 0 else [told.stderr.strip()[:200] or "no answer"]

    def left_in_the_end(self) -> list[str]:
        """Return what is still there once what leaves had its time to leave."""
        with suppress(AssertionError):
            eventually(lambda: not self.left(), LEAVE_S, 1)
        return self.left()

    def sweep(self) -> None:
        """Take away what a race left, so that the next one is judged by its own."""
        self.kubectl.run("delete", KINDS, "-l", "podium.dev/race", "--ignore-not-found", "--timeout=120s", check=False)

    def last_words(self) -> str:
        """Return the last line that a race said; empty where none said anything."""
        said = self.folder / "said"
        lines = said.read_text().strip().splitlines() if said.exists() else []
        return lines[-1] if lines else ""


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


def evict_generator(race: Race, process: subprocess.Popen[bytes]) -> None:
    """Evict a load generator's pod through the API, as a drain of its node does."""
    del process
    labels = "podium.dev/race,batch.kubernetes.io/job-name"
    found = eventually(lambda: race.kubectl.run("get", "pods", "-l", labels, "-o", "name").stdout.split(), 120, 0.5)
    name, namespace = found[0].removeprefix("pod/"), race.kubectl.namespace
    metadata = {"name": name, "namespace": namespace}
    eviction = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    place = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    race.kubectl.run("create", "--raw", place, "-f", "-", text=eviction)


FAULTS: Sequence[Callable[[Race, subprocess.Popen[bytes]], None]] = (
    kill_program,
    delete_generator,
    delete_tested,
    stop_api_server,
    stop_node,
    evict_generator,
)
# After these the tested pod is another one, which no verdict may ignore.
_TAKES_THE_POD = (delete_tested, stop_node)
# Exit codes that are verdicts: a winner, none, and nothing settled.
_ENDS = (0, 5, 6)


def kind_nodes() -> KindNodes:
    found = find_nodes("kind-podium", [NODE, CONTROL_PLANE])
    assert found is not None, "needs the nodes of kind on this machine"  # noqa: S101
    return found


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, seconds + 60, 0.2)


def one_round(race: Race, fault: Callable[..., None], after_s: float, wanted: dict[str, str]) -> dict[str, object]:
    """Play a race with one fault, again until it ends, and return what came of it; `right` says whether all is well."""
    was_running, trouble = False, ""

    def beside(process: subprocess.Popen[bytes]) -> None:
        nonlocal was_running, trouble
        pause(after_s)
        was_running = process.poll() is None
        try:
            fault(race, process)
        except (AssertionError, PodiumError, OSError, subprocess.SubprocessError) as error:
            # A fault that could not be made is told and shows nothing; the race ends all the same.
            trouble = str(error)[:300]

    codes = [race.play("--new", beside=beside)]
    # Whatever is no verdict is no end, and a person starts it again.
    while codes[-1] not in _ENDS and len(codes) < 3:
        print(race.last_words(), file=sys.stderr)
        codes.append(race.play())
    found = race.verdicts() if codes[-1] in _ENDS else {}
    left = race.left_in_the_end()
    excused = {"VOID", "INCONCLUSIVE"} if fault in _TAKES_THE_POD else set()
    same = all(found.get(variant) in {verdict, *excused} for variant, verdict in wanted.items())
    line: dict[str, object] = {"fault": fault.__name__, "after_s": round(after_s, 1), "codes": codes}
    line |= {"was_running": was_running, "trouble": trouble, "said": race.last_words()}
    line |= {"verdicts": found, "voids": race.voids(), "left": left}
    return {**line, "right": was_running and not trouble and same and not left}


def tell(line: dict[str, object], began: float, whence: dict[str, str], out: Path) -> None:
    """Print a line with its seconds, and append it with where it comes from."""
    line = {**line, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(line), flush=True)
    # The commit is that of the start: the file itself changes the tree.
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**provenance(), "commit": whence["commit"], **line}) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--skip", type=int, default=0, help="rounds that were played before, with the same seed")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", type=Path, default=RESULTS, help="file that the lines are appended to")
    options = parser.parse_args()
    # Whoever ends this from outside wants the race gone as well.
    interrupt.as_exception()
    chance = random.Random(options.seed)  # noqa: S311
    whence, rights = provenance(), []
    with tempfile.TemporaryDirectory(prefix="podium-killed-") as name:
        race = Race(Path(name), on_test_cluster())
        began = time.monotonic()
        code = race.play("--new")
        whole_s = time.monotonic() - began
        wanted = race.verdicts() if code in _ENDS else {}
        told: dict[str, object] = {"round": 0, "seed": options.seed, "codes": [code], "verdicts": wanted}
        tell({**told, "voids": race.voids(), "left": race.left_in_the_end()}, began, whence, options.out)
        if not wanted:
            print(f"the race of reference did not end with a verdict: {race.last_words()}", file=sys.stderr)
            return 1
        for number in range(1, options.rounds + 1):
            fault, share = FAULTS[(number - 1) % len(FAULTS)], chance.uniform(0.05, 0.9)
            if number > options.skip:
                race.sweep()
                began = time.monotonic()
                line = one_round(race, fault, share * whole_s, wanted)
                tell({"round": number, "seed": options.seed, **line}, began, whence, options.out)
                rights.append(bool(line["right"]))
    return 0 if all(rights) else 1


if __name__ == "__main__":
    sys.exit(main())
