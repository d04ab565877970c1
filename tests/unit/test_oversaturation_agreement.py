"""The stop rule is written twice, in Python and in Go: one file of cases holds both to the same answers.

`PODIUM_REGENERATE=1` writes the file anew and fails; `go test` in `loadtest/xk6-hdr` reads it.
"""

import json
import os
from pathlib import Path

import numpy as np

from loadtest.oversaturation import points, stop_time
from loadtest.schedule import poisson

MS = 1_000_000
FILE = Path(__file__).parents[2] / "loadtest/xk6-hdr/testdata/oversaturation.json"
LOADS = (0.3, 0.7, 0.9, 1.05, 1.2, 2.0, 5.0)


def case(load: float, seed: int, *, stall: bool) -> dict[str, object]:
    """Look at ten seconds of a queue with one server at 40 requests a second."""
    intended = poisson(40.0, 10.0, seed)
    service = round(load / 40.0 * 1e9)
    end = np.empty_like(intended)
    busy = 0
    for index, arrival in enumerate(intended):
        busy = max(busy, int(arrival)) + service + (2_000 * MS if stall and index == 100 else 0)
        end[index] = busy
    at, in_flight, latency = points(intended, end, np.ones(len(end), dtype=np.bool_), 10_000 * MS)
    # The file holds whole milliseconds and microseconds; the rule shall see what the file says.
    latency = np.round(latency / 1000) * 1000
    stopped = stop_time(at, in_flight, latency)
    rows = zip((at // MS).tolist(), in_flight.astype(int).tolist(), (latency / 1000).tolist(), strict=True)
    return {
        "name": f"load {load:g}, seed {seed}" + (", with a stall" if stall else ""),
        "points": [[first, second, int(third)] for first, second, third in rows],
        "stop_ms": None if stopped is None else stopped // MS,
    }


def test_both_sides_are_held_to_the_same_cases() -> None:
    cases = [case(load, seed, stall=False) for load in LOADS for seed in (1, 2)]
    cases += [case(0.5, 3, stall=True)]
    text = "[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases) + "\n]\n"
    if os.environ.get("PODIUM_REGENERATE"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text)
        raise AssertionError(f"{FILE.name} was written anew; look at the difference")
    assert FILE.read_text() == text


def test_the_cases_hold_both_answers() -> None:
    stops = [one["stop_ms"] for one in json.loads(FILE.read_text())]
    assert None in stops
    assert sum(stop is not None for stop in stops) >= 4
