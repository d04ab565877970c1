"""From measured runs to an entry: figures whose truth is known, verdicts, voids, proofs and cost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadtest.profile import Profile
from loadtest.remedy import Needs
from loadtest.runrecord import ProofRecord
from loadtest.shot import Outcome, Shot
from loadtest.verdict import Verdict
from podium.contest import Measured
from podium.entry import Capacity, Entry, Quality
from podium.nodeclass import load_node_class
from podium.results import entry_of, needs_of
from podium.runbook import RunBook, StoredRun
from tests.simulated import (
    HOLD,
    OFFLINE,
    SEARCH,
    SINGLE,
    SLO,
    WARMUP,
    SimulatedTarget,
    candidate,
    contest,
    measurement,
    profile,
    with_samples,
)

QUALITY = Quality(metric="accuracy", value=0.9, low=0.88, high=0.92, n=2200)
STEADY = HOLD.replace("stopWhenOversaturated: true", "stopWhenOversaturated: false")
WHOLE = profile(WARMUP, SINGLE, OFFLINE, HOLD, SEARCH)


def run(target: SimulatedTarget, folder: Path, chosen: Profile, *, budget_s: float = 3600) -> Measured:
    return contest(measurement(target, folder, chosen), folder, budget_s=budget_s).run([candidate("a", folder)])["a"]


def entry(measured: Measured, chosen: Profile, *, node_class: str = "local") -> Entry:
    return entry_of(
        measured,
        profile=chosen,
        slo=SLO,
        node_class=load_node_class(node_class),
        quality=QUALITY,
        size_bytes=1234,
        runtime="ort",
        precision="int8",
        build_s=2.5,
    )


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measured, Entry]:
    measured = run(SimulatedTarget({"a": 5}), tmp_path_factory.mktemp("race"), WHOLE)
    return measured, entry(measured, WHOLE)


def test_a_variant_that_holds_passes_without_reasons_or_needs(passed: tuple[Measured, Entry]) -> None:
    _, found = passed
    assert (found.status, found.reasons, found.needs, found.void) == ("PASS", (), None, None)
    assert [clause.status for clause in found.clauses] == ["PASS"] * 3


def test_what_was_known_before_is_handed_on(passed: tuple[Measured, Entry]) -> None:
    measured, found = passed
    assert (found.id, found.node_class, found.address) == ("a", "local", measured.candidate.address)
    assert (found.quality, found.size_bytes, found.runtime, found.precision) == (QUALITY, 1234, "ort", "int8")
    assert (found.build_s, found.ready_s, found.emulated, found.rank) == (2.5, 1.5, False, None)
    assert found.runs == measured.book.paths()
    assert len(found.runs) == 2 + 5 + len(found.probes)


def test_the_figures_of_a_constant_service_time_are_that_time_and_its_inverse(passed: tuple[Measured, Entry]) -> None:
    _, found = passed
    single, offline = found.single_stream_p90_ms, found.offline_rps
    assert single is not None
    assert (single.value, single.low, single.high) == pytest.approx((5, 5, 5))
    assert offline is not None
    assert offline.value == pytest.approx(200, rel=1e-3)
    assert offline.low <= offline.value <= offline.high
    assert offline.low == pytest.approx(200, rel=0.01)


def test_the_hold_is_over_all_blocks_and_on_the_intended_clock(passed: tuple[Measured, Entry]) -> None:
    measured, found = passed
    hold = found.hold
    assert hold is not None
    sent = sum(one.record.sent for one in measured.holds)
    assert (hold.rate, hold.blocks, hold.requests, hold.errors) == (40, 5, sent, 0)
    assert hold.achieved_rate == pytest.approx(sent / (5 * 11.2))
    latency_ms = np.concatenate([one.samples.latency_intended_ns for one in measured.holds]) / 1e6
    for value, percent in ((hold.p50_ms, 50), (hold.p90_ms, 90), (hold.p95_ms, 95), (hold.p99_ms, 99)):
        assert value == pytest.approx(np.percentile(latency_ms, percent, method="inverted_cdf"), rel=2e-3)
    assert hold.max_ms == pytest.approx(latency_ms.max(), rel=2e-3)
    assert (hold.p999_ms or 0) <= (hold.max_ms or 0)


def test_clauses_are_shown_in_their_units(passed: tuple[Measured, Entry]) -> None:
    _, found = passed
    latency, errors, rate = found.clauses
    assert found.hold is not None
    assert (latency.text, latency.unit) == ("p99<=100ms", "ms")
    assert latency.value == pytest.approx(found.hold.p99_ms, rel=0.01)
    assert (latency.misses, latency.requests) == (0, found.hold.requests)
    assert (errors.text, errors.unit, errors.value) == ("errors<=1%", "%", 0)
    assert (rate.text, rate.unit) == ("rate>=40/s", "/s")
    assert rate.value == pytest.approx(found.hold.achieved_rate)
    assert all((one.low or 0) <= (one.value or 0) <= (one.high or 0) for one in found.clauses)


def test_blocks_that_disagree_pass_without_a_figure_to_rank_by(tmp_path: Path) -> None:
    def slow_third(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        # All of the third block is three times as slow, as a process in another mode is.
        if shot.kind != "open" or shot.seed != 13:
            return outcome
        return with_samples(outcome, end_ns=outcome.samples.end_ns + 2 * outcome.samples.latency_intended_ns)

    target = SimulatedTarget({"a": 5})
    target.change = slow_third
    found = entry(run(target, tmp_path, WHOLE), WHOLE)
    assert found.status == "PASS"
    assert found.unranked.startswith("not ranked: p99 differs from block to block by")
    assert found.reasons == (found.unranked,)
    assert found.server_max_rps is not None
    assert found.cost_per_million is None
    cv, chance = found.clauses[0].cv, found.clauses[0].cv_by_chance
    assert cv is not None
    assert chance is not None
    assert cv > max(0.2, chance)


def test_blocks_that_agree_are_ranked(passed: tuple[Measured, Entry]) -> None:
    assert passed[1].unranked == ""
    assert (passed[1].clauses[0].cv or 0) < 0.5


def test_cost_is_of_the_planned_share_of_the_capacity(passed: tuple[Measured, Entry]) -> None:
    measured, found = passed
    assert measured.search is not None
    assert found.server_max_rps is not None
    assert found.cost_per_million is not None
    capacity = found.server_max_rps
    assert (capacity.value, capacity.low, capacity.high) == (
        measured.search.value,
        measured.search.low,
        measured.search.high,
    )
    assert (capacity.pass_rate, capacity.fail_rate) == (measured.search.pass_rate, measured.search.fail_rate)
    assert (capacity.binding, capacity.cliff) == (measured.search.binding, measured.search.cliff)
    assert capacity.p99_ms == measured.search.p99_ms
    # The class takes half of a node of 0.05 EUR an hour: the larger of 1 of 2 cores and 2 of 8 GiB.
    assert found.cost_per_million.value == pytest.approx(1e6 * 0.025 / (0.7 * capacity.value * 3600))
    assert found.cost_per_million.currency == "EUR"


def test_probes_say_what_was_tried_and_why_it_failed(passed: tuple[Measured, Entry]) -> None:
    measured, found = passed
    assert [probe.rate for probe in found.probes] == [one.record.planned.rate for one in measured.probes]
    failed = [probe for probe in found.probes if not probe.passed]
    held = [probe for probe in found.probes if probe.passed]
    assert failed
    assert held
    assert all(probe.binding == "p99<=100ms" for probe in failed)
    assert max(probe.rate for probe in held) <= min(probe.rate for probe in failed)
    for probe, one in zip(found.probes, measured.probes, strict=True):
        assert (probe.requests, probe.seconds) == (one.record.sent, one.record.seconds)
        assert (probe.p50_ms, probe.stopped) == (one.record.latency.p50_ms, one.record.stopped is not None)


def test_a_server_that_falls_behind_fails_and_says_so(tmp_path: Path) -> None:
    measured = run(SimulatedTarget({"a": 40}), tmp_path, profile(HOLD, SEARCH))
    found = entry(measured, WHOLE)
    assert (found.status, found.void, found.needs) == ("FAIL", None, None)
    assert "the server fell behind at 40/s in 2 of 2 blocks" in found.reasons
    assert found.hold is not None
    assert found.hold.achieved_rate is None
    assert found.hold.blocks == 2
    assert any(probe.stopped for probe in found.probes)


def test_a_hold_of_whole_and_cut_blocks_counts_the_rate_of_the_whole_ones(
    passed: tuple[Measured, Entry], tmp_path: Path
) -> None:
    measured, _ = passed
    cut = run(SimulatedTarget({"a": 40}), tmp_path, profile(HOLD)).holds[0]
    both = entry(replace(measured, holds=[measured.holds[0], cut]), WHOLE).hold
    assert both is not None
    assert both.requests == measured.holds[0].record.sent + cut.record.sent
    assert both.achieved_rate == pytest.approx(measured.holds[0].record.sent / 11.2)
    assert both.errors == cut.record.misses


def test_trouble_makes_an_entry_void_and_names_the_proof(tmp_path: Path) -> None:
    def dropping(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        return replace(outcome, dropped=1) if shot.kind == "open" else outcome

    target = SimulatedTarget({"a": 5})
    target.change = dropping
    found = entry(run(target, tmp_path, WHOLE), WHOLE)
    assert (found.status, found.void, found.needs) == ("VOID", "dropped", None)
    assert found.reasons == ("hold was void 2 times, last as dropped: 1 arrivals found no free user",)
    assert (found.hold, found.server_max_rps, found.cost_per_million, found.probes) == (None, None, None, ())
    assert found.single_stream_p90_ms is not None
    assert len(found.runs) == 2 + 6


def test_trouble_after_a_proven_failure_leaves_the_failure(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 40})
    target.ends_in = {"a": 3}
    found = entry(run(target, tmp_path, profile(HOLD, SEARCH)), WHOLE)
    assert (found.status, found.void) == ("FAIL", None)
    assert any("fell behind" in reason for reason in found.reasons)
    assert "a ended during search" in found.reasons[-1]


def test_trouble_after_a_hold_that_passed_is_void(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.ends_in = {"a": 6}
    found = entry(run(target, tmp_path, profile(HOLD, SEARCH)), WHOLE)
    assert (found.status, found.void) == ("VOID", "restarted")
    assert len(found.reasons) == 1
    assert found.hold is not None


def test_too_few_blocks_are_inconclusive_and_say_what_is_needed(tmp_path: Path) -> None:
    found = entry(run(SimulatedTarget({"a": 5}), tmp_path, profile(HOLD.replace("5", "3", 1))), WHOLE)
    assert (found.status, found.void) == ("INCONCLUSIVE", None)
    assert found.needs is not None
    assert found.needs.repeats == 2
    assert "2 more blocks" in found.needs.text
    assert found.reasons


@pytest.mark.parametrize(("stolen", "is_told"), [(0.12, True), (0.04, False), (None, False)])
def test_a_verdict_that_is_open_says_what_the_host_took(tmp_path: Path, stolen: float | None, is_told: bool) -> None:
    target = SimulatedTarget({"a": 5})
    target.change = lambda _variant, _shot, outcome: replace(
        outcome, generator=replace(outcome.generator, stolen=stolen)
    )
    found = entry(run(target, tmp_path / "few", profile(HOLD.replace("5", "3", 1))), WHOLE)
    told = [text for text in found.reasons if "took up to 12% of their cores during the hold" in text]
    assert bool(told) == is_told
    # Beside a PASS it would excuse nothing.
    assert entry(run(target, tmp_path / "whole", WHOLE), WHOLE).reasons == ()


def test_what_was_never_measured_is_null_and_not_zero(tmp_path: Path) -> None:
    found = entry(run(SimulatedTarget({"a": 5}), tmp_path, WHOLE, budget_s=-1), WHOLE)
    assert found.status == "INCONCLUSIVE"
    figures = (found.single_stream_p90_ms, found.offline_rps, found.server_max_rps, found.cost_per_million, found.hold)
    assert figures == (None,) * 5
    assert (found.passport, found.runs, found.probes) == ((), (), ())


def test_a_server_that_never_started_has_no_time_to_ready(tmp_path: Path) -> None:
    target = SimulatedTarget({"a": 5})
    target.never_starts = {"a"}
    found = entry(run(target, tmp_path, WHOLE), WHOLE)
    assert (found.status, found.ready_s) == ("VOID", None)
    assert found.reasons == ("a did not start: exit code 1",)


def test_a_search_in_which_no_rate_held_costs_nothing_that_can_be_said(tmp_path: Path) -> None:
    found = entry(run(SimulatedTarget({"a": 150}), tmp_path, profile(SEARCH)), WHOLE)
    assert found.server_max_rps is not None
    assert (found.server_max_rps.value, found.server_max_rps.pass_rate) == (0, None)
    assert found.cost_per_million is None


def with_proof(one: StoredRun, ok: bool | None, evidence: str) -> StoredRun:
    proof = ProofRecord(check="late", ok=ok, value=1.0, limit=2.0, evidence=evidence)
    return replace(one, record=one.record.model_copy(update={"passport": (proof,)}))


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [([None, True], 1), ([True, None], 0), ([True, False, None], 1), ([False, False], 0), ([True, True], 0)],
)
def test_the_passport_of_an_entry_is_the_worst_of_each_proof(
    passed: tuple[Measured, Entry], verdicts: list[bool | None], worst: int
) -> None:
    measured, _ = passed
    holds = [
        with_proof(one, ok, str(number)) for number, (one, ok) in enumerate(zip(measured.holds, verdicts, strict=False))
    ]
    single = replace(measured, holds=holds, probes=[], single_stream=None, offline=None)
    (proof,) = entry(single, WHOLE).passport
    assert (proof.check, proof.ok, proof.evidence) == ("late", verdicts[worst], str(worst))
    assert (proof.value, proof.limit) == (1.0, 2.0)


def test_the_passport_covers_every_phase(passed: tuple[Measured, Entry]) -> None:
    measured, found = passed
    assert {proof.check for proof in found.passport} == {p.check for p in measured.holds[0].record.passport}
    assert all(proof.ok is not False for proof in found.passport)
    bad = with_proof(measured.holds[0], False, "bad")
    for spoiled in (
        replace(measured, single_stream=bad),
        replace(measured, offline=bad),
        replace(measured, holds=[bad]),
        replace(measured, probes=[bad]),
    ):
        assert [p.evidence for p in entry(spoiled, WHOLE).passport if p.ok is False] == ["bad"]


def test_the_single_stream_figure_is_the_ninetieth_percentile_of_right_answers(tmp_path: Path) -> None:
    def spread(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        count = len(outcome.samples)
        latency = np.arange(1, count + 1) * 1_000_000
        good = np.arange(count) < 50
        end = outcome.samples.start_ns + latency
        return with_samples(outcome, end_ns=end, status=np.where(good, 200, 503), ok=good)

    target = SimulatedTarget({"a": 5})
    target.change = spread
    single = entry(run(target, tmp_path, profile(SINGLE)), WHOLE).single_stream_p90_ms
    assert single is not None
    # 50 of 60 answers are right, of 1 to 50 ms.
    assert single.value == pytest.approx(45, abs=1)
    assert single.low < single.value < single.high


def test_answers_per_second_count_right_answers_only(tmp_path: Path) -> None:
    def half(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        count = len(outcome.samples)
        good = np.arange(count) % 2 == 0
        return with_samples(outcome, status=np.where(good, 200, 503), ok=good)

    target = SimulatedTarget({"a": 5})
    target.change = half
    found = entry(run(target, tmp_path, profile(OFFLINE)), WHOLE)
    assert found.offline_rps is not None
    assert found.offline_rps.value == pytest.approx(100, rel=0.01)


def test_a_short_offline_run_has_no_interval_of_its_own(tmp_path: Path) -> None:
    found = entry(run(SimulatedTarget({"a": 5}), tmp_path, profile(OFFLINE.replace("4s", "2900ms"))), WHOLE)
    assert found.offline_rps is not None
    assert found.offline_rps.low == found.offline_rps.value == found.offline_rps.high


def test_an_offline_run_without_time_or_a_single_stream_without_answers_has_no_figure(
    passed: tuple[Measured, Entry], tmp_path: Path
) -> None:
    def refused(_variant: str, shot: Shot, outcome: Outcome) -> Outcome:
        count = len(outcome.samples)
        return with_samples(outcome, status=np.full(count, 503), ok=np.full(count, False))

    target = SimulatedTarget({"a": 5})
    target.change = refused
    found = entry(run(target, tmp_path, profile(SINGLE, OFFLINE)), WHOLE)
    assert found.single_stream_p90_ms is None
    assert found.offline_rps is not None
    assert found.offline_rps.value == 0
    offline = passed[0].offline
    assert offline is not None
    still = replace(offline, record=offline.record.model_copy(update={"seconds": 0.0}))
    assert entry(replace(passed[0], offline=still), WHOLE).offline_rps is None


def test_an_emulated_class_is_marked(passed: tuple[Measured, Entry], tmp_path: Path) -> None:
    measured = Measured(candidate("a", tmp_path), RunBook(tmp_path, "a", "local"))
    class_ = load_node_class("local").model_copy(update={"emulated": True})
    found = entry_of(
        measured,
        profile=WHOLE,
        slo=SLO,
        node_class=class_,
        quality=None,
        size_bytes=1,
        runtime="ort",
        precision="fp32",
        build_s=None,
    )
    assert (found.emulated, found.quality, found.build_s) == (True, None, None)


@pytest.mark.parametrize(
    ("low", "is_near", "told"),
    [
        (57.0, True, "ask at another rate: 57.0/s is the low end of the largest that it holds"),
        (79.98, True, "ask at another rate"),
        (0.0, True, "ask at another rate"),
        (None, True, "ask at another rate"),
        (57.0, False, "ask at another rate"),
    ],
)
def test_who_is_too_near_a_limit_is_told_at_which_rate_to_ask(low: float | None, is_near: bool, told: str) -> None:
    capacity = None if low is None else Capacity(value=90.0, low=low, high=99.0)
    verdict = Verdict("INCONCLUSIVE", "quick", 0.95, (), Needs(None, None, "ask at another rate", is_near=is_near))
    found = needs_of(verdict, capacity, 80.0)
    assert found is not None
    assert found.text == told
