"""What does it cost to plan races on a large cluster, and are their placements right?

On the test cluster (`./scripts/cluster-up`) kwok keeps made-up nodes of both classes, some for load and some that are
somebody else's, with pods on them. There `podium race --dry-run --target cluster` runs as a person would run it: for
20 races of 10 variants each, and once for a race of 64 variants, as many as a recipe list may hold. Each placement is
compared with the nodes whose labels and taints fit its class.

    python -m benchmarks.dry_run_scale

Prints one line of JSON for each form and one with the limits; exit code 1 where a dry run takes more than 10 s or
300 MiB, or a variant is planned elsewhere than its class says.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from k8s.airgap.shell import on_path
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.costs import Cost, costed
from tests.eventually import eventually
from tests.scale.fleet import apply_all, fits, fleet

LIMIT_S = 10.0
LIMIT_MIB = 300.0
LONGEST_LIST = 64
NAMESPACE = "podium-test-planned"
CLASSES = ("epyc", "a100")
SHARES = {"epyc": 0.4, "a100": 0.4, "loadgen": 0.1, "taken": 0.1}


@dataclass(frozen=True, slots=True)
class Planned:
    """One dry run: what it cost, and what it would place where."""

    cost: Cost
    entries: Sequence[Mapping[str, Any]]


def pods(count: int, nodes: Sequence[str]) -> list[dict[str, Any]]:
    """Return pods that stand on these nodes in turn and ask for a little of each."""
    asked = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"other-{number:05}", "namespace": NAMESPACE},
            "spec": {
                "nodeName": nodes[number % len(nodes)],
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "main", "image": "none.invalid/none:1", "resources": asked}],
            },
        }
        for number in range(count)
    ]


def submission(folder: Path, name: str, variants: int) -> Path:
    """Write a submission of mnist with so many variants, half for ort and half for openvino."""
    model = folder / name
    shutil.copytree(ROOT / "examples" / "models" / "mnist", model)
    ends = ([{"name": "export"}], [{"name": "export"}, {"name": "openvino-int8"}])
    listed = [{"steps": ends[number % 2], "change": f"c{number:03}"} for number in range(variants)]
    (model / "recipes.yaml").write_text(yaml.safe_dump({"variants": listed}))
    card = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(card.replace("recipes: null", "recipes: recipes.yaml #"))
    annotations = {"podium.dev/slo": "p99<=50ms, rate>=40/s", "podium.dev/node-classes": ",".join(CLASSES)}
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "pytorch"}, "storageUri": f"file://{name}"}}},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def dry_run(file: Path, runs: Path) -> Planned:
    words: list[str | Path] = ["race", "-f", file, "--target", "cluster", "--dry-run", "-o", "json"]
    words += ["--profile", "quick", "--kubeconfig", STANDARD, "--context", ALLOWED[0], "--runs", runs]
    cost = costed(words)
    if cost.code != 0:
        raise RuntimeError(cost.stderr)
    return Planned(cost, json.loads(cost.stdout)["entries"])


def misplaced(planned: Planned, variants: int, nodes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is planned otherwise than the classes say: openvino has no image for a100's runtimes."""
    faults = [
        f"{one['variant']} on {one['node_class']} has other nodes"
        for one in planned.entries
        if sorted(one["nodes"]) != nodes[one["node_class"]]
    ]
    counted = {name: sum(1 for one in planned.entries if one["node_class"] == name) for name in CLASSES}
    wanted = {"epyc": variants, "a100": variants - variants // 2}
    return faults + ([] if counted == wanted else [f"planned {counted}, and {wanted} is right"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--variants", type=int, default=200, help="of all races together")
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=1000)
    options = parser.parse_args()
    program = on_path("kubectl")
    if program is None:
        raise SystemExit("no kubectl; ./scripts/cluster-up brings one")
    cluster = Kubectl(str(program))
    counts = {kind: round(share * options.nodes) for kind, share in SHARES.items()}
    with tempfile.TemporaryDirectory(prefix="podium-dry-run-") as name:
        folder = Path(name)
        with fleet(cluster, folder, counts) as nodes:
            cluster.run("create", "namespace", NAMESPACE)
            inside = Kubectl(cluster.program, NAMESPACE)
            try:
                apply_all(inside, pods(options.pods, [one for listed in nodes.values() for one in listed]))
                return compare(cluster, folder, options)
            finally:
                cluster.run("delete", "namespace", NAMESPACE, "--wait=false")
                eventually(lambda: not inside.get("pods")["items"], 600.0, 5.0)


def compare(cluster: Kubectl, folder: Path, options: argparse.Namespace) -> int:
    nodes = {kind: fits(cluster, kind) for kind in CLASSES}
    share = options.variants // options.races
    small = [submission(folder, f"race-{number}", share) for number in range(options.races)]
    large = submission(folder, "large", LONGEST_LIST)
    forms = {
        f"{options.races} races of {share}": (small, share),
        f"1 race of {LONGEST_LIST}": ([large], LONGEST_LIST),
    }
    is_within = True
    for form, (files, variants) in forms.items():
        planned = [dry_run(file, folder / "runs") for file in files]
        faults = [fault for one in planned for fault in misplaced(one, variants, nodes)]
        slowest, largest = max(one.cost.seconds for one in planned), max(one.cost.mib for one in planned)
        is_within = is_within and slowest <= LIMIT_S and largest <= LIMIT_MIB and not faults
        line = {"form": form, "entries": sum(len(one.entries) for one in planned), "misplaced": faults}
        line |= {
            "largest_cpu_s": round(max(one.cost.cpu_s for one in planned), 2),
            "slowest_s": round(slowest, 2),
            "all_s": round(sum(one.cost.seconds for one in planned), 2),
        }
        print(json.dumps(line | {"largest_mib": round(largest, 1)}), flush=True)
    print(json.dumps({"limit_s": LIMIT_S, "limit_mib": LIMIT_MIB, "nodes": options.nodes, "holds": is_within}))
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
