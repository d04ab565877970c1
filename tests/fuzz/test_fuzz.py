"""Every parser of what strangers send, searched for a crash, a hang above two seconds or memory beyond the limit.

`PODIUM_FUZZ_S` (seconds a target, 300 where it is not set, 10 min at night) and `PODIUM_FUZZ_SEED` set the
search; an input that is found is printed and kept in `.podium/fuzz`, and belongs into `tests/unit/test_fuzz_found.py`.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

from tests.artifacts import served_model, vector_artifact
from tests.fuzz.hangs import KEPT, HangError, keep, watched
from tests.fuzz.targets import REFUSALS, SEEDS, Target, mutated, targets

BUDGET_S = float(os.environ.get("PODIUM_FUZZ_S", "300"))
SEED = int(os.environ.get("PODIUM_FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))
HANG_S = 2.0
MEMORY_KIB = 256 << 10

pytestmark = pytest.mark.timeout(4 * BUDGET_S + 300)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(served_model(vector_artifact(tmp_path_factory.mktemp("vector"))))


def search(target: Target, seeds: tuple[bytes, ...], seconds: float, seed: int, kept: Path = KEPT) -> tuple[int, int]:
    """Try mutations for so long; give how many, and how many were accepted.

    Raises:
        AssertionError: One did something else than being accepted or refused.
    """
    chance = random.Random(seed)
    corpus = list(seeds)
    tried = accepted = 0
    end = time.monotonic() + seconds
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with watched(HANG_S, kept) as begin:
        while time.monotonic() < end:
            data = mutated(chance.choice(corpus), chance)
            begin(data)
            try:
                target(data)
                accepted += 1
                if len(corpus) < 500:
                    corpus.append(data)
            except (*REFUSALS, DecodeError):
                pass
            except HangError as error:
                told = f"took more than {HANG_S} s; seed {seed}, kept as {keep(data, kept)}, input {data!r}"
                raise AssertionError(told) from error
            except Exception as error:
                told = f"{type(error).__name__}: {error}; seed {seed}, kept as {keep(data, kept)}, input {data!r}"
                raise AssertionError(told) from error
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
def test_a_planted_bug_is_found(found: dict[str, Target], tmp_path: Path) -> None:
    whole = found["V2"]

    def planted(data: bytes) -> object:
        if b"BYTES" in data and b"shape" in data:
            raise KeyError("planted")
        return whole(data)

    with pytest.raises(AssertionError, match="KeyError: 'planted'; seed 31"):
        search(planted, SEEDS["V2"], 60, 31, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert b"BYTES" in kept.read_bytes()


@pytest.mark.control("S31")
def test_a_planted_loop_without_end_is_ended_and_kept(tmp_path: Path) -> None:
    def planted(data: bytes) -> object:
        while b"shape" in data:
            try:
                sum(range(1000))
            except Exception:
                return None
        return None

    with pytest.raises(AssertionError, match=r"took more than 2.0 s; seed 31, kept as .*, input b'"):
        search(planted, (b"shape" * 40,), 120, 31, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert b"shape" in kept.read_bytes()


_ENDLESS_IN_C = """
import faulthandler, itertools, sys
from pathlib import Path
from tests.fuzz.test_fuzz import search
faulthandler.enable()
search(lambda data: sum(itertools.repeat(0)), (b"abc" * 9,), 120, 31, Path(sys.argv[1]))
"""


@pytest.mark.control("S31")
def test_a_loop_that_no_signal_reaches_is_aborted_and_kept(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ENDLESS_IN_C, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode == -signal.SIGABRT, ended.stderr
    (kept,) = tmp_path.iterdir()
    assert f"kept as {kept}: {kept.read_bytes()!r}" in ended.stderr
    # Where it was, as faulthandler has it.
    assert "in search" in ended.stderr


def test_the_searches_say_where_they_began(tmp_path: Path) -> None:
    assert mutated(b"abcdef" * 9, random.Random(5)) == mutated(b"abcdef" * 9, random.Random(5))
