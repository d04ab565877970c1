"""One entry's part of the page as texts: its line of the ranking, its section, its runs."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.records import RunRecord
from podium import charts, figures
from podium.entry import Clause, Entry, Status
from podium.quantities import format_bytes, format_duration
from podium.racefile import Race
from podium.report import passports
from podium.report.drawings import Figure, entry_name, hold_drawing, styles
from podium.report.evidence import Run
from podium.report.passports import ProofLine
from podium.standings import SYMBOLS, Row

__all__ = ["ClauseLine", "EntryBlock", "RunBlock", "entry_block"]

_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ClauseLine:
    """One clause of an entry as texts."""

    text: str
    status: Status
    symbol: str
    value: str
    misses: str
    requests: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunBlock:
    """One run of an entry as texts."""

    path: str
    problem: str
    void: str
    summary: str
    facts: _Pairs
    proofs: tuple[ProofLine, ...]


@dataclass(frozen=True, slots=True)
class EntryBlock:
    """One entry: its line of the ranking and its section; `swatch` is markup."""

    anchor: str
    name: str
    swatch: str
    row: Row
    facts: str
    summary: str
    details: _Pairs
    clauses: tuple[ClauseLine, ...]
    hold: Figure | None
    runs: tuple[RunBlock, ...]


def entry_block(race: Race, entry: Entry, row: Row, number: int, runs: tuple[Run, ...]) -> EntryBlock:
    """Return the part of the entry with this number (from 1) in the race."""
    void = sum(run.is_void for run in runs)
    return EntryBlock(
        anchor=f"variant-{number}",
        name=entry_name(race, entry),
        swatch=charts.swatch(styles(race)[entry.id, entry.node_class]),
        row=row,
        facts=_facts(entry),
        summary=figures.plural(len(runs), "run") + (f", {void} void" if void else ""),
        details=tuple((name, text) for name, text in _details(entry) if text != figures.NONE),
        clauses=tuple(_clause(clause) for clause in entry.clauses),
        hold=hold_drawing(race, entry, runs),
        runs=tuple(_run(run) for run in runs),
    )


def _facts(entry: Entry) -> str:
    size = format_bytes(entry.size_bytes) if entry.size_bytes is not None else ""
    return " · ".join(part for part in (entry.node_class, entry.runtime, entry.precision, size) if part)


def _details(entry: Entry) -> _Pairs:
    found = entry.server_max_rps
    hold = entry.hold
    pairs = [
        ("node class", entry.node_class),
        ("artifact", entry.address or figures.NONE),
        ("size", figures.NONE if entry.size_bytes is None else format_bytes(entry.size_bytes)),
        ("build", figures.NONE if entry.build_s is None else format_duration(entry.build_s)),
        ("start to ready", figures.NONE if entry.ready_s is None else f"{figures.number(entry.ready_s)} s"),
    ]
    if hold:
        pairs += [
            ("hold", f"{figures.plural(hold.requests, 'request')} in {figures.plural(hold.blocks, 'block')}"),
            ("rate sent", figures.rate(hold.achieved_rate)),
            ("errors", f"{hold.errors:,}"),
            (
                "p50 / p90 / p99",
                " / ".join(map(figures.milliseconds, (hold.p50_ms, hold.p90_ms, hold.p99_ms))),
            ),
            ("p99.9 / maximum", " / ".join(map(figures.milliseconds, (hold.p999_ms, hold.max_ms)))),
        ]
    if found:
        pairs += [
            ("largest rate that held", figures.rate(found.pass_rate)),
            ("smallest that failed", figures.rate(found.fail_rate)),
            ("binding clause", figures.objective(found.binding) if found.binding else figures.NONE),
            (
                "beyond it",
                figures.NONE if found.cliff is None else "a cliff" if found.cliff else "rises smoothly",
            ),
        ]
    return tuple(pairs)


def _clause(clause: Clause) -> ClauseLine:
    value = figures.NONE if clause.value is None else f"{figures.number(clause.value)} {clause.unit}".rstrip()
    if clause.low is not None and clause.high is not None:
        value += f" ({figures.number(clause.low)}–{figures.number(clause.high)})"
    return ClauseLine(
        text=figures.objective(clause.text),
        status=clause.status,
        symbol=SYMBOLS[clause.status],
        value=value,
        misses=figures.NONE if clause.misses is None else f"{clause.misses:,}",
        requests=figures.NONE if clause.requests is None else f"{clause.requests:,}",
        reason=clause.reason,
    )


def _run(run: Run) -> RunBlock:
    record = run.record
    if record is None:
        return RunBlock(path=run.path, problem=run.problem, void="", summary="", facts=(), proofs=())
    return RunBlock(
        path=run.path,
        problem=run.problem,
        void=record.void or "",
        summary=", ".join((record.phase, figures.plural(record.sent, "request"), passports.summary(run.passport))),
        facts=tuple((name, text) for name, text in _run_facts(record) if text),
        proofs=passports.lines(run.passport),
    )


def _run_facts(record: RunRecord) -> _Pairs:
    latency, lateness = record.latency, record.lateness
    tails = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms)
    return (
        ("started", figures.moment(record.started)),
        ("length", format_duration(record.seconds)),
        ("rate asked", "" if record.planned.rate is None else figures.asked_rate(record.planned.rate)),
        ("planned / sent / answered", f"{record.planned.requests:,} / {record.sent:,} / {record.answered:,}"),
        ("misses", f"{record.misses:,}"),
        ("codes", ", ".join(f"{code}: {count:,}" for code, count in sorted(record.codes.items()))),
        ("p50 / p90 / p99 / maximum", " / ".join(figures.milliseconds(value) for value in tails)),
        (
            "lateness p99 / maximum",
            f"{figures.milliseconds(lateness.p99_ms)} / {figures.milliseconds(lateness.max_ms)}",
        ),
        ("generator", f"{record.generator.tool} {record.generator.version}"),
        ("arrival seed", str(record.schedule_seed)),
        ("histogram", latency.file),
        ("fingerprint", record.fingerprint),
    )
