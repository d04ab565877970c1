"""Every parser of what strangers send, searched for a crash, a hang above two seconds or memory beyond the limit.

`PODIUM_FUZZ_S` (seconds a target, 300 where it is not set, 10 min at night) and `PODIUM_FUZZ_SEED` set the
search; an input that is found is printed and belongs into `tests/unit/test_fuzz_found.py`.
"""

import os
import random
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from tests.artifacts import served_model, vector_artifact
from tests.fuzz.targets import REFUSALS, SEEDS, Target, mutated, targets

BUDGET_S = float(os.environ.get("PODIUM_FUZZ_S", "300"))
SEED = int(os.environ.get("PODIUM_FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))
HANG_S = 2.0
MEMORY_KIB = 256 << 10

pytestmark = pytest.mark.timeout(4 * BUDGET_S + 300)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(served_model(vector_artifact(tmp_path_factory.mktemp("vector"))))


def search(target: Target, seeds: tuple[bytes, ...], seconds: float, seed: int) -> tuple[int, int]:
    """Try mutations for so long; give how many, and how many were accepted.

    Raises:
        AssertionError: One did something else than being accepted or refused.
    """
    chance = random.Random(seed)
    corpus = list(seeds)
    tried = accepted = 0
    end = time.monotonic() + seconds
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.monotonic() < end:
        data = mutated(chance.choice(corpus), chance)
        # Of the processor: nothing here waits, and a busy machine is no hang.
        began = time.process_time()
        try:
            target(data)
            accepted += 1
            if len(corpus) < 500:
                corpus.append(data)
        except (*REFUSALS, DecodeError):
            pass
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; seed {seed}, input {data!r}") from error
        if time.process_time() - began > HANG_S:
            raise AssertionError(f"took more than {HANG_S} s; seed {seed}, input {data!r}")
        tried += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEMORY_KIB, f"grew by {grown} KiB; seed {seed}"
    return tried, accepted


@pytest.mark.row(
    "S31", "image gate, HTTP, V1, V2, binary tensors, gRPC contents: 0 crashes, 0 hangs > 2 s, memory bounded"
)
@pytest.mark.parametrize("name", SEEDS)
def test_nothing_but_refusals(
    found: dict[str, Target], name: str, record_property: Callable[[str, object], None]
) -> None:
    tried, accepted = search(found[name], SEEDS[name], BUDGET_S, SEED)
    assert tried > 10 * BUDGET_S
    assert accepted > 0, "some mutations are harmless"
    record_property("S31", f"{name}: {tried:,} inputs in {BUDGET_S:.0f} s, {accepted:,} accepted")


@pytest.mark.control("S31")
def test_a_planted_bug_is_found(found: dict[str, Target]) -> None:
    whole = found["V2"]

    def planted(data: bytes) -> object:
        if b"BYTES" in data and b"shape" in data:
            raise KeyError("planted")
        return whole(data)

    with pytest.raises(AssertionError, match="KeyError: 'planted'; seed 31"):
        search(planted, SEEDS["V2"], 60, 31)


def test_the_searches_say_where_they_began(tmp_path: Path) -> None:
    assert mutated(b"abcdef" * 9, random.Random(5)) == mutated(b"abcdef" * 9, random.Random(5))
