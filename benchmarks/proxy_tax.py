r"""What each thing between a client and a predictor costs: the same variant by pod, proxy, Service, activator, ingress.

One client in the cluster, on the load generators' node, asks one request at a time; each round asks every path once, in
an order that turns about, so that whatever else happens falls on all alike. Each path keeps its connection. The variant
runs in mode Knative with one pod that stays, and once more in mode Standard, whose Service has nothing in between.

    ./scripts/cluster-up --knative
    python -m benchmarks.proxy_tax --rounds 2000 --out benchmarks/results/proxy_tax.json

Prints a row for each path: median and 99 % with 95 % intervals, and the median of the differences to the pod's own
address in the same round. Single requests on kind: functional and relative only, no capacity. The exit code is 1 where
an answer was not the golden one.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import fresh_namespace, provenance
from loadtest.statistics import percentile, percentile_interval
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl, images, python_pod
from tests.cluster.releases import Helm, shelved
from tests.eventually import eventually
from tests.knative.gateway import Question
from tests.knative.services import install, pods_of, values

KNATIVE, STANDARD = "tax", "plain"
CONFIDENCE = 0.95
DEADLINE_S = 600.0
# Sends the same body along every path by turns, and prints all times in the end.
PROGRAM = """
import http.client, json, sys, time
paths, body, rounds = json.loads(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
kept = {name: http.client.HTTPConnection(one["host"], one["port"], timeout=30) for name, one in paths.items()}
times, answers = {name: [] for name in paths}, {}
names = list(paths)
for number in range(rounds + 50):
    order = names[number % len(names):] + names[:number % len(names)]
    for name in order if number % 2 else order[::-1]:
        one = paths[name]
        began = time.perf_counter_ns()
        kept[name].request("POST", one["path"], body, {"Content-Type": "application/json", **one["headers"]})
        answer = kept[name].getresponse()
        said = answer.read()
        if number >= 50:
            times[name].append(time.perf_counter_ns() - began)
        if answer.status != 200:
            raise SystemExit(f"{name}: {answer.status} {said[:200]!r}")
        answers[name] = said.decode()
print(json.dumps({"times": times, "answers": answers}), flush=True)
"""


def paths_to(namespace: Kubectl) -> dict[str, dict[str, Any]]:
    """Return the ways to the variant, from the shortest to the longest."""
    inside = f"{namespace.namespace}.svc.cluster.local"
    revision = namespace.get("ksvc", f"{KNATIVE}-predictor")["status"]["latestReadyRevisionName"]
    address = {name: pods_of(namespace, name)[0]["status"]["podIP"] for name in (KNATIVE, STANDARD)}
    to_activator = {"Knative-Serving-Namespace": namespace.namespace, "Knative-Serving-Revision": revision}
    ways: dict[str, tuple[str, str, int, dict[str, str]]] = {
        "pod": (KNATIVE, address[KNATIVE], 8080, {}),
        "queue-proxy": (KNATIVE, address[KNATIVE], 8012, {}),
        "service and queue-proxy": (KNATIVE, f"{revision}-private.{inside}", 80, {}),
        "activator and queue-proxy": (KNATIVE, "activator-service.knative-serving", 80, to_activator),
        "ingress, activator and queue-proxy": (KNATIVE, f"{KNATIVE}-predictor.{inside}", 80, {}),
        "standard: pod": (STANDARD, address[STANDARD], 8080, {}),
        "standard: service": (STANDARD, f"{STANDARD}-predictor.{inside}", 80, {}),
    }
    return {
        name: {"host": host, "port": port, "path": f"/v2/models/{service}/infer", "headers": headers}
        for name, (service, host, port, headers) in ways.items()
    }


def asked(namespace: Kubectl, paths: dict[str, Any], question: Question, rounds: int) -> dict[str, Any]:
    """Let a pod on the load generators' node ask, and return what it printed."""
    pod = python_pod(namespace, "client", PROGRAM, node_class="loadgen")
    pod["spec"]["tolerations"] = [{"key": "podium.dev/loadgen", "operator": "Exists"}]
    command = ["python", "-c", PROGRAM, json.dumps(paths), question.body.decode(), str(rounds)]
    size = {"cpu": "900m", "memory": "256Mi"}
    container = {"image": images(namespace)["loadtest"], "command": command, "resources": {"limits": size}}
    pod["spec"]["containers"][0] |= container
    namespace.apply(pod)

    def ended() -> str:
        phase = str(namespace.get("pod", "client")["status"].get("phase"))
        return phase if phase in ("Succeeded", "Failed") else ""

    phase, said = eventually(ended, DEADLINE_S, 1), namespace.run("logs", "client").stdout
    if phase != "Succeeded":
        raise SystemExit(f"the client ended with: {said[-500:]}")
    found: dict[str, Any] = json.loads(said)
    return found


def figures(times: dict[str, list[int]]) -> dict[str, dict[str, Any]]:
    """Return for each path its median and 99 %, and what it takes more than its own pod, in milliseconds."""
    taken = {name: np.array(values) / 1e6 for name, values in times.items()}
    told = {}
    for name, one in taken.items():
        own = taken["standard: pod" if name.startswith("standard") else "pod"]
        told[name] = {
            "p50_ms": _quantile(one, 0.5),
            "p99_ms": _quantile(one, 0.99),
            "tax_p50_ms": _quantile(one - own, 0.5),
        }
    return told


def _quantile(values: Any, quantile: float) -> dict[str, float | None]:
    interval = percentile_interval(values, quantile, CONFIDENCE)
    low, high = (None, None) if interval is None else (round(interval.low, 3), round(interval.high, 3))
    return {"value": round(percentile(values, quantile), 3), "low": low, "high": high}


def row(name: str, found: dict[str, Any]) -> str:
    cells = [f"{one['value']} ({one['low']}–{one['high']})" for one in found.values()]
    return "| " + " | ".join([name, *cells]) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--cpu", default="450m", help="request and limit of a pod")
    parser.add_argument("--artifact", type=Path, help="folder of an ort variant; the default is a tiny one made here")
    parser.add_argument("--out", type=Path, help="file for the figures and where they come from")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, fresh_namespace("tax") as namespace:
        folder = options.artifact or vector_artifact(Path(made) / "artifact")
        question = Question.of(folder)
        with shelved(namespace, folder) as artifact:
            chosen = values(folder, artifact, cpu=options.cpu, most=1, metric="concurrency")
            install(namespace, KNATIVE, {**chosen, "replicas": {"min": 1, "max": 1}})
            standard = {key: value for key, value in chosen.items() if key != "knative"}
            standard |= {"mode": "Standard", "replicas": {"min": 1, "max": 1}}
            Helm(namespace.namespace)("install", STANDARD, str(ROOT / "charts" / "variant"), values=standard)
            namespace.run("wait", f"isvc/{STANDARD}", "--for=condition=Ready", "--timeout=120s")
            # The pod of the revision before this one may still be leaving.
            eventually(lambda: len(pods_of(namespace, KNATIVE)) == 1, 120, 1)
            found = asked(namespace, paths_to(namespace), question, options.rounds)
    told = figures(found["times"])
    print("| path | p50 ms | p99 ms | more than the pod, ms |")
    print("| --- | --- | --- | --- |")
    for name, one in told.items():
        print(row(name, one))
    right = [name for name, answer in found["answers"].items() if question.is_answered(answer.encode())]
    if options.out:
        asked_for = {"rounds": options.rounds, "cpu": options.cpu, "confidence": CONFIDENCE}
        record = {**provenance(), "artifact": folder.name if options.artifact else "tiny", "asked": asked_for}
        options.out.write_text(json.dumps({**record, "paths": told}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(right)} of {len(told)} paths gave the golden answer; one request at a time on kind: relative only")
    return 0 if len(right) == len(told) else 1


if __name__ == "__main__":
    sys.exit(main())
