"""Samples: both clocks, what counts as a miss, and the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import GeneratorError
from loadtest.samples import ENDINGS, NO_ANSWER, NOT_SENT, Samples, read_samples, write_samples
from tests.loads import MS, TIMEOUT_NS, mixed_samples

# intended, start, end in ms; status; right; is it a miss with a time-out of 2 s; over 100 ms too
CASES = [
    (0, 1, 50, 200, True, False, False),
    (10, 11, 111, 200, True, False, True),
    (20, 21, 120, 200, True, False, False),
    (30, 31, 40, 200, False, True, True),
    (40, 41, 50, 503, False, True, True),
    (45, 46, 50, 302, True, True, True),
    (50, 51, 2051, NO_ANSWER, False, True, True),
    (60, 2000, 2100, 200, True, True, True),
    (70, 900, 900, NOT_SENT, False, True, True),
    (80, 80, 2080, 200, True, False, True),
]


def cases() -> Samples:
    table = np.array([row[:3] for row in CASES], dtype=np.int64) * MS
    return Samples(
        n=np.arange(len(CASES)),
        intended_ns=table[:, 0],
        start_ns=table[:, 1],
        end_ns=table[:, 2],
        status=np.array([row[3] for row in CASES], dtype=np.int64),
        ok=np.array([row[4] for row in CASES]),
        block=np.zeros(len(CASES), dtype=np.int64),
    )


def test_the_two_clocks_differ_by_the_lateness() -> None:
    samples = cases()
    assert samples.latency_intended_ns[7] == 2040 * MS
    assert samples.latency_actual_ns[7] == 100 * MS
    assert np.array_equal(samples.latency_intended_ns - samples.latency_actual_ns, samples.lateness_ns)


def test_why_no_answer_came_is_kept_through_files_choices_and_joins(tmp_path: Path) -> None:
    some = cases()
    refused, reset = ENDINGS.index("refused"), ENDINGS.index("reset")
    # What was answered has no ending, whatever stands there.
    status = np.where(np.arange(len(CASES)) < 4, NO_ANSWER, some.status)
    ending = np.array([refused, reset, refused, 0, *[refused] * (len(CASES) - 4)], dtype=np.int64)
    known = replace(some, status=status, ending=ending)
    write_samples(tmp_path / "samples.bin", known)
    read = read_samples(tmp_path / "samples.bin")
    assert read.unanswered == known.unanswered == {"unknown": 1, "refused": 3, "reset": 1}
    assert known.select(slice(0, 2)).unanswered == {"refused": 1, "reset": 1}
    joined = Samples.joined([some.in_block(1), known])
    assert joined.unanswered == {"unknown": 2, "refused": 3, "reset": 1}
    assert joined.ending[: len(CASES)].tolist() == ending.tolist()
    # A generator that does not tell.
    assert some.unanswered == {"unknown": 1}


def test_misses_are_non_answers_refusals_wrong_answers_and_late_ones() -> None:
    samples = cases()
    assert samples.misses(TIMEOUT_NS).tolist() == [row[5] for row in CASES]
    assert samples.misses_over(100 * MS, TIMEOUT_NS).tolist() == [row[6] for row in CASES]


def test_a_miss_is_recorded_at_the_time_out_at_least() -> None:
    samples = cases()
    intended = samples.recorded_intended_ns(TIMEOUT_NS) // MS
    assert intended.tolist() == [50, 101, 100, 2000, 2000, 2000, 2001, 2040, 2000, 2000]
    actual = samples.recorded_actual_ns(TIMEOUT_NS) // MS
    assert actual.tolist() == [49, 100, 99, 2000, 2000, 2000, 2000, 100, 2000, 2000]


def test_what_left_and_what_was_answered_are_told_apart() -> None:
    samples = cases()
    assert int(samples.sent.sum()) == 9
    assert int(samples.answered.sum()) == 8
    assert int(samples.good.sum()) == 5


def test_in_flight_counts_what_is_due_and_not_over() -> None:
    at = np.array([-1, 0, 49, 50, 1000, 3000], dtype=np.int64) * MS
    assert cases().in_flight(at).tolist() == [0, 1, 5, 3, 3, 0]


def test_runners_and_blocks_are_joined_in_order() -> None:
    whole = mixed_samples(100)
    even = whole.select(whole.n % 2 == 0)
    odd = whole.select(whole.n % 2 == 1)
    assert same(Samples.joined([odd, even]), whole)
    blocks = Samples.joined([whole.in_block(1), whole.in_block(0)])
    assert blocks.block.tolist() == [0] * 100 + [1] * 100
    assert same(blocks.select(slice(100, None)).in_block(0), whole)
    assert len(Samples.joined([])) == 0


def same(left: Samples, right: Samples) -> bool:
    names = ("n", "intended_ns", "start_ns", "end_ns", "status", "ok", "block")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def test_a_sample_file_reads_back_with_its_blocks(tmp_path: Path) -> None:
    samples = Samples.joined([mixed_samples(50), mixed_samples(30, seed=2).in_block(4)])
    write_samples(tmp_path / "s", samples)
    assert same(read_samples(tmp_path / "s"), samples)
    assert (tmp_path / "s").stat().st_size == 16 + 80 * 40


def test_a_file_that_is_missing_cut_off_or_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"

    def refusal() -> str:
        with pytest.raises(GeneratorError) as refused:
            read_samples(path)
        assert "played again" in refused.value.hint
        return str(refused.value).removeprefix(f"{path} ")

    assert refusal() == "cannot be read: No such file or directory"
    write_samples(path, mixed_samples(5))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert refusal() == "is cut off"
    path.write_bytes(b"x" * len(whole))
    assert refusal() == "is not a sample file"
