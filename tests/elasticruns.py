"""Records of elastic runs for tests, counted by hand: what is not said is a quiet run of one pod. Test input only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from podium.entry import Money
from podium.scoring.record import ClauseMisses, ElasticRun, Generated, Scaled, Start, Subject

__all__ = ["HPA", "elastic_run", "start", "subject"]

HPA: dict[str, Any] = {
    "name": "a",
    "kind": "hpa",
    "metric": "cpu",
    "target": 50.0,
    "replicas": {"min": 1, "max": 4},
    "controller": {"syncPeriod": "5s", "cpuInitializationPeriod": "20s", "initialReadinessDelay": "5s"},
    "sampling": {"resolution": "10s", "window": "10s", "delay": "5s"},
}


def subject(**changes: Any) -> Subject:
    """Return what was scaled: pods that hold 10 requests a second each, at 3.60 EUR an hour."""
    told: dict[str, Any] = {
        "variant": "tiny-ort-fp32",
        "address": "0a1b2c3d",
        "node_class": "epyc",
        "emulated": False,
        "resources": {"cpu": "200m", "memory": "256Mi"},
        "slo": "p99<=250ms, errors<=10%",
        "safe_rate": 10.0,
        "safe_rate_from": "given with --safe-rate",
        "pod_hour": Money(value=3.6, currency="EUR"),
        "profile_name": "step",
        "profile_digest": "d" * 64,
        "rate": 20.0,
        "protocol": "v2-json",
        "payloads": "p" * 64,
        "timeout_s": 2.0,
    }
    return Subject.model_validate({**told, **changes})


def elastic_run(
    offered: Sequence[int],
    *,
    policy: str = "a",
    repeat: int = 1,
    slow: Sequence[int] | None = None,
    errors: Sequence[int] | None = None,
    refused: Sequence[int] | None = None,
    ready: Sequence[int] | None = None,
    wanted: Sequence[int] | None = None,
    paid: Sequence[int] | None = None,
    p50_ms: float = 20.0,
    **changes: Any,
) -> ElasticRun:
    """Return a record.

    Args:
        offered: requests of each second; also what was expected.
        policy: its name.
        repeat: its repeat.
        slow: of them, those above the latency clause, errors included; as many as `errors` without.
        errors: those without a right answer within the time-out.
        refused: those that were turned away.
        ready: pods that served.
        wanted: pods that were asked for; those that served without.
        paid: pods that existed; those that served without.
        p50_ms: of every second.
        changes: other fields of the record.
    """
    nothing, one = [0] * len(offered), [1] * len(offered)
    bad = errors or nothing
    clauses = (
        ClauseMisses(clause="p99<=250ms", allowed=0.01, missed=tuple(slow or bad)),
        ClauseMisses(clause="errors<=10%", allowed=0.1, missed=tuple(bad)),
    )
    serving = tuple(ready or one)
    told: dict[str, Any] = {
        "session": "autoscale-tiny-1",
        "policy": policy,
        "policy_file": {**HPA, "name": policy},
        "mode": "Standard",
        "minimum": 1,
        "maximum": 4,
        "stabilization_s": 30.0,
        "repeat": repeat,
        "played": repeat,
        "seed": 7,
        "subject": subject(),
        "generated": Generated(
            rates=tuple(float(count) for count in offered),
            offered=tuple(offered),
            answered=tuple(count - lost for count, lost in zip(offered, bad, strict=True)),
            refused=tuple(refused or nothing),
            clauses=clauses,
            p50_ms=tuple(p50_ms if count else None for count in offered),
            p99_ms=tuple(3 * p50_ms if count else None for count in offered),
            in_flight=tuple(nothing),
            codes={"200": sum(offered) - sum(bad), "503": sum(bad)},
        ),
        "scaled": Scaled(wanted=tuple(wanted or serving), ready=serving, paid=tuple(paid or serving)),
        "starts": (),
        "pods": (),
        "readings": (),
        "troubles": (),
        "passport": (),
        "void": None,
        "generator": {},
        "autoscaler": {},
        "environment": {"cpus": 0.2, "labels": ["kind: one machine, functional and relative"]},
        "fingerprint": "f" * 12,
        "settled_s": 9.0,
        "began_unix_s": 1_795_000_000.0,
        "started": "2026-11-22T09:00:00+00:00",
    }
    return ElasticRun.model_validate({**told, **changes})


def start(pod: str, *marks: float | None) -> Start:
    """Return the marks of a start: wanted, bound, present, loaded, ready, answered."""
    names = ("wanted_s", "bound_s", "present_s", "loaded_s", "ready_s", "answered_s")
    seen: Mapping[str, float | None] = dict(zip(names, marks, strict=True))
    return Start.model_validate({"pod": pod, **seen})
