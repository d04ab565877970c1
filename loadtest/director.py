"""A plan of load for a fleet that no race leads: hands it to the runners of a results server and says what came of it.

`python -m loadtest.director --plan plan.json --results http://HOST:8090 --runners 2`. What comes out is one JSON
document with exact percentiles over the requests of all runners. It is a measurement and no verdict: nothing is
warmed up, repeated or proven.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from loadtest.amounts import Duration
from loadtest.bounds import Bounds
from loadtest.errors import GeneratorError, LoadtestError, PlanError
from loadtest.fleet import Fleet
from loadtest.payloads import PayloadSet
from loadtest.profile import Protocol
from loadtest.schedule import MAX_RATE, constant, poisson, users_for
from loadtest.shot import Endpoint, Outcome, Shot
from loadtest.strict import StrictYaml

__all__ = ["Plan", "main", "perform", "read_plan", "summary"]

_AWAY_S = 60.0
_UP_S = 300.0
_NS = 1_000_000_000
_MS = 1_000_000
_QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9, "max": 100.0}


class Plan(StrictYaml):
    """One open-loop load; latency counts from the instant a request was meant to leave."""

    url: str = Field(pattern=r"^https?://[^/ ]+$", description="Scheme, host and port of the server.")
    model: str = Field(min_length=1, max_length=253, description="Name of the model in the path.")
    protocol: Protocol = Field(description="How a request is sent.")
    rate: float = Field(gt=0, le=MAX_RATE, description="Requests a second, of all runners together.")
    seconds: Duration = Field(alias="for", description="How long, as in 60s.")
    arrivals: Literal["poisson", "constant"] = Field("poisson", description="Gaps between requests.")
    timeout: Duration = Field("2s", validate_default=True, description="After this a request counts as unanswered.")
    seed: int = Field(7, ge=0, description="Of the arrivals and the choice of payloads.")
    data: dict[str, str] = Field(default_factory=dict, description="Payloads by file name, as text.")
    binary_data: dict[str, str] = Field(default_factory=dict, description="Payloads by file name, in base64.")

    @field_validator("rate", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("binary_data")
    @classmethod
    def _readable(cls, files: dict[str, str]) -> dict[str, str]:
        for name, text in files.items():
            try:
                base64.b64decode(text, validate=True)
            except binascii.Error as error:
                raise ValueError(f"{name} is not base64") from error
        return files

    @model_validator(mode="after")
    def _has_payloads(self) -> Plan:
        names = [*self.data, *self.binary_data]
        if not names:
            raise ValueError("data and binaryData are empty; give at least one payload")
        for name in names:
            if Path(name).name != name or names.count(name) > 1:
                raise ValueError(f"{name!r} is no file name, or stands twice")
        return self

    def payloads(self, folder: Path) -> PayloadSet:
        """Write the payloads into a folder of their own and collect them."""
        folder.mkdir(parents=True)
        for name, text in self.data.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, text in self.binary_data.items():
            (folder / name).write_bytes(base64.b64decode(text))
        return PayloadSet.from_mix([("*", 1.0)], folder, seed=self.seed)

    def shot(self) -> Shot:
        """Return what is to be played."""
        poisson_like = self.arrivals == "poisson"
        schedule = poisson(self.rate, self.seconds, self.seed) if poisson_like else constant(self.rate, self.seconds)
        sizes = [len(text.encode()) for text in self.data.values()]
        sizes += [len(base64.b64decode(text)) for text in self.binary_data.values()]
        users = users_for(self.rate, self.timeout, body_bytes=max(sizes))
        return Shot(
            "open", users=users, timeout_s=self.timeout, schedule=schedule, seconds=self.seconds, seed=self.seed
        )


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        PlanError: it cannot be read; names the key.
    """
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PlanError(f"the plan {path} cannot be read: {error.strerror}", "mount it, or name another") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{path}: {place}: {first['msg']}", "see loadtest/director.py for the keys") from error


