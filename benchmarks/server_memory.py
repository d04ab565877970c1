"""What does the server hold of memory, with one, two and three processes, idle and after load?

    python -m benchmarks.server_memory --variant mnist-ort-fp32 --variant food11-ort-int8 \
        --out benchmarks/results/server_memory.json

The sum of the proportional set sizes (`smaps_rollup`) of all its processes, in which a page that several share counts
once: the server, its workers, and what decodes images where that is a process of its own. What else runs on the machine
and uses the same libraries makes that less (`pss_mib`), so pages of files are counted whole (`mib`, which the bars are
held against). Model is the size of the artifact's files. The load is the same as in
`benchmarks.server_engine`; memory does not depend on how fast it goes, so the machine need not be quiet.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.provenance import machine
from benchmarks.servers.client import drive
from benchmarks.servers.peers import OURS, Peer, Settings
from benchmarks.servers.processes import alone_bytes, pss_bytes
from benchmarks.servers.question import Question, question_of
from benchmarks.servers.running import Running
from predictors.manifest import read_variant

_ROOT = Path(__file__).parents[1]
_MIB = 1 << 20
_ONE_MIB, _NEXT_MIB = 130.0, 60.0
_SETTLE_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", action="append", required=True, help="id in the store, or a folder")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=3.0, help="of load")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".podium/servers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found = {name: _measured(name, options) for name in options.variant}
    if options.out:
        document = {"environment": machine(), "bars_mib": {"one": _ONE_MIB, "next": _NEXT_MIB}, "variants": found}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if all(seen["holds"] for seen in found.values()) else 1


def _measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    question = question_of(name)
    variant = read_variant(question.folder)
    asked: list[tuple[Peer, Question]] = [(_peer(question, "v2-binary"), question)]
    if variant.preprocessing is not None:
        asked.append((_peer(question, "jpeg"), question.pictured()))
    model_mib = round(sum(entry.bytes for entry in variant.files) / _MIB, 1)
    sizes = {}
    for workers in options.workers:
        running = Running(asked[0][0], question, cache=options.cache, settings={"WORKERS": str(workers)})
        try:
            time.sleep(_SETTLE_S)
            idle = _held(running)
            for peer, one in asked:
                drive(
                    running.port,
                    peer.request(one),
                    peer.is_right(one),
                    connections=8 * workers,
                    seconds=options.seconds,
                )
            time.sleep(_SETTLE_S)
            sizes[workers] = {"idle": idle, "loaded": _held(running)}
        finally:
            running.close()
        print(f"{name}, {workers} workers, model {model_mib}: {json.dumps(sizes[workers])}", flush=True)
    steps = {
        when: [
            round((sizes[after][when]["mib"] - sizes[before][when]["mib"]) / (after - before), 1)
            for before, after in zip(options.workers, options.workers[1:], strict=False)
        ]
        for when in ("idle", "loaded")
    }
    holds = _holds(sizes, steps, model_mib)
    print(f"{name}: each further worker {steps}, holds: {holds}", flush=True)
    return {"model_mib": model_mib, "workers": sizes, "next_mib": steps, "holds": holds}


def _holds(sizes: dict[int, Any], steps: dict[str, list[float]], model_mib: float) -> bool:
    one = [seen["mib"] for seen in sizes.get(1, {}).values()]
    return all(mib <= _ONE_MIB + model_mib for mib in one) and all(
        step <= _NEXT_MIB for listed in steps.values() for step in listed
    )


def _peer(question: Question, kind: str) -> Peer:
    path = f"/v1/models/{question.model}:predict" if kind == "jpeg" else f"/v2/models/{question.model}/infer"
    return replace(OURS, kind=kind, path=path, command=_command)


def _command(python: str, _work: Path, given: Settings) -> list[str]:
    ports = ["--http-port", given["PORT"], "--grpc-port", given["GRPC_PORT"], "--metrics-port", given["SIDE_PORT"]]
    share = ["--cpus", given["WORKERS"], "--workers", given["WORKERS"]]
    return [python, "-m", "predictors.server", given["MODEL_FOLDER"], *share, *ports]


def _held(running: Running) -> dict[str, Any]:
    pids = [process.pid for process in running.processes()]
    return {
        "mib": _mib(alone_bytes(pids)),
        "pss_mib": {name: _mib(size) for name, size in pss_bytes(pids).items()},
        "each_pss_mib": [_mib(pss_bytes([pid])["Pss"]) for pid in pids],
    }


def _mib(size: int) -> float:
    return round(size / _MIB, 1)


if __name__ == "__main__":
    raise SystemExit(main())
