"""Do real races say what races in virtual time say? `python -m benchmarks.real_races`, resumable, about an hour in all.

Real processes with planted service times on the last core, real k6 on the first, the program's own contest, proofs and
judge, level quick. Three parts, one after the other or `--parts races`:

races: twelve, of servers whose service times are constant, log-normal, bimodal and drifting and whose largest rate is
known, asked for a rate at 0.75, 0.9 and 1.3 of it. Beside each is what as many as `--virtual` races in virtual time say
of the same server at the same rate; a real race agrees with a verdict that one in twenty of those gave (25 min).

pairs: six servers beside their twins, which must not be ranked apart (15 to 25 min).

clean: thirty runs of a server far below what it can do; a void one stands beside what the machine's own counters (PSI,
steal) said meanwhile (8 min).

Each race is a line of the JSONL file as soon as it is over; one that is there is not played again. Nothing here passes
or fails.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.loopback import GENERATOR_CORES, SERVER_CORE, environment, pressure_us
from loadtest.cores import stolen_seconds
from loadtest.payloads import PayloadSet
from loadtest.play import play
from loadtest.profile import Profile, load_profile
from loadtest.records import RunRecord
from loadtest.shot import Endpoint, Outcome, Shot
from loadtest.slo import Slo, parse_slo
from podium.contest import Contest, Measured
from podium.entry import Entry
from podium.measure import Measurement
from podium.measured import verdict_of
from podium.nodeclass import load_node_class
from podium.progress import RaceProgress
from podium.ranking import ranked
from podium.results import capacity_figure, cost_figure
from podium.targets.target import Candidate, Deployment, ServerFacts
from tests.loads import payloads
from tests.priority import going_first
from tests.servers import Server, true_rate
from tests.trials import ALLOWED, LIMIT_S, Trial
from tests.trials import play as play_virtually

KINDS = ("constant", "log-normal", "bimodal", "drifting")
RATIOS = (0.75, 0.9, 1.3)
MEAN_S = 0.012
EASY = 1.3
CLEAN_RUNS, CLEAN_SHARE = 30, 0.6
_TRUTH_REQUESTS = 2_000_000
_AGREES = 0.05
# Of a busy moment: processes waited for a core so many times as long as in the valid runs, or the host took a core.
PRESSED, STOLEN = 1.5, 0.005
ROOT = Path(__file__).parents[1]


@dataclass(slots=True)
class StubTarget:
    """Stub servers by variant, each a process on the last core, loaded by k6 on the first."""

    servers: Mapping[str, Server]
    seed: int
    name: str = "local"
    generator_cores: frozenset[int] = GENERATOR_CORES
    runners: int = 1
    pressures: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    _running: dict[str, tuple["subprocess.Popen[bytes]", Deployment]] = field(default_factory=dict)

    def check(self, candidates: int) -> None:
        """Two cores are all that is asked for."""

    def room(self, _node_class: str) -> int | None:
        return None

    def environment(self, _node_class: str) -> Mapping[str, str | int | float | list[str]]:
        return {}

    def deploy(self, candidate: Candidate) -> Deployment:
        name = candidate.variant_id
        if name in self._running and self._running[name][0].poll() is None:
            return self._running[name][1]
        server = self.servers[name]
        words = ["--kind", server.kind, "--mean-ms", f"{1000 * server.mean_s:g}", "--seed", str(self.seed)]
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "benchmarks.stub_server", *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None  # noqa: S101
        endpoint = Endpoint(f"http://127.0.0.1:{int(process.stdout.readline())}", "v1-image", "pie")
        deployment = Deployment(candidate, endpoint, 0.0, f"pid {process.pid}")
        self._running[name] = (process, deployment)
        return deployment

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        """Play, and keep what the machine's counters said meanwhile, by the kind of the shot."""
        began, waited_us, stolen_s = time.monotonic(), pressure_us(), stolen_seconds(os.sched_getaffinity(0))
        outcome = play(deployment.endpoint, shot, payloads, workdir=workdir, cores=self.generator_cores)
        seconds, waited_after_us = time.monotonic() - began, pressure_us()
        stolen_after_s = stolen_seconds(os.sched_getaffinity(0))
        said = {"seconds": round(seconds, 2)}
        if waited_us is not None and waited_after_us is not None:
            said["pressure"] = round((waited_after_us - waited_us) / 1e6 / seconds, 4)
        if stolen_s is not None and stolen_after_s is not None:
            said["stolen"] = round((stolen_after_s - stolen_s) / seconds / len(os.sched_getaffinity(0)), 4)
        self.pressures.append((shot.kind, said))
        return outcome

    def attack(self, *_words: object, **_more: object) -> Outcome:
        raise NotImplementedError("no cross-check is asked for")

    def observe(self, deployment: Deployment) -> ServerFacts:
        process, _ = self._running[deployment.candidate.variant_id]
        is_alive = process.poll() is None
        return ServerFacts(is_alive, deployment.identity if is_alive else "", frozenset({SERVER_CORE}))

    def remove(self, candidate: Candidate) -> None:
        process, _ = self._running.pop(candidate.variant_id)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def cleanup(self) -> Sequence[str]:
        for _, deployment in list(self._running.values()):
            self.remove(deployment.candidate)
        return ()


