"""What does each way of making food11 cheaper bring here? Size, accuracy, and the raw engine against eager PyTorch.

    podium build examples/models/food11 --recipes full --quality -o json > built.json
    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.variants --built built.json --out benchmarks/results/variants.json

All engines are loaded in one process with the same threads, and measured in turn, forward and back (A B … B A), so that
a slow minute of the machine meets all of them. Ratios to eager PyTorch are taken within a round; their interval is the
smallest and the largest of the rounds, which is no confidence interval and is named so.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from podium.catalog import list_variants
from predictors.benchmark import interval_of_median
from predictors.golden import read_golden
from predictors.manifest import read_variant
from predictors.runtimes import Runtime, load_runtime
from predictors.store import Store, default_store

_ROOT = Path(__file__).parents[1]
_BASE = "torch-fp32"
_TOOLS = ("numpy", "onnxruntime", "openvino", "nncf", "torch")
_FEWEST_RUNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="food11")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each engine, batch size and round")
    parser.add_argument("--built", type=Path, help="what `podium build -o json` printed, for the times of building")
    parser.add_argument("--conditions", default="", help="what else ran on the machine")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    store = Store(default_store())
    listed: dict[str, Mapping[str, Any]] = {}
    for item in list_variants(store).items:
        if item.get("model") == options.model and "id" in item:
            listed.setdefault(str(item["id"]), item)
    engines = {name: _load(Path(item["folder"]), options.threads) for name, item in sorted(listed.items())}
    base = f"{options.model}-{_BASE}"
    times: dict[tuple[str, int], list[list[float]]] = {}
    for number in range(options.rounds):
        order = list(engines) if number % 2 == 0 else list(reversed(engines))
        for batch in (1, 32):
            for name in order:
                taken = _sample(*engines[name], batch=batch, seconds=options.seconds)
                times.setdefault((name, batch), []).append(taken)
        print(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    figures = [_figures(listed[name], times, name, base) for name in engines]
    environment = _environment(options.threads, options.rounds) | {"conditions": options.conditions}
    document = {"environment": environment, "build_seconds": _build_seconds(options.built), "variants": figures}
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for row in figures:
        print(row["id"], row["model_bytes"], row["latency"]["p50_ms"], row["latency"]["times_faster"]["value"])


def _load(folder: Path, threads: int) -> tuple[Runtime, str, np.ndarray[Any, Any]]:
    variant = read_variant(folder)
    inputs, _ = read_golden(folder, variant)
    ((name, images),) = inputs.items()
    return load_runtime(folder, variant, threads=threads), name, images


def _sample(runtime: Runtime, name: str, images: np.ndarray[Any, Any], *, batch: int, seconds: float) -> list[float]:
    feed = {name: np.resize(images, (batch, *images.shape[1:]))}
    runtime.run(feed)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _FEWEST_RUNS or time.perf_counter() < end:
        began = time.perf_counter()
        runtime.run(feed)
        taken.append(time.perf_counter() - began)
    return taken


def _figures(
    item: Mapping[str, Any], times: Mapping[tuple[str, int], list[list[float]]], name: str, base: str
) -> dict[str, Any]:
    def ratio(batch: int) -> dict[str, float]:
        rounds = [
            statistics.median(theirs) / statistics.median(ours)
            for ours, theirs in zip(times[name, batch], times[base, batch], strict=True)
        ]
        return {
            "value": round(statistics.median(rounds), 3),
            "least": round(min(rounds), 3),
            "most": round(max(rounds), 3),
        }

    single, many = ([second for taken in times[name, batch] for second in taken] for batch in (1, 32))
    p50, low, high = interval_of_median(single)
    batch_p50, batch_low, batch_high = interval_of_median(many)
    return {
        "id": name,
        "address": item["address"],
        "size_bytes": item["size_bytes"],
        "model_bytes": item["model_bytes"],
        "quality": item["quality"],
        "latency": {
            "batch": 1,
            "runs": len(single),
            "p50_ms": round(p50 * 1e3, 4),
            "low": round(low * 1e3, 4),
            "high": round(high * 1e3, 4),
            "times_faster": ratio(1),
        },
        "throughput": {
            "batch": 32,
            "runs": len(many),
            "items_per_second": round(32 / batch_p50, 2),
            "low": round(32 / batch_high, 2),
            "high": round(32 / batch_low, 2),
            "times_faster": ratio(32),
        },
    }


def _build_seconds(built: Path | None) -> dict[str, float]:
    """Return the seconds of each variant that was built; the first of a graph holds the seconds of its export."""
    rows = json.loads(built.read_text(encoding="utf-8")) if built else []
    seconds = {row["variant"]: row["seconds"] for row in rows if not row["cached"]}
    return {"total": round(sum(seconds.values()), 1), **seconds}


def _environment(threads: int, rounds: int) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    described = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip(),
        "processor": next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), ""),
        "cores": len(os.sched_getaffinity(0)),
        "cpu_flags": [flag for flag in flags if flag.startswith(("avx", "amx"))],
        "load_average_after": [round(value, 1) for value in os.getloadavg()],
        "threads": threads,
        "rounds": rounds,
        "python": platform.python_version(),
        "tools": {name: version(name) for name in _TOOLS},
    }


if __name__ == "__main__":
    main()
