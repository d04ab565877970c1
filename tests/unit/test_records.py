"""Run records: what they hold, that they appear whole and last, and that they are never edited."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import RecordError, WriteError
from loadtest.histogram import Histogram, read_log
from loadtest.records import ProofRecord, RunIdentity, RunRecord, read_record, record_from, write_run
from loadtest.samples import Samples, read_samples
from loadtest.shot import Endpoint, Outcome
from tests.loads import TIMEOUT_NS, mixed_samples, outcome

IDENTITY = RunIdentity(
    id="01-hold",
    race="pie-1",
    variant="pie-ort-int8",
    address="ab12",
    node_class="local",
    phase="hold",
    level="quick",
    profile_digest="cd34",
    fingerprint="0123456789ab",
    node="here",
)
ENDPOINT = Endpoint("http://127.0.0.1:8080", "v1-image", "pie")


def record(outcomes: list[Outcome], **changes: object) -> RunRecord:
    return record_from(outcomes, IDENTITY, ENDPOINT, file="01-hold.hdr", rate=40.0, **changes)  # type: ignore[arg-type]


def test_a_record_counts_every_request_once() -> None:
    samples = mixed_samples(400)
    found = record([outcome(samples)])
    assert sum(found.codes.values()) == 400
    assert found.codes["-1"] == int((samples.status == -1).sum())
    assert found.sent == 400 - found.codes["-1"]
    assert found.answered == found.codes["200"] + found.codes["503"]
    assert found.wrong == int(((samples.status == 200) & ~samples.ok).sum())
    assert found.misses == int(samples.misses(TIMEOUT_NS).sum())
    assert found.planned.model_dump() == {"requests": 400, "seconds": 10.0, "rate": 40.0}
    assert (found.schedule_seed, found.dropped, found.blocks) == (5, 2, 1)
    assert (found.generator.node, found.generator.tool, found.target.url) == ("here", "k6", ENDPOINT.url)


def test_percentiles_are_those_of_the_recorded_latencies_on_each_clock() -> None:
    samples = mixed_samples(400)
    found = record([outcome(samples)])
    for latency, values in (
        (found.latency, samples.recorded_intended_ns(TIMEOUT_NS)),
        (found.latency_actual, samples.recorded_actual_ns(TIMEOUT_NS)),
    ):
        exact = np.sort(values) / 1e6
        for value, percent in ((latency.p50_ms, 50), (latency.p99_ms, 99), (latency.max_ms, 100)):
            assert value == pytest.approx(exact[math.ceil(4 * percent) - 1], rel=1e-3)
    assert (found.latency.clock, found.latency_actual.clock) == ("intended", "actual")
    assert found.lateness.max_ms == pytest.approx(samples.lateness_ns.max() / 1e6, rel=1e-3)


def test_blocks_are_merged_exactly_and_kept_apart_in_the_series(tmp_path: Path) -> None:
    parts = [mixed_samples(200, seed=seed) for seed in range(3)]
    outcomes = [outcome(part) for part in parts]
    found = record(outcomes)
    whole = Histogram().merged(*(Histogram.of_ns(part.recorded_intended_ns(TIMEOUT_NS)) for part in parts))
    assert found.latency.p99_ms == whole.percentile_ms(99)
    assert (found.blocks, found.planned.requests, found.planned.seconds) == (3, 600, 30.0)
    assert {row.block for row in found.series} == {0, 1, 2}
    path = tmp_path / "01-hold.json"
    write_run(path, found, outcomes)
    assert read_log(tmp_path / "01-hold.hdr")["intended"] == whole
    assert read_samples(path.with_suffix(".samples")).block.tolist() == [0] * 200 + [1] * 200 + [2] * 200


def test_a_written_run_reads_back_as_it_was(tmp_path: Path) -> None:
    outcomes = [outcome(mixed_samples(50), stopped="over-saturated")]
    proof = ProofRecord(check="lateness", ok=False, value=0.02, limit=0.01, evidence="1 of 50")
    found = record(outcomes, server={"before": {"workers": 1}, "after": None}, passport=[proof], void="late")
    path = tmp_path / "deep/er/01-hold.json"
    write_run(path, found, outcomes)
    assert read_record(path) == found
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "01-hold.hdr",
        "01-hold.json",
        "01-hold.samples",
    ]
    document = json.loads(path.read_text())
    assert document["schema"] == "podium.dev/run/v1"
    assert (document["stopped"], document["void"]) == ("over-saturated", "late")


def test_a_record_is_never_written_again(tmp_path: Path) -> None:
    outcomes = [outcome(mixed_samples(50))]
    path = tmp_path / "01-hold.json"
    write_run(path, record(outcomes), outcomes)
    before = path.read_bytes()
    with pytest.raises(RecordError, match="never edited"):
        write_run(path, record(outcomes, void="late"), outcomes)
    assert path.read_bytes() == before


@pytest.mark.parametrize("failing", range(1, 9))
def test_a_write_that_fails_anywhere_leaves_no_record_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    outcomes = [outcome(mixed_samples(50))]
    path = tmp_path / "01-hold.json"
    calls = 0
    fsync, rename = os.fsync, Path.replace

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device")

    def failing_fsync(descriptor: int) -> None:
        count()
        fsync(descriptor)

    def failing_replace(self: Path, target: Path) -> Path:
        count()
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    monkeypatch.setattr(Path, "replace", failing_replace)
    with pytest.raises(WriteError, match="No space left on device") as error:
        write_run(path, record(outcomes), outcomes)
    assert "make room" in error.value.hint
    assert not path.exists()
    assert not list(tmp_path.glob(".*.draft"))
    monkeypatch.undo()
    write_run(path, record(outcomes), outcomes)
    assert read_record(path).sent == record(outcomes).sent


WRITES = """
import sys
from pathlib import Path
from tests.loads import mixed_samples, outcome
from tests.unit.test_records import ProofRecord, record
from loadtest.records import write_run
outcomes = [outcome(mixed_samples(5))]
proof = ProofRecord(check="restarted", ok=False, evidence="its log ends: gr\\u00fc\\u00dfe")
write_run(Path(sys.argv[1]), record(outcomes, passport=(proof,)), outcomes)
"""


def test_a_record_is_utf_8_whatever_the_machines_locale_is(tmp_path: Path) -> None:
    path = tmp_path / "01-hold.json"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", WRITES, str(path)], check=True, env={**os.environ, **plain}, timeout=120)
    assert read_record(path).passport[0].evidence == "its log ends: grüße"


def test_outcomes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(RecordError, match="one time-out"):
        record([])
    with pytest.raises(RecordError, match="one time-out"):
        record([outcome(mixed_samples(5)), outcome(mixed_samples(5), timeout_s=1.0)])


def test_a_run_without_a_request_has_no_percentile(tmp_path: Path) -> None:
    nothing = outcome(mixed_samples(5))
    nothing = Outcome(Samples.empty(), 0, 0, "interrupted", nothing.generator, "", 0.0, nothing.shot)
    found = record([nothing])
    assert (found.latency.p99_ms, found.lateness.max_ms, found.sent, found.series) == (None, None, 0, ())
    write_run(tmp_path / "r.json", found, [nothing])
    assert read_record(tmp_path / "r.json") == found


def test_a_throttled_count_that_one_block_lacks_is_unknown() -> None:
    known = outcome(mixed_samples(5))
    facts = known.generator
    unknown = Outcome(
        known.samples,
        5,
        0,
        None,
        type(facts)("k6", "v2", 1, 1.0, 1.0, None, 1, 5, 0, ()),
        known.started,
        1.0,
        known.shot,
    )
    assert record([known, known]).generator.throttled == 0
    assert record([known, unknown]).generator.throttled is None


def test_a_record_that_is_missing_or_another_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(RecordError, match="cannot be read") as missing:
        read_record(path)
    assert "podium get runs" in missing.value.hint
    path.write_text('{"schema": "podium.dev/run/v2"}')
    with pytest.raises(RecordError, match="is not a run record: schema") as other:
        read_record(path)
    assert "played again" in other.value.hint