class _Http:
    """Talks to the results server, whose absence is borne for a while."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> bytes:
        deadline = time.monotonic() + _AWAY_S
        while True:
            request = urllib.request.Request(  # noqa: S310
                self._url + path, data=body, headers=dict(headers or {}), method=method
            )
            try:
                with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                told = error.read().decode(errors="replace")[:500]
                raise GeneratorError(f"the results server answers {error.code} to {method} {path}: {told}") from error
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise GeneratorError(f"the results server {self._url} does not answer: {error}") from error
                time.sleep(0.3)


def perform(plan: Plan, fleet: Fleet, folder: Path) -> dict[str, Any]:
    """Wait for all runners, let them play the plan, and return what came of it.

    Raises:
        GeneratorError: runners stay away, or one failed.
        PlanError: it goes beyond the bounds of this load generator.
        ScheduleError: the plan's payloads do not fit its protocol.
    """
    shot = plan.shot()
    Bounds.from_environment().check(plan.url, schedule=shot.schedule, seconds=plan.seconds)
    payloads = plan.payloads(folder / "plan")
    # A payload of another protocol is refused here, and not by every runner.
    payloads.requests_as(plan.protocol)
    deadline = time.monotonic() + _UP_S
    while len(fleet.facts()) < fleet.runners:
        if time.monotonic() > deadline:
            there = len(fleet.facts())
            raise GeneratorError(
                f"{there} of {fleet.runners} runners came within {_UP_S:.0f} s",
                "kubectl get pods shows why the others do not run",
            )
        time.sleep(0.2)
    endpoint = Endpoint(plan.url, plan.protocol, plan.model)
    return summary(plan, fleet.play(endpoint, shot, payloads, workdir=folder))


def summary(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """Return what came of a plan, with exact percentiles: a miss counts at least as the time-out."""
    samples, generator = outcome.samples, outcome.generator
    sent = samples.select(samples.sent)
    latency = samples.recorded_intended_ns(outcome.timeout_ns)
    return {
        "schema": "podium.dev/load/v1",
        "target": {"url": plan.url, "model": plan.model, "protocol": plan.protocol},
        "planned": {"requests": outcome.planned, "seconds": plan.seconds, "rate": plan.rate},
        "sent": len(sent),
        "answered": int(samples.answered.sum()),
        "good": int(samples.good.sum()),
        "misses": int(samples.misses(outcome.timeout_ns).sum()),
        "dropped": outcome.dropped,
        "codes": {str(code): n for code, n in sorted(Counter(sent.status.tolist()).items())},
        "latency_ms": _percentiles(latency),
        "lateness_ms": _percentiles(sent.lateness_ns),
        "generator": {
            "tool": generator.tool,
            "version": generator.version,
            "runners": generator.runners,
            "nodes": list(generator.nodes),
            "cpu_seconds": round(generator.cpu_seconds, 3),
            "throttled": generator.throttled,
            "start_spread_ms": round(generator.start_spread_ns / _MS, 3),
        },
        "started": outcome.started,
        "seconds": round(outcome.seconds, 3),
    }


def _percentiles(values_ns: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, float] | None:
    if not len(values_ns):
        return None
    return {
        name: round(float(np.percentile(values_ns, q, method="inverted_cdf")) / _MS, 3)
        for name, q in _QUANTILES.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Play the plan; 0 when it was played, 1 when it was not, 2 when the plan is refused."""
    parser = argparse.ArgumentParser(prog="loadtest.director", description="Plays a plan with a fleet of runners.")
    parser.add_argument("--plan", type=Path, required=True, help="JSON file of the plan.")
    parser.add_argument("--results", required=True, help="URL of the results server.")
    parser.add_argument("--runners", type=int, required=True, help="How many runners will come.")
    parser.add_argument("--folder", type=Path, default=Path("/work"), help="Empty folder to work in.")
    options = parser.parse_args(arguments)
    send = _Http(options.results)
    fleet = Fleet(send, runners=options.runners)
    try:
        told = perform(read_plan(options.plan), fleet, options.folder)
    except LoadtestError as error:
        sys.stderr.write(f"error: {error.sentence}\n{f'→ {error.hint}' if error.hint else ''}\n")
        return 2 if isinstance(error, PlanError) else 1
    finally:
        # Whatever became of it, no runner shall wait for more; one that cannot be told ends with its Job.
        with contextlib.suppress(LoadtestError):
            fleet.end()
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
