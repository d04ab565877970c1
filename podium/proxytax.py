"""The proxy tax of a candidate: what each path from the load generator to its server takes more than the pod's own.

Asked once, after the warm-up, where the place has several paths. It judges nothing and ends nothing: what goes wrong
is a sentence in its place.
"""

from collections.abc import Sequence

import numpy as np

from loadtest.errors import LoadtestError
from loadtest.statistics import Floats, percentile, percentile_difference
from loadtest.statistics import Interval as Figure
from loadtest.turns import RATE, WayTimes
from podium.entry import Interval, PathTax, ProxyTax
from podium.errors import MachineError
from podium.measure import Course, Measurement
from podium.targets.target import ManyWays

__all__ = ["proxy_tax", "taxes"]

_NS_IN_MS = 1e6


def proxy_tax(shared: Measurement, course: Course) -> ProxyTax | None:
    """Ask a server along every path by turns and return what each takes; None where there is one path only."""
    target, confidence = shared.target, shared.profile.confidence
    if not isinstance(target, ManyWays):
        return None
    if shared.profile.protocol == "grpc":
        return ProxyTax(rate=RATE, confidence=confidence, note="paths are asked over HTTP only, and the load is gRPC")
    try:
        found = target.ask_by_turns(
            course.deployment, shared.payloads, timeout_s=shared.profile.timeout_s, workdir=shared.workdir
        )
    except (MachineError, LoadtestError) as error:
        note = f"the paths could not be asked: {error}"
        shared.say(f"{course.deployment.candidate.variant_id}: {note}")
        return ProxyTax(rate=RATE, confidence=confidence, note=note)
    return ProxyTax(rate=RATE, confidence=confidence, paths=taxes(found, confidence, seed=shared.seed))


def taxes(found: Sequence[WayTimes], confidence: float, *, seed: int) -> tuple[PathTax, ...]:
    """Return the figures of every path; differences are to the first, which is the pod's."""
    times_ms = [np.array(one.times_ns, dtype=np.float64) / _NS_IN_MS for one in found]
    return tuple(
        _tax(one, times, times_ms[0] if place else None, confidence, seed)
        for place, (one, times) in enumerate(zip(found, times_ms, strict=True))
    )


def _tax(one: WayTimes, times: Floats, pod: Floats | None, confidence: float, seed: int) -> PathTax:
    if not times.size:
        return PathTax(name=one.name, url=one.url, error=one.error or "no request was timed")
    above = [
        None if pod is None or pod.size != times.size else percentile_difference(times, pod, q, confidence, seed=seed)
        for q in (0.5, 0.9)
    ]
    return PathTax(
        name=one.name,
        url=one.url,
        requests=times.size,
        p50_ms=percentile(times, 0.5),
        p90_ms=percentile(times, 0.9),
        above_pod_p50_ms=_interval(above[0]),
        above_pod_p90_ms=_interval(above[1]),
    )


def _interval(found: Figure | None) -> Interval | None:
    return None if found is None else Interval(value=found.value, low=found.low, high=found.high)
