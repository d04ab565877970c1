"""How much of its engine's throughput does the server give? Ours and the engine alone, in turn on the same two cores.

    podium build examples/models/food11/model.yaml          # food11-ort-int8 and food11-openvino-int8
    podium benchmark food11-ort-int8 --cpus 2               # how many processes pay; the same for the other
    python -m benchmarks.server_engine --variant food11-ort-int8 --variant food11-openvino-int8 --rounds 7 \
        --out benchmarks/results/server_engine.json

One image a request, in a closed loop of `--connections` on the same cores: as V2 binary tensor, and as JPEG where the
variant takes images. The engine alone is called in the best of twelve shapes (two callers of one thread or one of two,
batches of 1 to 32), which is looked for first and called anew in each round. Ours is as shipped: every limit, deadline
and metric is on, and as many processes as `podium benchmark` recorded, unless `--workers` says it.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.provenance import machine
from benchmarks.servers.client import drive
from benchmarks.servers.figures import ratio
from benchmarks.servers.peers import OUR_CPUS, OURS, Peer
from benchmarks.servers.question import Question, question_of
from benchmarks.servers.raw import SHAPES
from benchmarks.servers.running import Running
from predictors.manifest import read_variant
from predictors.server.origin import recorded_workers
from predictors.server.settings import Settings

_ROOT = Path(__file__).parents[1]
# The share that is aimed at, by engine and body.
_BARS: Mapping[tuple[str, str], float] = {
    ("ort", "tensor"): 0.9,
    ("openvino", "tensor"): 0.9,
    ("ort", "jpeg"): 0.75,
    ("openvino", "jpeg"): 0.6,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", action="append", required=True, help="id in the store, or a folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each body and round, and for the engine alone")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, help="processes of ours; without, what was recorded")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".podium/servers")
    parser.add_argument("--conditions", default="", help="what else ran on the machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {name: _measured(name, options) for name in options.variant}
    for name, seen in found.items():
        for body, told in seen["ratios"].items():
            print(f"{name} {body}: {told} of the engine alone ({seen['shape']}), asked for {told['bar']}")
    if options.out:
        about = {**machine(), "conditions": options.conditions, "connections": options.connections}
        options.out.write_text(json.dumps({"environment": about, "variants": found}, indent=1) + "\n", encoding="utf-8")


def _measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    question = question_of(name)
    variant = read_variant(question.folder)
    asked: dict[str, tuple[Peer, Question]] = {
        "tensor": (replace(OURS, path=f"/v2/models/{question.model}/infer"), question)
    }
    if variant.preprocessing is not None:
        peer = replace(OURS, kind="jpeg", path=f"/v1/models/{question.model}:predict")
        asked["jpeg"] = (peer, question.pictured())
    workers = options.workers or recorded_workers(Settings(variant=str(question.folder), cpus=OUR_CPUS))
    searched = _raw(question.folder, options.seconds / 4, *map(str, SHAPES))
    shape = str(searched["shape"])
    rounds: list[dict[str, float]] = []
    with ExitStack() as stack:
        peer, _ = asked["tensor"]
        running = Running(peer, question, cache=options.cache, settings={"WORKERS": str(workers)})
        stack.callback(running.close)
        running.pause()
        for number in range(options.rounds):
            seen: dict[str, float] = {}
            names = ["raw", *asked]
            for what in names if number % 2 == 0 else reversed(names):
                if what == "raw":
                    seen[what] = _raw(question.folder, options.seconds, shape)["per_second"]
                    continue
                running.resume()
                seen |= _driven(running, *asked[what], what, options)
                running.pause()
            rounds.append(seen)
            print(f"{name} round {number + 1}: {seen}, load {os.getloadavg()[0]:.1f}", flush=True)
    ratios = {
        body: ratio([seen[body] for seen in rounds], [seen["raw"] for seen in rounds])
        | {"bar": _BARS.get((variant.runtime.name, body), 0.0)}
        for body in asked
    }
    return {"workers": workers, "shape": shape, "searched": searched["rates"], "ratios": ratios, "rounds": rounds}


def _driven(
    running: Running, peer: Peer, question: Question, body: str, options: argparse.Namespace
) -> dict[str, float]:
    request, is_right = peer.request(question), peer.is_right(question)
    many = drive(running.port, request, is_right, connections=options.connections, seconds=options.seconds)
    one = drive(running.port, request, is_right, connections=1, seconds=options.seconds / 3)
    return {body: many.per_second, f"{body}_p99_ms": many.p99_ms, f"{body}_alone_p50_ms": one.p50_ms}


def _raw(folder: Path, seconds: float, *shapes: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.servers.raw", str(folder), str(seconds), *shapes]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
