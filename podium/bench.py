"""A bench from its plan to its files: one endpoint, loaded by a profile, judged where an SLO is given.

The shots, proofs and records are those of a race; what is missing is everything that needs a server of one's own. A
void run is shown as void and judged by nobody.
"""

import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from loadtest.cores import awake
from loadtest.search import SearchResult
from loadtest.verdict import Verdict, is_settled, judge
from podium.benchfigures import figures_of
from podium.benchfile import CLASS, Bench, BenchPayloads, Figure, write_bench
from podium.benchplan import BenchPlan
from podium.calibration import calibrated
from podium.contest import block_of
from podium.elastic import ElasticMeasurement, elastic_figures
from podium.errors import MachineError
from podium.measure import BeyondGeneratorError, Course, VoidError
from podium.racefolder import now
from podium.results import bound_text, capacity_figure, clause_of, needs_of, worst_proofs
from podium.runbook import RunBook, StoredRun
from podium.search import RatePlay
from podium.targets.target import Candidate, Target
from podium.targets.url import UrlTarget
from predictors.fingerprint import fingerprint

__all__ = ["run_bench"]

Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "VOID", "MEASURED"]


@dataclass(slots=True)
class _Measured:
    """What came of the phases; `trouble` is why they ended early, `void` the proof behind it."""

    single_stream: StoredRun | None = None
    offline: StoredRun | None = None
    holds: list[StoredRun] = field(default_factory=list)
    probes: list[StoredRun] = field(default_factory=list)
    unsent: list[BeyondGeneratorError] = field(default_factory=list)
    lost: int = 0
    search: SearchResult | None = None
    elastic: StoredRun | None = None
    trouble: str = ""
    void: str | None = None
    cut: str = ""
    # What the verdict can do without, and why it was not measured.
    missing: list[str] = field(default_factory=list)


def run_bench(
    plan: BenchPlan,
    *,
    command: str = "",
    say: Callable[[str], None] = lambda _text: None,
    target: Target | None = None,
) -> tuple[Path, Bench]:
    """Run a bench and return its folder and its result.

    Args:
        plan: what was checked.
        command: the command line, kept with the result.
        say: told what is going on.
        target: where the endpoint is; its URL without.

    Raises:
        MachineError: nobody answers, or this machine cannot load it.
        ConfigError: the server refuses the requests.
        KeyboardInterrupt: after everything that was started has ended; finished runs stay.
    """
    place = target or UrlTarget(plan.endpoint, plan.payloads, runners=plan.runners, tool=plan.tool)
    place.check(1)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = plan.runs / f"bench-{plan.name}-{stamp}-{secrets.token_hex(3)}"
    started = now()
    with _folder(folder):
        first = place.observe(place.deploy(Candidate(plan.name, CLASS, "", folder)))
        facts = place.environment(CLASS)
        course = Course(place.deploy(_candidate(plan, first.state, folder)), RunBook(folder, plan.name, CLASS))
        mark = fingerprint(facts)
        profile = calibrated(plan.profile, node_class=CLASS, fingerprint=mark)
        measurement = ElasticMeasurement(
            target=place,
            profile=profile,
            payloads=plan.payloads,
            payload_digest=plan.payloads.sha256,
            race_id=folder.name,
            fingerprint=mark,
            cpus=_cpus(first.state),
            seed=plan.seed,
            workdir=folder / "work",
            say=say,
        )
        measured = _Measured()
        try:
            _Phases(plan, measurement, course, measured, say).play()
        except VoidError as error:
            measured.trouble, measured.void = str(error), error.void
        except MachineError as error:
            measured.trouble, measured.void = str(error), "restarted"
        verdict = _verdict(plan, measured)
        capacity = capacity_figure(measured.search)
        bench = Bench(
            bench_id=folder.name,
            variant=plan.name,
            url=plan.endpoint.url,
            protocol=plan.endpoint.protocol,
            model=plan.endpoint.model,
            profile_name=plan.profile.name,
            profile=profile.model_dump(mode="json", by_alias=True),
            level=plan.profile.level,
            rate=plan.rate,
            slo=None if plan.slo is None else str(plan.slo),
            status=_status(verdict, measured),
            reasons=_reasons(verdict, measured, bound_text(capacity, profile)),
            needs=None if verdict is None or measured.trouble else needs_of(verdict, capacity, plan.rate),
            clauses=() if verdict is None else tuple(clause_of(one) for one in verdict.clauses),
            figures=_figures(plan, measured),
            server_max_rps=capacity,
            passport=worst_proofs(run.record.passport for run in course.book.runs),
            void=measured.void,
            runs=course.book.paths(),
            seed=plan.seed,
            payloads=BenchPayloads(
                sha256=plan.payloads.sha256, files=len(plan.payloads.files), sizes=plan.payloads.size_percentiles()
            ),
            fingerprint=measurement.fingerprint,
            environment={name: _plain(value) for name, value in facts.items()},
            tool=plan.tool,
            labels=plan.labels,
            started=started,
            finished=now(),
            command=command,
        )
        write_bench(folder, bench)
    return folder, bench


