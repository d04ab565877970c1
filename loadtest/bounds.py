"""What a load generator may do at most, as its pod says: how fast, and whose Services.

Admission sees a Job and not the orders that its runners are given later. So the Job carries the bounds in its
environment, where a policy reads them, and the runner refuses what is beyond them. Time is bounded by the Job itself.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np

from loadtest.errors import PlanError
from loadtest.schedule import Integers

__all__ = ["MAX_RATE_VARIABLE", "NAMESPACE_VARIABLE", "RUNNERS_VARIABLE", "Bounds"]

MAX_RATE_VARIABLE = "LOADTEST_MAX_RATE"
NAMESPACE_VARIABLE = "LOADTEST_NAMESPACE"
RUNNERS_VARIABLE = "RUNNERS"
_NS = 1_000_000_000
# Arrivals by chance are more than their mean in some second: six standard deviations, and ten for small numbers.
_DEVIATIONS = 6.0
_FEW = 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of all runners of a Job together.

    Attributes:
        rate: most requests a second; None is no bound.
        namespace: whose Services may be loaded; empty is anybody.
        runners: how many runners share the rate; None where one says what all of them play.
    """

    rate: float | None = None
    namespace: str = ""
    runners: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Bounds:
        """Read the bounds of this process.

        Raises:
            PlanError: a bound that cannot be read, which must not become none.
        """
        told = environment.get(MAX_RATE_VARIABLE)
        if told is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", told):
            raise PlanError(f"{MAX_RATE_VARIABLE} is {told!r}", "write requests a second as a whole number above 0")
        shared = environment.get(RUNNERS_VARIABLE)
        if shared is not None and not re.fullmatch(r"[1-9][0-9]{0,3}", shared):
            raise PlanError(f"{RUNNERS_VARIABLE} is {shared!r}", "write how many runners there are, as a whole number")
        return cls(
            None if told is None else float(told),
            environment.get(NAMESPACE_VARIABLE, ""),
            None if shared is None else int(shared),
        )

    def check(
        self,
        url: str,
        *,
        schedule: Integers | None = None,
        seconds: float | None = None,
        rate: float | None = None,
        players: int | None = None,
    ) -> None:
        """Refuse a load that goes beyond.

        No runner sees what the others are told. So each keeps to its part of the rate: an order for as many players as
        there are runners may have the whole, one for a single player the part of one.

        Args:
            url: what is to be loaded.
            schedule: intended starts in ns; None where there is none.
            seconds: length of the schedule's window.
            rate: requests a second, for a generator that takes them in place of a schedule.
            players: how many runners play this load, each an equal share; None is all of them.

        Raises:
            PlanError: a foreign host, too many requests a second, or a load that has no rate.
        """
        self._check_host(url)
        if self.rate is None:
            return
        part = 1.0 if self.runners is None or players is None else players / self.runners
        allowed = self.rate * part
        if rate is not None and not 0 < rate <= allowed:
            raise PlanError(
                f"{rate:g} requests a second are above the bound of {allowed:g}, or none",
                "lower the rate, or let all runners play it" if part < 1 else "lower the rate",
            )
        if schedule is not None:
            _check_schedule(schedule, allowed, seconds or 0.0)
        elif rate is None:
            raise PlanError(
                "a closed loop sends as fast as it is answered, and this load generator is bound to a rate",
                "play an open load, at a rate",
            )

    def _check_host(self, url: str) -> None:
        if not self.namespace:
            return
        # As the policies of the chart `platform` read it: a name of one label, or of this namespace; never an address.
        own = rf"[a-z]([-a-z0-9]*[a-z0-9])?(\.{re.escape(self.namespace)}(\.svc(\.cluster\.local)?)?)?"
        try:
            host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
        except ValueError:
            host = ""
        if not re.fullmatch(own, host):
            raise PlanError(
                f"{url} is no Service of the namespace {self.namespace}, and this load generator is bound to that",
                f"name one, as in http://food11-predictor.{self.namespace}",
            )


def _check_schedule(arrivals: Integers, rate: float, seconds: float) -> None:
    arrivals = np.sort(arrivals)
    whole = max(seconds, 1.0)
    # How many arrivals there are within a second of each.
    within = np.searchsorted(arrivals, arrivals + _NS) - np.arange(len(arrivals))
    counts = (int(within.max(initial=0)), rate, "within a second"), (len(arrivals), rate * whole, f"in {whole:g} s")
    for count, allowed, span in counts:
        if count > allowed + _DEVIATIONS * math.sqrt(allowed) + _FEW:
            raise PlanError(f"{count} requests {span} are above the bound of {rate:g} a second", "lower the rate")