def raced(target: StubTarget, slo: Slo, profile: Profile, folder: Path) -> Mapping[str, Measured]:
    """Race the stub servers, and return what was measured of each."""
    sent = payloads(folder / "payloads")
    shared = Measurement(
        target=target,
        profile=profile,
        payloads=sent,
        payload_digest=sent.sha256,
        race_id="race",
        fingerprint="",
        cpus=1.0,
        seed=target.seed * 10_000,
        workdir=folder / "work",
        say=lambda text: print(text, file=sys.stderr),
    )
    contest = Contest(
        shared,
        slo=slo,
        race_folder=folder,
        budget_s=1e9,
        progress=RaceProgress(quiet=True),
        event=lambda text, _variant: print(text, file=sys.stderr),
    )
    try:
        return contest.run([Candidate(name, "local", name, folder) for name in target.servers])
    finally:
        target.cleanup()


def asked_for(rate: float) -> Slo:
    return parse_slo(f"p99<={LIMIT_S * 1000:g}ms, errors<={ALLOWED:.0%}, rate>={rate:.6f}/s")


def voids(measured: Mapping[str, Measured]) -> list[str]:
    return [run.record.void for one in measured.values() for run in one.book.runs if run.record.void]


def one_race(server: Server, ratio: float, seed: int, *, virtual: int, folder: Path) -> dict[str, object]:
    profile = load_profile("quick")
    truth = true_rate(server, LIMIT_S, ALLOWED, requests=_TRUTH_REQUESTS)
    simulated = play_virtually(
        [Trial(server, ratio, 1000 * seed + number) for number in range(virtual)], {server: truth}, profile=profile
    )
    statuses = Counter(one.status for one in simulated)
    slo = asked_for(truth / ratio)
    target = StubTarget({"a": server}, seed)
    found = raced(target, slo, profile, folder)
    measured = found["a"]
    verdict = verdict_of(measured, profile, slo)
    status = "VOID" if measured.trouble and verdict.status != "FAIL" else verdict.status
    search = measured.search
    return {
        "asked": round(truth / ratio, 2),
        "truth": round(truth, 2),
        "status": status,
        "virtual": dict(statuses),
        "agrees": statuses[status] >= _AGREES * virtual,
        "wrong": (status == "PASS" and ratio <= 0.95) or (status == "FAIL" and ratio >= 1.05),
        "interval": None if search is None else [round(search.low, 2), round(search.high, 2)],
        "covered": None if search is None else search.low <= truth <= search.high,
        "trouble": measured.trouble,
        "voids": voids(found),
        "stolen": round(statistics.mean(one.get("stolen", 0.0) for _, one in target.pressures), 4),
        "pressure": round(statistics.mean(one.get("pressure", 0.0) for _, one in target.pressures), 4),
    }


def one_pair(server: Server, seed: int, folder: Path) -> dict[str, object]:
    profile = load_profile("quick")
    truth = true_rate(server, LIMIT_S, ALLOWED, requests=_TRUTH_REQUESTS)
    slo = asked_for(truth / EASY)
    found = raced(StubTarget({"a": server, "b": server}, seed), slo, profile, folder)
    entries, statuses = [], {}
    for name, measured in found.items():
        verdict, capacity = verdict_of(measured, profile, slo), capacity_figure(measured.search)
        statuses[name] = "VOID" if measured.trouble and verdict.status != "FAIL" else verdict.status
        if measured.trouble or verdict.status != "PASS" or verdict.disagreements:
            continue
        cost = cost_figure(capacity, profile, load_node_class("local"))
        entries.append(
            Entry(id=name, node_class="local", status="PASS", server_max_rps=capacity, cost_per_million=cost)
        )
    ranks = [one.rank for one in ranked(entries)] if len(entries) == 2 else []
    return {
        "statuses": statuses,
        "ranks": ranks,
        "apart": len(set(ranks)) > 1,
        "voids": voids(found),
        "intervals": [[round(one.search.low, 2), round(one.search.high, 2)] for one in found.values() if one.search],
    }