@dataclass(frozen=True, slots=True)
class _Phases:
    """The phases of the profile in their order; the budget is looked at before each shot."""

    plan: BenchPlan
    measurement: ElasticMeasurement
    course: Course
    measured: _Measured
    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)

    def play(self) -> None:
        profile, measured = self.plan.profile, self.measured
        if profile.warmup is not None:
            self.say("warm-up")
            self.measurement.warm_up(self.course)
        # Neither is judged, so that a void one costs its figure only; its record and its proofs tell of it.
        if profile.single_stream is not None and not self._is_over("single-stream"):
            self.say("single-stream")
            with suppress(VoidError):
                measured.single_stream = self.measurement.single_stream(self.course)
        if profile.offline is not None and not self._is_over("offline"):
            self.say("offline")
            with suppress(VoidError):
                measured.offline = self.measurement.offline(self.course)
        self._hold()
        self._search_or_tell()
        self._hold_on()
        if self.plan.schedule is not None and not self._is_over("elastic"):
            self.say(f"elastic: {self.plan.schedule.size:,} requests")
            measured.elastic = self.measurement.elastic(self.course, self.plan.schedule)

    def _hold(self) -> None:
        phase = self.plan.profile.hold
        for number in range(0 if phase is None else phase.blocks):
            if not self._hold_block(number):
                return

    def _hold_on(self) -> None:
        """Play more blocks where they may settle the verdict or make a figure, as a race does: after the search."""
        phase, measured = self.plan.profile.hold, self.measured
        if phase is None:
            return
        for first in range(phase.blocks, phase.most_blocks, phase.blocks):
            verdict = _verdict(self.plan, measured)
            if measured.cut or verdict is None or not verdict.wants_blocks(at_most=phase.most_blocks - first):
                return
            for number in range(first, min(first + phase.blocks, phase.most_blocks)):
                try:
                    if not self._hold_block(number):
                        return
                except VoidError as error:
                    # The verdict on the blocks before stands without it.
                    measured.missing.append(str(error))

    def _hold_block(self, number: int) -> bool:
        """Play a block of the hold; return False where it has ended before."""
        phase, rate = self.plan.profile.hold, self.plan.rate
        if phase is None or rate is None:
            return False
        if self._is_over("hold") or (phase.stop_when_oversaturated and self._is_settled(phase.most_blocks)):
            return False
        blocks = phase.blocks if number < phase.blocks else phase.most_blocks
        self.say(f"hold at {rate:g}/s, block {number + 1} of {blocks}")
        self.measured.holds.append(self.measurement.hold_block(self.course, rate=rate, block=number))
        return True

    def _is_settled(self, most_blocks: int) -> bool:
        profile, blocks = self.plan.profile, [block_of(run) for run in self.measured.holds]
        return self.plan.slo is not None and is_settled(
            blocks, self.plan.slo, level=profile.level, confidence=profile.confidence, most_blocks=most_blocks
        )

    def _search_or_tell(self) -> None:
        try:
            self._search()
        except VoidError as error:
            # The verdict is the hold's; where there is one, a search that cannot be measured costs only its figure.
            if self.plan.profile.hold is None and not self.measured.probes:
                raise
            self.measured.missing.append(str(error))

    def _search(self) -> None:
        phase, slo, measured = self.plan.profile.search, self.plan.slo, self.measured
        if phase is None or slo is None:
            return
        RatePlay(self.measurement, phase, slo, self.plan.rate or 1.0).play(
            measured,
            self.course,
            is_over=lambda: self._is_over("search"),
            doing=lambda rate: self.say(f"search at {rate:.3g}/s"),
        )

    def _is_over(self, what: str) -> bool:
        is_over = time.monotonic() - self.began > self.plan.profile.budget_s
        if is_over and not self.measured.cut:
            self.measured.cut = f"the budget was spent before its {what} had ended"
        return is_over


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """Measure inside the block: this machine stays awake, and what no finished run needs is gone afterwards."""
    with awake():
        try:
            yield
        finally:
            shutil.rmtree(folder / "work", ignore_errors=True)
            for place in (*sorted(folder.rglob("*"), reverse=True), folder):
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()


def _candidate(plan: BenchPlan, state: dict[str, JsonValue], folder: Path) -> Candidate:
    """Return what is under test: the artifact that the server says it serves when the bench begins."""
    address, preprocessing = state.get("address"), state.get("preprocessing_hash")
    return Candidate(
        plan.name,
        CLASS,
        address if isinstance(address, str) else "",
        folder,
        preprocessing if isinstance(preprocessing, str) else None,
    )


def _cpus(state: dict[str, JsonValue]) -> float:
    found = state.get("cpu_limit") or state.get("threads")
    return float(found) if isinstance(found, int | float) else 1.0


def _figures(plan: BenchPlan, measured: _Measured) -> tuple[Figure, ...]:
    found = figures_of(measured.single_stream, measured.offline, measured.holds, confidence=plan.profile.confidence)
    return found if measured.elastic is None else (*found, *elastic_figures(measured.elastic, plan.profile, plan.slo))


def _verdict(plan: BenchPlan, measured: _Measured) -> Verdict | None:
    profile = plan.profile
    if plan.slo is None or profile.hold is None:
        return None
    blocks = [block_of(run) for run in measured.holds]
    return judge(blocks, plan.slo, level=profile.level, confidence=profile.confidence, looks=profile.hold.looks)


def _status(verdict: Verdict | None, measured: _Measured) -> Status:
    # An over-saturated hold is a proven failure whatever came later.
    if measured.trouble and (verdict is None or verdict.status != "FAIL"):
        return "VOID"
    return "MEASURED" if verdict is None else verdict.status


def _reasons(verdict: Verdict | None, measured: _Measured, bound: str) -> tuple[str, ...]:
    told = () if verdict is None or verdict.status == "PASS" or measured.trouble else verdict.reasons
    return tuple(text for text in (*told, measured.trouble, *measured.missing, measured.cut, bound) if text)


def _plain(value: str | int | float | list[str]) -> JsonValue:
    return list(value) if isinstance(value, list) else value
