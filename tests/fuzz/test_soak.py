"""Hours in minutes: good, malformed and canceled requests at a constant rate, and nothing grows.

`PODIUM_SOAK_S` sets the seconds (600 where it is not set). Memory, files, threads and series are sampled every
second; a slope is fitted to the second half. The control is a build that keeps a kilobyte of every request.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.contract.conftest import Starter, start, vector_folder
from tests.contract.malformed.generator import cases_of
from tests.contract.openloop import percentile, play, request_of
from tests.contract.procfs import Cost
from tests.contract.server import Server
from tests.contract.test_thousand import exchanged

__all__ = ["start", "vector_folder"]

SOAK_S = float(os.environ.get("PODIUM_SOAK_S", "600"))
RATE = 150.0
BODY = json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}).encode()

pytestmark = pytest.mark.timeout(3 * SOAK_S + 300)


@dataclass
class Samples:
    """What was seen once a second."""

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def slope(self) -> float:
        """Bytes of memory a second in the second half."""
        half = len(self.seconds) // 2
        return float(np.polyfit(self.seconds[half:], self.memory[half:], 1)[0])


def watch(server: Server, samples: Samples, done: threading.Event) -> None:
    cost = Cost(server.process.pid)
    while not done.wait(1.0):
        samples.seconds.append(time.monotonic())
        samples.memory.append(cost.resident())
        samples.files.append(cost.files())
        samples.threads.append(cost.threads())


def disturb(server: Server, done: threading.Event, counts: list[int]) -> None:
    """One malformed request in nine good ones, and one that leaves in forty."""
    cases = [
        case
        for group in "ABCEF"
        for case in cases_of(group)
        if len(case.data) < 20_000 and b"/tinyimg" not in case.data
    ]
    number = 0
    while not done.wait(8 / RATE):
        exchanged(server.http_port, cases[number % len(cases)])
        if number % 4 == 0:
            with server.connect() as leaving:
                leaving.sendall(request_of(BODY))
        number += 1
    counts.append(number)


def soaked(server: Server, seconds: float) -> tuple[Samples, list[float], int]:
    """Load a server for so long; give what was seen, the times of the good answers, and how many failed.

    Who is told to come again has not failed: where the machine stalls, the queue fills.
    """
    samples, done, counts = Samples(), threading.Event(), list[int]()
    helpers = [
        threading.Thread(target=watch, args=(server, samples, done)),
        threading.Thread(target=disturb, args=(server, done, counts)),
    ]
    for helper in helpers:
        helper.start()
    try:
        run = play(server.http_port, BODY, lambda body: b'"label":"cheese"' in body, rate=RATE, seconds=seconds)
    finally:
        done.set()
        for helper in helpers:
            helper.join()
    assert counts[0] > 0
    ordered = sorted(run.outcomes, key=lambda each: each.due_s)
    return (
        samples,
        [each.took_s for each in ordered],
        sum(not each.is_right and each.status != 503 for each in run.outcomes),
    )


@pytest.mark.row(
    "R24", "90 % good, 8 % malformed, 2 % canceled: 0 failed, memory slope ≤ 5 MiB/h × 6, files and threads flat"
)
def test_nothing_grows(start: Starter, vector_folder: Path, record_property: Callable[[str, object], None]) -> None:
    server = start(vector_folder)
    series = len(server.ask("GET", "/metrics", port=server.metrics_port).body.splitlines())
    soaked(server, min(20.0, SOAK_S / 4))
    samples, times, failed = soaked(server, SOAK_S)
    assert failed == 0
    half = len(samples.memory) // 2
    late = samples.memory[half:]
    hourly = samples.slope() * 3600 / (1 << 20)
    assert max(late) - sum(late) / len(late) <= max(0.05 * max(late), 20 << 20)
    # The shorter the run, the more a page or two weigh: six times the hour's limit in ten minutes.
    assert hourly <= 30 * max(1.0, 600 / SOAK_S)
    assert max(samples.files[half:]) <= max(samples.files[:half]) + 10
    assert max(samples.threads[half:]) <= max(samples.threads[:half])
    assert len(server.ask("GET", "/metrics", port=server.metrics_port).body.splitlines()) <= series + 200
    third = len(times) // 3
    first, last = (percentile(part, 0.99) * 1000 for part in (times[:third], times[-third:]))
    told = f"{SOAK_S:.0f} s, {len(times):,} good, 0 failed; {hourly:+.1f} MiB/h, +{(late[-1] - late[0]) >> 10} KiB"
    record_property("R24", f"{told}; p99 {first:.1f} → {last:.1f} ms")


@pytest.mark.control("R24")
def test_a_build_that_keeps_a_kilobyte_a_request_grows(start: Starter, vector_folder: Path) -> None:
    server = start(vector_folder, "--without", "memory", program="tests.contract.stub")
    samples, _, _ = soaked(server, min(60.0, SOAK_S))
    assert samples.slope() * 3600 / (1 << 20) > 30 * max(1.0, 600 / SOAK_S)
