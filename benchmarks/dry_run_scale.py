"""What does it cost to plan races on a large cluster, and are their placements right?

An API server in memory holds 400 made-up nodes of two classes and for load, and 2,000 pods on them. Against it
`podium race --dry-run --target cluster` runs as a person would run it: for 20 races of 10 variants each, and once for a
race of 64 variants, as many as a recipe list may hold. Each placement is compared with the nodes whose labels and
taints fit its class.

    python benchmarks/dry_run_scale.py

Prints one line of JSON for each form and one with the limits; exit code 1 where a dry run takes more than 10 s or
300 MiB, or a variant is planned elsewhere than its class says. The processor time is given beside the wall time, which
is that of a machine with nothing else to do.

2026-11-22, 2 shared cores with an idle test cluster: all 340 and 107 entries placed right, 104 MiB, 1.9 s of processor
time for the dearest; but 10.4 s of wall time in the mean of the 20 and 19.1 s for the slowest, 20.6 s for that of the
64. What the command waits for has not been taken apart; the API server in memory is Python in this very process.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.api.conftest import Api
from tests.api.kserve import KServe

ROOT = Path(__file__).parents[1]
LIMIT_S = 10.0
LIMIT_MIB = 300.0
LONGEST_LIST = 64
RUNTIMES = {"ort": "a:1", "openvino": "a:1", "torch": "a:1", "loadtest": "a:1"}
GPU = "nvidia.com/gpu"
LABELS: dict[str, dict[str, str]] = {
    "epyc": {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"},
    "a100": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"},
    "tainted": {"feature.node.kubernetes.io/cpu-model.vendor_id": "AMD"},
    "loadgen": {"podium.dev/node-class": "loadgen"},
}
TAINTS: dict[str, list[dict[str, str]]] = {
    "a100": [{"key": GPU, "value": "present", "effect": "NoSchedule"}],
    "tainted": [{"key": "team", "value": "other", "effect": "NoSchedule"}],
    "loadgen": [{"key": "podium.dev/loadgen", "value": "true", "effect": "NoSchedule"}],
}


@dataclass(frozen=True, slots=True)
class Planned:
    """One dry run: its wall and processor time, its largest memory, and what it would place where."""

    seconds: float
    cpu_s: float
    mib: float
    entries: Sequence[dict[str, Any]]


def fill(api: Api, nodes: int, pods: int) -> dict[str, list[str]]:
    """Put a cluster there, and return the nodes by what they are."""
    kinds = list(LABELS)
    made: dict[str, list[str]] = {kind: [] for kind in kinds}
    offered = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    for number in range(nodes):
        kind, name = kinds[number % len(kinds)], f"node-{number:04}"
        made[kind].append(name)
        info = {"bootID": name, "architecture": "amd64", "kernelVersion": "6.8", "kubeletVersion": "v1.36.4"}
        status = {
            "allocatable": offered | ({GPU: "4"} if kind == "a100" else {}),
            "capacity": offered,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": info,
        }
        metadata = {"name": name, "labels": LABELS[kind] | {"kubernetes.io/hostname": name}}
        spec = {"taints": TAINTS.get(kind, [])}
        document = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status}
        api.keeps("v1/nodes", document, None)
    asked = {"requests": {"cpu": "250m", "memory": "512Mi"}}
    for number in range(pods):
        metadata = {"name": f"pod-{number:05}", "namespace": "work"}
        place = {"nodeName": f"node-{number % nodes:04}", "containers": [{"name": "main", "resources": asked}]}
        pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": place}
        api.keeps("v1/pods", pod | {"status": {"phase": "Running"}}, "work")
    # What `./scripts/cluster-up` puts there, without its nodes.
    kserve = KServe(api)
    kserve.platform(**RUNTIMES)
    kserve.runtime("torch", RUNTIMES["torch"])
    for name in ("worker", "loader"):
        kserve.lacks("v1/nodes", name)
    return made


def kubeconfig(api: Api, folder: Path) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "large", "cluster": {"server": api.url}}],
        "users": [{"name": "me", "user": {"token": "x"}}],
        "contexts": [{"name": "large", "context": {"cluster": "large", "user": "me", "namespace": "podium"}}],
        "current-context": "large",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


def submission(folder: Path, name: str, variants: int) -> Path:
    """Write a submission of mnist with so many variants, a third each for ort, openvino and torch."""
    model = folder / name
    shutil.copytree(ROOT / "examples" / "models" / "mnist", model)
    ends = ([{"name": "export"}], [{"name": "export"}, {"name": "openvino-int8"}], [{"name": "torch-fp32"}])
    listed = [{"steps": ends[number % 3], "change": f"c{number:03}"} for number in range(variants)]
    (model / "recipes.yaml").write_text(yaml.safe_dump({"variants": listed}))
    card = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(card.replace("recipes: null", "recipes: recipes.yaml #"))
    document = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "annotations": {"podium.dev/slo": "p99<=50ms, rate>=40/s", "podium.dev/node-classes": "epyc,a100"},
        },
        "spec": {"predictor": {"model": {"modelFormat": {"name": "pytorch"}, "storageUri": f"file://{name}"}}},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def dry_run(file: Path, config: Path, runs: Path) -> Planned:
    """Plan a race as a process of its own."""
    command = [
        sys.executable,
        "-c",
        MEASURED,
        "race",
        "-f",
        str(file),
        "--target",
        "cluster",
        "--dry-run",
        "-o",
        "json",
    ]
    command += ["--profile", "quick", "--kubeconfig", str(config), "--runs", str(runs)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    *_, last = done.stderr.splitlines()
    kib, cpu_s = last.split()
    return Planned(seconds, float(cpu_s), int(kib) / 1024, json.loads(done.stdout)["entries"])


# The largest memory of a process is best asked of itself: a parent's view of its children is that of all of them.
MEASURED = """
import atexit, resource, sys
def told():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
atexit.register(told)
from podium.cli import main
main()
"""


def misplaced(planned: Planned, variants: int, nodes: dict[str, list[str]]) -> list[str]:
    """Return what is planned otherwise than the classes say: openvino has no image for a100's runtimes."""
    faults = [
        f"{one['variant']} on {one['node_class']} has other nodes"
        for one in planned.entries
        if one["nodes"] != nodes[one["node_class"]]
    ]
    counted = {name: sum(1 for one in planned.entries if one["node_class"] == name) for name in ("epyc", "a100")}
    openvino = len(range(1, variants, 3))
    wanted = {"epyc": variants, "a100": variants - openvino}
    return faults + ([] if counted == wanted else [f"planned {counted}, and {wanted} is right"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--variants", type=int, default=200, help="of all races together")
    parser.add_argument("--nodes", type=int, default=400)
    parser.add_argument("--pods", type=int, default=2000)
    options = parser.parse_args()
    api = Api()
    api.start()
    try:
        with tempfile.TemporaryDirectory(prefix="podium-dry-run-") as name:
            return compare(api, Path(name), options)
    finally:
        api.stop()


def compare(api: Api, folder: Path, options: argparse.Namespace) -> int:
    nodes = fill(api, options.nodes, options.pods)
    config = kubeconfig(api, folder)
    share = options.variants // options.races
    small = [submission(folder, f"race-{number}", share) for number in range(options.races)]
    large = submission(folder, "large", LONGEST_LIST)
    forms = {
        f"{options.races} races of {share}": (small, share),
        f"1 race of {LONGEST_LIST}": ([large], LONGEST_LIST),
    }
    is_within = True
    for form, (files, variants) in forms.items():
        planned = [dry_run(file, config, folder / "runs") for file in files]
        faults = [fault for one in planned for fault in misplaced(one, variants, nodes)]
        slowest, largest = max(one.seconds for one in planned), max(one.mib for one in planned)
        is_within = is_within and slowest <= LIMIT_S and largest <= LIMIT_MIB and not faults
        line = {"form": form, "entries": sum(len(one.entries) for one in planned), "misplaced": faults}
        line |= {
            "largest_cpu_s": round(max(one.cpu_s for one in planned), 2),
            "slowest_s": round(slowest, 2),
            "all_s": round(sum(one.seconds for one in planned), 2),
        }
        print(json.dumps(line | {"largest_mib": round(largest, 1)}), flush=True)
    print(json.dumps({"limit_s": LIMIT_S, "limit_mib": LIMIT_MIB, "nodes": options.nodes, "holds": is_within}))
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
