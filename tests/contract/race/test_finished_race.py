"""A race that was left alone: what it leaves on disk, what it says, and what it does not leave behind."""

import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from loadtest.passport import CHECKS
from loadtest.records import read_record
from podium.calibration import Calibration, calibration_folder, write_calibration
from podium.entry import Entry
from podium.gate import quality_mark
from podium.racefile import Race, read_race
from tests.contract.race.racing import RACE_S, RATE, WHOLE, Ended, Place, Workshop, records

THROTTLED = 0.045
RACED = ("ort-fp32", "ort-int8")
REJECTED = "ort-int8-coarse"
FILES = re.compile(
    r"build\.log|plan\.json|(race|dossier)\.json|report\.html|payloads\.sha256|\.lock"
    r"|[a-z0-9-]+/local/(server\.log|\d\d-[a-z-]+\.(json|hdr|samples))"
)


pytestmark = pytest.mark.timeout(RACE_S)


@dataclass(frozen=True)
class Finished:
    """A finished race."""

    place: Place
    ended: Ended
    folder: Path
    race: Race

    def entry(self, variant: str) -> Entry:
        (found,) = (entry for entry in self.race.variants if entry.id == f"colors-{variant}")
        return found


@pytest.fixture(scope="module")
def finished(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    place = workshop.place(tmp_path_factory.mktemp("finished"), profile=WHOLE)
    limits = Calibration(
        node_class="local", fingerprint=quality_mark(), thresholds={"throttled": THROTTLED}, runs=59, made="2026-01-02"
    )
    written = write_calibration(calibration_folder(place.store), limits)
    try:
        ended = place.run(place.race_words("-o", "json"))
    finally:
        written.unlink()
    assert ended.code == 6, ended.err
    return Finished(place, ended, place.folder, read_race(place.folder))


def test_blocks_that_are_too_short_leave_every_variant_inconclusive(finished: Finished) -> None:
    assert {finished.entry(variant).status for variant in RACED} == {"INCONCLUSIVE"}
    assert finished.race.winner is None
    for variant in RACED:
        needs = finished.entry(variant).needs
        assert needs is not None
        assert needs.text


def test_what_is_printed_is_what_was_written(finished: Finished) -> None:
    assert json.loads(finished.ended.out) == json.loads((finished.folder / "race.json").read_text())
    assert f"Hold at {RATE}/s" in finished.ended.err
    assert "Traceback" not in finished.ended.err


@pytest.mark.parametrize("variant", RACED)
def test_every_run_has_a_record_with_a_passport(finished: Finished, variant: str) -> None:
    entry = finished.entry(variant)
    found = [read_record(finished.folder / path) for path in entry.runs]
    assert [path.name for path in sorted((finished.folder / entry.id / "local").glob("*.json"))] == [
        Path(path).name for path in entry.runs
    ]
    valid = [record.phase for record in found if record.void in {None, "growing-queue"}]
    assert valid.count("single-stream") == 1
    assert valid.count("offline") == 1
    assert valid.count("hold") == 5
    assert 2 <= valid.count("search") <= 3
    for record in found:
        assert {proof.check for proof in record.passport} >= {"late", "wrong-artifact", "not-warm", "restarted"}
        assert record.race == finished.race.race_id
        assert record.address == entry.address
        assert record.fingerprint == finished.race.fingerprints["local"]


@pytest.mark.parametrize("variant", RACED)
def test_a_block_has_evidence_for_every_proof_that_one_machine_can_have(finished: Finished, variant: str) -> None:
    valid = [record for record in records(finished.folder, f"colors-{variant}", "hold") if record.void is None]
    assert valid
    for record in valid:
        proofs = {proof.check: proof for proof in record.passport}
        assert tuple(proofs) == CHECKS
        # There is one place to be, and periods are only counted where a quota is.
        assert {check for check, proof in proofs.items() if proof.ok is None} <= {"misplaced", "throttled"}
        assert "9 parts sum to" in proofs["unexplained-time"].evidence
        found = re.fullmatch(r"0 of ([\d,]+) checked answers differ", proofs["wrong-answers"].evidence)
        assert found is not None
        assert int(found[1].replace(",", "")) > 0


def test_the_limits_on_record_are_those_that_were_applied(finished: Finished) -> None:
    race = finished.race
    thresholds = race.profile["thresholds"]
    assert isinstance(thresholds, dict)
    assert thresholds["throttled"] == race.thresholds["local"]["throttled"] == THROTTLED
    assert f"throttled: {THROTTLED}" in (finished.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("variant", RACED)
def test_the_figures_are_those_of_the_records(finished: Finished, variant: str) -> None:
    entry = finished.entry(variant)
    holds = [r for r in records(finished.folder, entry.id, "hold") if r.void in {None, "growing-queue"}]
    assert entry.hold is not None
    assert entry.hold.blocks == 5
    assert entry.hold.requests == sum(record.sent for record in holds) > 4 * 448
    assert entry.hold.errors == sum(record.misses for record in holds)
    (alone,) = (r for r in records(finished.folder, entry.id, "single-stream") if r.void is None)
    assert entry.single_stream_p90_ms is not None
    assert entry.single_stream_p90_ms.value == pytest.approx(alone.latency_actual.p90_ms, rel=0.05, abs=0.05)
    assert entry.offline_rps is not None
    assert entry.offline_rps.value > 0
    assert entry.server_max_rps is not None


def test_all_variants_are_asked_the_same(finished: Finished) -> None:
    seeds = [{r.schedule_seed for r in records(finished.folder, f"colors-{variant}", "hold")} for variant in RACED]
    assert len(seeds[0]) == 5
    assert seeds[0] == seeds[1]


def test_the_newest_race_is_linked(finished: Finished) -> None:
    link = finished.place.runs / "latest"
    assert link.is_symlink()
    assert link.resolve() == finished.folder.resolve()


def test_the_report_names_all_and_is_made_from_the_files_alone(finished: Finished) -> None:
    report = finished.folder / "report.html"
    text = report.read_text(encoding="utf-8")
    for variant in (*RACED, REJECTED):
        assert f"colors-{variant}" in text
    before = report.read_bytes()
    report.unlink()
    assert finished.place.run(finished.place.words("report", "latest")).code == 0
    assert report.read_bytes() == before


def test_a_second_generator_checked_one_hold(finished: Finished) -> None:
    check = finished.race.cross_check
    assert check is not None
    assert check.tool == "vegeta"
    assert check.variant in {f"colors-{variant}" for variant in RACED}
    assert check.rate == RATE
    assert check.p99_ms is not None
    assert check.reference_p99_ms is not None
    assert check.difference == pytest.approx(check.p99_ms / check.reference_p99_ms - 1)
    (reference,) = (r for r in records(finished.folder, phase="cross-check") if r.void in {None, "growing-queue"})
    assert check.reference_p99_ms == reference.latency.p99_ms


def test_a_variant_below_the_gate_is_rejected_with_its_numbers_and_never_started(finished: Finished) -> None:
    entry = finished.entry(REJECTED)
    assert entry.status == "REJECTED"
    assert entry.quality is not None
    assert entry.quality.n == 60
    assert entry.quality.value == pytest.approx(1 / 3)
    assert entry.quality.source_value == 1.0
    assert entry.quality.per_class == {"red": 0.0, "blue": 0.0, "gray": 1.0}
    (reason,) = entry.reasons
    assert "drop<=0.1 does not hold: accuracy 0.3333 (0.2273 to 0.4594) on 60 samples" in reason
    assert "McNemar p = 1.8e-12" in reason
    assert entry.runs == ()
    assert (entry.single_stream_p90_ms, entry.offline_rps, entry.server_max_rps, entry.hold) == (None,) * 4
    assert not (finished.folder / entry.id).exists()


def test_nothing_is_left_behind(finished: Finished) -> None:
    assert finished.place.processes() == []
    for port in range(finished.place.port, finished.place.port + 6):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    files = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()}
    assert [name for name in sorted(files) if not FILES.fullmatch(name)] == []
    assert list((finished.place.store / ".staging").iterdir()) == []


def test_the_race_is_listed_and_described(finished: Finished) -> None:
    name = finished.race.race_id
    place = finished.place
    listed = place.run(place.words("get", "races", "-o", "json"))
    assert [item["race_id"] for item in json.loads(listed.out)] == [name]
    runs = place.run(place.words("get", "runs", "--race", "latest", "-o", "json"))
    assert len(json.loads(runs.out)) == sum(len(entry.runs) for entry in finished.race.variants)
    described = place.run(place.words("describe", "race", name))
    assert described.code == 0
    for variant in (*RACED, REJECTED):
        assert f"colors-{variant}" in described.out


def test_a_race_of_which_all_are_rejected_has_no_winner(workshop: Workshop, tmp_path: Path) -> None:
    place = workshop.place(tmp_path, variants=REJECTED)
    ended = place.run(place.race_words())
    assert ended.code == 5, ended.err
    race = read_race(place.folder)
    assert [entry.status for entry in race.variants] == ["REJECTED"]
    assert "REJECTED" in ended.out
    assert list(place.folder.rglob("server.log")) == []
    assert records(place.folder) == []
    assert place.processes() == []