def clean_runs(number: int, folder: Path) -> dict[str, object]:
    """Play one race of five blocks whose every run should be valid, and say of each what the machine said."""
    (folder / "clean.yaml").write_text(
        "name: clean\nlevel: quick\nprotocol: v1-image\ntimeout: 2s\nbudget: 5m\nconfidence: 0.95\n"
        "phases: [{kind: warmup, atLeast: 20, atMost: 5s}, {kind: hold, blocks: 5, block: 10s, restart: false}]\n"
    )
    server = Server("constant", MEAN_S)
    target = StubTarget({"a": server}, number)
    found = raced(target, asked_for(CLEAN_SHARE / MEAN_S), load_profile(folder / "clean.yaml"), folder)
    runs = [run.record for run in found["a"].book.runs if run.record.phase == "hold"]
    return {"runs": beside(runs, target.pressures)}


def beside(
    runs: Sequence[RunRecord], pressures: Sequence[tuple[str, Mapping[str, float]]]
) -> list[dict[str, str | float | None]]:
    """Return each block of a hold with what the counters said meanwhile; closed loops are of the warm-ups."""
    said = [one for kind, one in pressures if kind == "open"]
    return [
        {"void": record.void, "late_p99_ms": record.lateness.p99_ms, **one}
        for record, one in zip(runs, said, strict=True)
    ]


def explained(runs: Sequence[Mapping[str, object]]) -> list[bool]:
    """Return for each void run whether the machine's own counters show a cause: beside the valid runs, or at all."""
    calm = [float(str(run["pressure"])) for run in runs if not run["void"] and "pressure" in run]
    usual = statistics.median(calm) if calm else 0.0
    return [
        float(str(run.get("stolen", 0.0))) >= STOLEN or float(str(run.get("pressure", 0.0))) > PRESSED * usual
        for run in runs
        if run["void"]
    ]


def jobs(parts: Sequence[str]) -> list[tuple[str, str, Server, float, int]]:
    """Return what is to be played: part, name, server, ratio and seed."""
    made: list[tuple[str, str, Server, float, int]] = []
    if "races" in parts:
        plan = [(kind, ratio) for ratio in RATIOS for kind in KINDS]
        made += [
            ("races", f"{kind} at {ratio:g}", Server(kind, MEAN_S), ratio, seed)  # type: ignore[arg-type]
            for seed, (kind, ratio) in enumerate(plan, start=1)
        ]
    if "pairs" in parts:
        made += [
            ("pairs", f"pair {number} {KINDS[number % 4]}", Server(KINDS[number % 4], MEAN_S), EASY, 100 + number)  # type: ignore[arg-type]
            for number in range(6)
        ]
    if "clean" in parts:
        made += [
            ("clean", f"clean {number}", Server("constant", MEAN_S), 0.0, 200 + number)
            for number in range(math.ceil(CLEAN_RUNS / 5))
        ]
    return made


def summary(lines: Sequence[Mapping[str, object]]) -> dict[str, object]:
    races, pairs, clean = ([one for one in lines if one["part"] == part] for part in ("races", "pairs", "clean"))
    runs = [run for one in clean for run in one["runs"]]  # type: ignore[attr-defined]
    causes = explained(runs)
    return {
        "races": len(races),
        "agree": sum(bool(one["agrees"]) for one in races),
        "wrong": sum(bool(one["wrong"]) for one in races),
        "covered": [sum(one["covered"] is True for one in races), sum(one["covered"] is not None for one in races)],
        "pairs": len(pairs),
        "pairs_ranked": sum(bool(one["ranks"]) for one in pairs),
        "apart": sum(bool(one["apart"]) for one in pairs),
        "clean_runs": len(runs),
        "void": len(causes),
        "void_unexplained": causes.count(False),
    }


def main() -> int:
    """Play what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("races", "pairs", "clean"), default=("races", "pairs", "clean"))
    parser.add_argument("--virtual", type=int, default=40, help="races in virtual time beside each real one")
    parser.add_argument("--most", type=int, default=999, help="end after so many races of this start")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/real_races.jsonl"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.touch()
    lines = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
    known = {one["name"] for one in lines}
    missing = [one for one in jobs(options.parts) if one[1] not in known][: options.most]
    for part, name, server, ratio, seed in missing:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="podium-real-") as place, going_first():
            folder = Path(place)
            match part:
                case "races":
                    found = one_race(server, ratio, seed, virtual=options.virtual, folder=folder)
                case "pairs":
                    found = one_pair(server, seed, folder)
                case _:
                    found = clean_runs(seed, folder)
        line = {"part": part, "name": name, **found, "took_s": round(time.monotonic() - began, 1), **environment()}
        lines.append(line)
        with options.out.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)
    print(json.dumps(summary(lines), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
