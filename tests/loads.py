"""Loads for tests: payload folders, simulated samples, programs in a generator's place. Test input only."""

import sys
from pathlib import Path

import numpy as np

from loadtest.payloads import PayloadSet
from loadtest.samples import NO_ANSWER, NOT_SENT, Samples
from loadtest.schedule import poisson
from loadtest.shot import GeneratorFacts, Outcome, Shot

NS = 1_000_000_000
MS = 1_000_000
TIMEOUT_NS = 2 * NS


def payloads(folder: Path, count: int = 3, *, ending: str = "jpg") -> PayloadSet:
    """Write payload files of different sizes and collect them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index:03d}.{ending}").write_bytes(bytes([index % 256]) * (100 * (index + 1)))
    return PayloadSet.from_mix([(f"*.{ending}", 1.0)], folder, seed=7)


def mixed_samples(count: int = 400, *, seed: int = 1, rate: float = 40.0) -> Samples:
    """Return samples with every kind of ending: right, wrong, refused, unanswered, never sent, too late."""
    random = np.random.default_rng(seed)
    intended = poisson(rate, 2 * count / rate, seed)[:count]
    start = intended + random.integers(50_000, 3 * MS, count)
    latency = (10 ** random.uniform(5.8, 9.4, count)).astype(np.int64)
    status = random.choice([200, 200, 200, 200, 503, NO_ANSWER, NOT_SENT], count).astype(np.int64)
    ok = (status == 200) & (random.random(count) < 0.9)
    end = np.where(status == NOT_SENT, start, start + latency)
    return Samples(np.arange(count), intended, start, end, status, ok, np.zeros(count, dtype=np.int64))


def outcome(samples: Samples, *, seconds: float = 10.0, timeout_s: float = 2.0, stopped: str | None = None) -> Outcome:
    """Return the outcome of an open shot with these samples."""
    shot = Shot("open", users=8, timeout_s=timeout_s, schedule=samples.intended_ns, seconds=seconds, seed=5)
    facts = GeneratorFacts("k6", "v2.2.0", 1, 0.5, seconds + 0.3, 0, 90_000_000, int(samples.sent.sum()), 0, (0,))
    last = float(samples.end_ns.max()) / NS
    return Outcome(samples, len(samples), 2, stopped, facts, "2026-01-02T03:04:05.123456789Z", last, shot)


def program(folder: Path, code: str, name: str = "program") -> Path:
    """Write an executable file that runs Python code."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return path
