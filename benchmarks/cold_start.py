r"""From no pod to the first right answer and back, over and over: what each part of it takes, and what is lost.

Requests come at a constant rate from the begin of each cycle, through Kourier's gateway, whether or not there is a pod;
none is sent twice, and one without the artifact's golden answer is lost. The parts of each start are taken from the
API's watch, the kubelet's events, the server's own marks and the client's clock, and have to explain what the first
request waited for. A service is asked again when its last pod is gone; several take turns, because a pod takes half a
minute to leave.

    ./scripts/cluster-up --knative
    python -m benchmarks.cold_start --cycles 20 --out benchmarks/results/cold_start.json

Prints one row a cycle. The exit code is 1 where a request was lost, the parts do not explain the whole within 5 %, the
pods turned more often than up and back, or did not go back to none.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.provenance import fresh_namespace, provenance
from podium.autoscaling.coldstart import PARTS, ColdStart, first_start
from podium.cluster.adapter import Cluster
from podium.cluster.kinds import condition
from tests.artifacts import vector_artifact
from tests.cluster.conftest import Kubectl
from tests.cluster.releases import shelved
from tests.eventually import eventually
from tests.knative.gateway import Answer, Gateway, Question
from tests.knative.recording import Recording, recorded, server_marks
from tests.knative.services import connected, install, is_at_zero, pods_of, url_of, values

UNEXPLAINED = 0.05
HELD_S = 2.0
BACK_S = 120.0
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """One way up and back.

    Attributes:
        service: which one.
        sent_s: wall time of its first request.
        sent: requests.
        lost: of those, the ones without a right answer.
        first_s: how long the first one waited.
        parts: of that, the seconds of each part; None where a mark is missing.
        container_s: of the part `load`, until the server wrote its first line; None without a mark.
        unexplained: share of the whole that the parts do not add up to.
        held_s: what waiting cost beyond the pod's own start.
        told_s: from the server being ready until the API said so of its pod, which is when other pods hear of it; None
            where that was not seen.
        later_p50_ms: median of the requests that were sent after the first answer; None without any.
        pods: most pods that were wanted at once.
        turns: changes of direction of the wanted pods, up to the next cycle of the service.
    """

    service: str
    sent_s: float
    sent: int
    lost: int
    first_s: float
    parts: dict[str, float | None]
    container_s: float | None
    unexplained: float
    held_s: float | None
    told_s: float | None
    later_p50_ms: float | None
    pods: int = 0
    turns: int = 0


def load(gateway: Gateway, url: str, question: Question, *, rate: float, seconds: float) -> list[Answer]:
    """Send requests at a constant rate, each at its time whatever became of the others."""
    count = max(1, round(rate * seconds))
    with ThreadPoolExecutor(max_workers=min(count, 200)) as pool:
        begun, sent = time.monotonic(), []
        for number in range(count):
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
            sent.append(pool.submit(gateway.ask, url, question, timeout_s=TIMEOUT_S))
        return [one.result() for one in sent]


def one_cycle(
    namespace: Kubectl,
    cluster: Cluster,
    recording: Recording,
    gateway: Gateway,
    service: str,
    question: Question,
    *,
    rate: float,
    seconds: float,
) -> Cycle:
    """Load a service that has no pod, and take the first start apart."""
    answers = load(gateway, url_of(namespace, service), question, rate=rate, seconds=seconds)
    first = answers[0]
    found = {str(pod["metadata"]["name"]) for pod in pods_of(namespace, service)}
    marks = {pod: told for pod in found if (told := server_marks(cluster, pod)) is not None}
    sightings = [recording.of(kind, service) for kind in ("pods", "events", "deployments")]
    seen = first_start(*sightings, marks, sent_s=first.sent_s, answered_s=first.answered_s)
    if seen is None:
        raise SystemExit(f"{service}: no pod was asked for, {sum(not one.is_right for one in answers)} requests lost")
    start, server = seen
    cold = ColdStart(first.sent_s, start, first.seconds, None if server is None else server.began_s)
    began = None if cold.began_s is None or start.present_s is None else cold.began_s - start.present_s
    later = [one.seconds for one in answers if one.sent_s > first.answered_s]
    return Cycle(
        service=service,
        sent=len(answers),
        lost=sum(not one.is_right for one in answers),
        first_s=round(first.seconds, 3),
        parts={name: None if part is None else round(part, 3) for name, part in cold.parts.items()},
        container_s=None if began is None else round(began, 3),
        unexplained=round(cold.unexplained, 4),
        held_s=None if cold.held_s is None else round(cold.held_s, 3),
        told_s=_told_s(recording, service, start.ready_s),
        later_p50_ms=round(statistics.median(later) * 1e3, 1) if later else None,
        sent_s=first.sent_s,
    )


def _told_s(recording: Recording, service: str, ready_s: float | None) -> float | None:
    if ready_s is None:
        return None
    said = [one.at_s for one in recording.of("pods", service) if one.at_s >= ready_s and _is_ready(one.document)]
    return round(said[0] - ready_s, 3) if said else None


def _is_ready(pod: Mapping[str, Any]) -> bool:
    known = condition(pod, "Ready")
    return known is not None and known.get("status") == "True"


def followed(cycles: list[Cycle], recording: Recording) -> list[Cycle]:
    """Return the cycles with the pods that were wanted from each one to the next of its service."""
    ended = []
    for number, cycle in enumerate(cycles):
        until_s = next((one.sent_s for one in cycles[number + 1 :] if one.service == cycle.service), math.inf)
        wanted: dict[str, list[int]] = {}
        for one in recording.of("deployments", cycle.service):
            if cycle.sent_s <= one.at_s < until_s:
                wanted.setdefault(one.document["metadata"]["name"], [0]).append(
                    one.document["spec"].get("replicas") or 0
                )
        # Each revision has a Deployment of its own, and only one of them moves.
        moved = max(wanted.values(), key=max, default=[0])
        steps = [after - before for before, after in pairwise(moved) if after != before]
        turns = sum((one > 0) != (other > 0) for one, other in pairwise(steps))
        ended.append(replace(cycle, pods=max(moved), turns=turns))
    return ended


def row(number: int, cycle: Cycle) -> str:
    parts = [f"{part:.2f}" if (part := cycle.parts[name]) is not None else "?" for name in PARTS]
    cells = [number, cycle.service, f"{cycle.lost} of {cycle.sent}", f"{cycle.first_s:.2f}", *parts]
    return "| " + " | ".join(map(str, [*cells, f"{cycle.unexplained:.1%}"])) + " |"


def summary(cycles: list[Cycle]) -> dict[str, Any]:
    """Return medians and the worst of the first answers and of each part, and what was lost."""
    firsts = [cycle.first_s for cycle in cycles]
    parts = {name: [part for one in cycles if (part := one.parts[name]) is not None] for name in PARTS}
    return {
        "cycles": len(cycles),
        "requests": sum(one.sent for one in cycles),
        "lost": sum(one.lost for one in cycles),
        "first_answer_s": {"median": round(statistics.median(firsts), 3), "worst": max(firsts)},
        "parts_s": {
            name: {"median": round(statistics.median(found), 3), "worst": max(found)}
            for name, found in parts.items()
            if found
        },
        "container_s": round(statistics.median([one.container_s for one in cycles if one.container_s is not None]), 3)
        if any(one.container_s is not None for one in cycles)
        else None,
        "most_pods": max(one.pods for one in cycles),
        "most_turns": max(one.turns for one in cycles),
        "unexplained_worst": max(one.unexplained for one in cycles),
        "held_s_worst": max((one.held_s for one in cycles if one.held_s is not None), default=None),
    }


def is_good(cycle: Cycle) -> bool:
    """Return whether nothing was lost, the parts explain the whole, and the answer came soon after the pod could."""
    return (
        cycle.lost == 0
        and cycle.turns <= 1
        and cycle.unexplained <= UNEXPLAINED
        and cycle.held_s is not None
        and cycle.held_s <= HELD_S
        and None not in cycle.parts.values()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second of a cycle")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a cycle's load")
    parser.add_argument("--services", type=int, default=3, help="how many take turns")
    parser.add_argument("--cpu", default="450m", help="request and limit of a pod")
    parser.add_argument("--most", type=int, default=1, help="most pods of a service")
    parser.add_argument("--target", type=int, default=0, help="requests a second that a pod takes; 0: Knative's own")
    parser.add_argument("--artifact", type=Path, help="folder of an ort variant; the default is a tiny one made here")
    parser.add_argument("--out", type=Path, help="file for the cycles and where they come from")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, fresh_namespace("cold") as namespace:
        folder = options.artifact or vector_artifact(Path(made) / "artifact")
        with shelved(namespace, folder) as artifact:
            cycles = play(namespace, folder, artifact, options)
    told = summary(cycles)
    print(json.dumps(told, indent=1))
    if options.out:
        asked = {name: value for name, value in vars(options).items() if name not in ("out", "artifact")}
        record = {**provenance(), "artifact": folder.name if options.artifact else "tiny", "asked": asked}
        record |= {"summary": told, "runs": [asdict(cycle) for cycle in cycles]}
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    good = sum(map(is_good, cycles))
    print(f"{good} of {len(cycles)} cycles: nothing lost, explained within 5 %, one turn, held at most {HELD_S:g} s")
    return 0 if good == len(cycles) else 1


def play(namespace: Kubectl, folder: Path, artifact: str, options: argparse.Namespace) -> list[Cycle]:
    """Play the cycles, and wait after the last until every service is back at none."""
    question, gateway = Question.of(folder), Gateway.of(namespace)
    services = [f"zero-{number}" for number in range(options.services)]
    knative = {"metric": "rps", "target": options.target} if options.target else {"metric": "concurrency"}
    chosen = values(folder, artifact, cpu=options.cpu, most=options.most, **knative)
    for service in services:
        install(namespace, service, chosen)
    cluster, cycles = connected(namespace), []
    print(f"| cycle | service | lost | first answer s | {' | '.join(PARTS)} | unexplained |")
    print("| --- " * (len(PARTS) + 5) + "|")
    with recorded(namespace) as recording:
        for number in range(1, options.cycles + 1):
            service = services[number % len(services)]
            eventually(lambda service=service: is_at_zero(namespace, service), BACK_S, 0.5)  # type: ignore[misc]
            asked = {"rate": options.rate, "seconds": options.seconds}
            cycles.append(one_cycle(namespace, cluster, recording, gateway, service, question, **asked))
            print(row(number, cycles[-1]), flush=True)
        for service in services:
            eventually(lambda service=service: is_at_zero(namespace, service), BACK_S, 0.5)  # type: ignore[misc]
        cycles = followed(cycles, recording)
    cluster.close()
    return cycles


if __name__ == "__main__":
    sys.exit(main())
