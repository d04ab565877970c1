"""A bench that is played against a simulated server, for what reads its records."""

from pathlib import Path

from loadtest.shot import Endpoint
from podium.bench import run_bench
from podium.benchplan import BenchPlan
from tests.loads import payloads
from tests.simulated import HOLD, SINGLE, SimulatedTarget, profile

__all__ = ["bench_played"]


def bench_played(root: Path, target: SimulatedTarget, protocol: str, model: str) -> str:
    """Play a bench of one model at 40/s below a folder, and return its name."""
    plan = BenchPlan(
        endpoint=Endpoint("http://127.0.0.1:1", protocol, model),
        profile=profile(SINGLE, HOLD),
        payloads=payloads(root / "photos"),
        rate=40.0,
        slo=None,
        name="mine",
        runners=1,
        seed=5,
        runs=root / "runs",
        labels=(),
    )
    return run_bench(plan, target=target)[0].name
