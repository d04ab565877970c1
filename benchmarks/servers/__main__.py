"""Is ours the fastest Python predictor? Six others, the raw engine and ours, in turn on the same two cores.

    python -m benchmarks.servers install                    # environments below .podium/servers, some 600 MB
    python -m benchmarks.servers choose                     # the best setting of each: .podium/servers/chosen.json
    podium benchmark mnist-ort-fp32 --cpus 2                # the same for ours: as many processes as pay
    python -m benchmarks.servers run --rounds 5 --out benchmarks/results/servers.json

The MNIST CNN, one image a request, as a V2 binary tensor, or as the leanest body that a server documents; 8 connections
and 1, in a closed loop that is on the same cores. All run at once, and all but the one that is asked are stopped.
Ours is as shipped: every limit, deadline and metric is on; `podium-1-worker` is ours in one process. Run it on a
quiet machine, and only believe the ratios.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.provenance import machine
from benchmarks.servers.client import drive
from benchmarks.servers.figures import summary, table
from benchmarks.servers.grpc_client import drive_grpc
from benchmarks.servers.peers import OUR_CPUS, OURS, PEERS, Peer
from benchmarks.servers.question import Question, grpc_message, question_of
from benchmarks.servers.running import Running
from predictors.server.origin import recorded_workers
from predictors.server.settings import Settings

_ROOT = Path(__file__).parents[2]
_LOADS = {"8 connections": 8, "1 connection": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["install", "choose", "run"])
    parser.add_argument("--variant", default="mnist-ort-fp32", help="id in the store, or a folder")
    parser.add_argument("--cache", type=Path, default=_ROOT / ".podium/servers")
    parser.add_argument("--only", default="", help="names with commas; ours is always there")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels, for a machine without an index")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="for each server, load and round")
    parser.add_argument("--no-grpc", action="store_true")
    parser.add_argument("--conditions", default="", help="what else ran on the machine")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    wanted = set(filter(None, options.only.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted]
    options.cache.mkdir(parents=True, exist_ok=True)
    if options.what == "install":
        _install(peers, options.cache, options.wheels)
        return
    question = question_of(options.variant)
    chosen = options.cache / "chosen.json"
    if options.what == "choose":
        known = json.loads(chosen.read_text(encoding="utf-8")) if chosen.exists() else {}
        for peer in peers:
            known[peer.name] = _best(peer, question, options)
            chosen.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        return
    known = json.loads(chosen.read_text(encoding="utf-8")) if chosen.exists() else {}
    settings = {peer.name: known.get(peer.name, peer.settings[0]) for peer in peers}
    ours = Settings(variant=str(question.folder), cpus=OUR_CPUS)
    settings[OURS.name] = {"WORKERS": str(recorded_workers(ours))}
    about = _environment(options.conditions) | {"settings": settings, "seconds": options.seconds}
    rounds = _rounds([OURS, *peers], settings, question, options)
    found = summary(rounds, OURS.name)
    print(table(found, OURS.name))
    print(json.dumps(found["p50_over_raw_ms"]))
    if options.out:
        document = {"environment": about, **found, "rounds": rounds}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _install(peers: Sequence[Peer], cache: Path, wheels: Path | None) -> None:
    offline = [f"--find-links={wheels}", "--no-index"] if wheels else []
    # Where ./scripts/setup put it, if there is none on the path.
    uv = shutil.which("uv") or str(_ROOT / ".podium" / "uv" / "bin" / "uv")
    for peer in peers:
        if not peer.packages:
            continue
        place = cache / peer.name
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True)
        # Triton's own start-up code is not used, only the server in its wheel, so its dependencies are not either.
        alone = ["--no-deps"] if peer.name == "triton" else []
        install = [uv, "pip", "install", "--quiet", "--python", str(place / "bin/python"), *offline]
        if alone:
            subprocess.run([*install, *alone, peer.packages[0]], check=True)
        subprocess.run([*install, *(peer.packages[1:] if alone else peer.packages)], check=True)
        print(f"{peer.name}: {' '.join(peer.packages)}", flush=True)


def _best(peer: Peer, question: Question, options: argparse.Namespace) -> dict[str, str]:
    rates = []
    for number, setting in enumerate(peer.settings):
        try:
            running = Running(peer, question, cache=options.cache, settings=setting, number=number)
        except RuntimeError as error:
            print(f"{peer.name} {json.dumps(dict(setting))}: {error}", flush=True)
            continue
        try:
            seen = _asked(running, question, connections=8, seconds=options.seconds)
        finally:
            running.close()
        print(f"{peer.name} {json.dumps(dict(setting))}: {seen['per_second']}/s", flush=True)
        rates.append((seen["per_second"], number))
    if not rates:
        raise SystemExit(f"{peer.name} does not start with any of its settings")
    return dict(peer.settings[max(rates)[1]])


def _asked(
    running: Running, question: Question, *, connections: int, seconds: float, grpc: bool = False
) -> dict[str, float]:
    peer = running.peer
    before = running.cpu_seconds()
    if grpc:
        message, is_right = grpc_message(question), peer.is_right_message(question)
        seen = drive_grpc(running.grpc_port, message, is_right, connections=connections, seconds=seconds)
    else:
        request, judge = peer.request(question), peer.is_right(question)
        seen = drive(running.port, request, judge, connections=connections, seconds=seconds)
    # The warm-up is in the processor time and not in the count; the rate is the same, so the share is known.
    spent = (running.cpu_seconds() - before) * seconds / (seconds + 0.3)
    cpu_us = round(spent * 1e6 / seen.requests, 1)
    return {"per_second": seen.per_second, "p50_ms": seen.p50_ms, "p99_ms": seen.p99_ms, "cpu_us": cpu_us}


def _rounds(
    peers: Sequence[Peer], settings: dict[str, Any], question: Question, options: argparse.Namespace
) -> list[dict[str, dict[str, dict[str, float]]]]:
    rounds: list[dict[str, dict[str, dict[str, float]]]] = []
    with ExitStack() as stack:
        servers = []
        for peer in peers:
            running = Running(peer, question, cache=options.cache, settings=settings.get(peer.name, {}))
            stack.callback(running.close)
            running.pause()
            servers.append(running)
        for number in range(options.rounds):
            found: dict[str, dict[str, dict[str, float]]] = {}
            for running in servers if number % 2 == 0 else reversed(servers):
                running.resume()
                seen = found[running.peer.name] = {
                    load: _asked(running, question, connections=connections, seconds=options.seconds)
                    for load, connections in _LOADS.items()
                }
                if running.peer.has_grpc and not options.no_grpc:
                    seen["8 over gRPC"] = _asked(running, question, connections=8, seconds=options.seconds, grpc=True)
                running.pause()
            raw = _raw(question.folder, options.seconds)
            found["raw"] = {
                "8 connections": {"per_second": raw["per_second"]},
                "1 connection": {"per_second": round(1e3 / raw["p50_ms"], 1), "p50_ms": raw["p50_ms"]},
            }
            rounds.append({name: found[name] for name in (*(peer.name for peer in peers), "raw")})
            rates = {name: round(seen["8 connections"]["per_second"]) for name, seen in rounds[-1].items()}
            print(f"round {number + 1}: {rates}, load {os.getloadavg()[0]:.1f}", flush=True)
    return rounds


def _raw(folder: Path, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.servers.raw", str(folder), str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _environment(conditions: str) -> dict[str, Any]:
    return {
        **machine(),
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
        "conditions": conditions,
        "python": sys.version.split()[0],
        "packages": {peer.name: list(peer.packages) for peer in PEERS if peer.packages}
        | {"kserve": [f"kserve=={version('kserve')}"], "engine": [f"onnxruntime=={version('onnxruntime')}"]},
    }


if __name__ == "__main__":
    main()
