"""Why the recorded delay is 0: a free engine that waits for more work answers later and carries no more.

While the engine computes, work gathers anyhow, and the more of it the nearer the load is to what it carries. Simulated
with the batcher's rule (one engine, batches of what waits, first come first) for engines whose batches cost mostly once
and for those whose batches cost by the item, at three loads.
"""

import random
from collections.abc import Callable

import pytest

MOST = 8
COUNT = 20_000
# Milliseconds of a batch by its items: what OpenVINO's and ONNX Runtime's curves lie between.
CURVES: dict[str, Callable[[int], float]] = {
    "by the batch": lambda items: 1.0 + 0.05 * items,
    "both": lambda items: 0.5 + 0.5 * items,
    "by the item": lambda items: 0.1 + 0.9 * items,
}


def played(curve: Callable[[int], float], *, load: float, delay_ms: float, most: int = MOST) -> tuple[float, float]:
    """Give the 99th percentile of the answers' times and the time at which the last was there, in milliseconds."""
    chance = random.Random(7)
    capacity = MOST / curve(MOST)
    now, arrivals = 0.0, []
    for _ in range(COUNT):
        now += chance.expovariate(load * capacity)
        arrivals.append(now)
    free, done, times = 0.0, 0, []
    while done < COUNT:
        # The engine is free and something is there; it waits until the batch is full or the first has waited enough.
        start = max(free, arrivals[done])
        full = arrivals[min(done + most, COUNT) - 1]
        if full > start:
            start = max(start, min(full, arrivals[done] + delay_ms))
        items = 1
        while items < most and done + items < COUNT and arrivals[done + items] <= start:
            items += 1
        free = start + curve(items)
        times += [free - arrivals[done + place] for place in range(items)]
        done += items
    return sorted(times)[int(0.99 * COUNT)], free


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", CURVES)
def test_waiting_while_the_engine_is_free_never_pays(name: str, load: float) -> None:
    curve = CURVES[name]
    at_once, ended = played(curve, load=load, delay_ms=0.0)
    for share in (0.25, 0.5, 1.0, 2.0):
        later, also_ended = played(curve, load=load, delay_ms=share * curve(MOST))
        # Two per cent is what twenty thousand requests leave open.
        assert later > 0.98 * at_once
        assert ended <= 1.01 * also_ended


def test_not_gathering_at_all_does_cost() -> None:
    """The control: the simulation sees what batches are for."""
    curve = CURVES["by the batch"]
    gathered, ended = played(curve, load=0.9, delay_ms=0.0)
    alone, much_later = played(curve, load=0.9, delay_ms=0.0, most=1)
    assert alone > 100 * gathered
    assert much_later > 4 * ended
