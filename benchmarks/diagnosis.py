"""Is slowness named right? `python -m benchmarks.diagnosis [--pairs N] [--only NUMBER] [--out FILE]`.

Plants each cause of `podium diagnose` in a real deployment of this machine (`tests/plants.py`), loads it, and asks;
then makes the change that is named and plays both in turns on one schedule. Healthy deployments stand beside them.
Prints a line of JSON for each, and writes them with a summary: how many causes were named, how many names were wrong,
and how many changes were shown to help.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.change import Elsewhere
from podium.comparison import compare
from podium.console import Json
from podium.errors import PodiumError
from podium.runseries import find_series
from podium.symptoms import read_symptoms
from podium.verification import Applied, apply_change
from tests.plants import HEALTHY, PLANTS, Diagnosed, Garden, Plant
from tests.ports import free_ports

BARS = {"named": 9, "false_names": 0}


def applied(garden: Garden, found: Diagnosed, pairs: int) -> Applied:
    """Try the change that was named."""
    store = garden.store_of(found.plant)
    seen = read_symptoms(found.bench, runs=garden.runs, store=store)
    return apply_change(
        found.bench,
        seen,
        found.findings,
        number=found.plant.number,
        profile=str(garden.profile(pairs=pairs)),
        rate=None,
        first_port=free_ports(6),
        runs=garden.runs,
        store=store,
        say=lambda _text: None,
    )


def told(garden: Garden, found: Diagnosed, pairs: int) -> dict[str, Json]:
    """Return what came of the change of a plant; where it is not this machine's to make, of the plant without it."""
    tried = applied(garden, found, pairs)
    if isinstance(tried.result, Elsewhere):
        if found.plant.cure is None:
            return {"outcome": "not here", "sentence": tried.result.sentence}
        again = garden.look_at(found.plant.cured)
        sides = [find_series(one.bench, garden.runs, phase="single-stream", with_void=True) for one in (found, again)]
        p50 = next(one for one in compare(sides[0], sides[1]).figures if one.name == "p50")
        check = next(one for one in again.findings if one.number == found.plant.number)
        return {
            "outcome": "made by hand",
            "sentence": tried.result.sentence,
            "p50_ms": [p50.first, p50.second],
            "difference": p50.outcome,
            "afterwards": check.outcome,
        }
    ratio = tried.result.figure.ratio
    return {
        "outcome": tried.result.outcome,
        "sentence": tried.result.sentence,
        "ratio": None if ratio is None else [ratio.value, ratio.low, ratio.high],
        "afterwards": None if tried.again is None else tried.again.outcome,
    }


def looked_at(garden: Garden, plant: Plant, pairs: int) -> dict[str, Any]:
    """Plant, load, ask, and try; a machine that cannot do it says so."""
    line: dict[str, Any] = {"planted": plant.number, "what": plant.name}
    try:
        found = garden.look_at(plant)
        mine = next((one for one in found.findings if one.number == plant.number), None)
        line |= {"named": list(found.causes), "sentence": None if mine is None else mine.sentence}
        if plant.number in found.causes:
            line["applied"] = told(garden, found, pairs)
    except PodiumError as error:
        line["error"] = str(error)
    return line


def is_verified(line: Mapping[str, Any]) -> bool:
    """Say whether the cause was gone with the change, and nothing got slower."""
    change = line.get("applied") or {}
    bad = {"made it worse", "slower"}
    return change.get("afterwards") == "healthy" and not bad & {change["outcome"], change.get("difference")}


def summary(lines: list[dict[str, Any]]) -> dict[str, int]:
    """Count what was named and what was shown."""
    planted = [line for line in lines if line["planted"]]
    healthy = [line for line in lines if not line["planted"]]
    return {
        "planted": len(planted),
        "named": sum(line.get("named") == [line["planted"]] for line in planted),
        "healthy": len(healthy),
        "false_names": sum(len(line.get("named", ())) for line in healthy),
        "verified": sum(is_verified(line) for line in planted),
        "faster": sum(
            (line.get("applied") or {}).get("outcome") == "helped"
            or (line.get("applied") or {}).get("difference") == "faster"
            for line in planted
        ),
        "errors": sum("error" in line for line in lines),
    }


def main() -> int:
    """Plant all, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="blocks of each side of a trial")
    parser.add_argument("--only", type=int, help="number of one cause; 0 for the healthy ones")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/diagnosis.json"))
    options = parser.parse_args()
    chosen = [plant for plant in (*PLANTS, *HEALTHY) if options.only is None or (plant.number or 0) == options.only]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for plant in chosen:
            lines.append(looked_at(Garden(Path(folder)), plant, options.pairs))
            print(json.dumps(lines[-1]), flush=True)
    counted = summary(lines)
    print(json.dumps(counted))
    if options.only is None:
        command = f"python -m benchmarks.diagnosis --pairs {options.pairs}"
        result = {"command": command, "provenance": _provenance(), "summary": counted, "deployments": lines}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    is_held = counted["named"] >= min(BARS["named"], counted["planted"]) and not counted["false_names"]
    return 0 if is_held and not counted["errors"] else 1


def _provenance() -> dict[str, str]:
    from benchmarks.provenance import provenance

    return {name: value for name, value in provenance().items() if name != "cluster"}


if __name__ == "__main__":
    sys.exit(main())
