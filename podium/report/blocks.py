"""One entry's part of the page as texts: its line of the ranking, its section, its runs."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.records import RunRecord
from podium import charts, figures
from podium.dossier import Dossier
from podium.entry import Clause, Entry, Status
from podium.quantities import format_bytes, format_duration
from podium.racefile import Race
from podium.report import passports
from podium.report.drawings import Figure, entry_name, hold_drawing, styles
from podium.report.evidence import Run
from podium.report.passports import ProofLine
from podium.report.portraits import portraits
from podium.report.workings import Diagnosis
from podium.standings import SYMBOLS, Row

__all__ = ["RUN_COLUMNS", "ClauseLine", "EntryBlock", "RunLine", "entry_block"]

_Pairs = tuple[tuple[str, str], ...]

RUN_COLUMNS = ("rate", "length", "sent", "misses", "codes", "p50", "p99", "maximum", "lateness p99", "arrival seed")


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
class RunLine:
    """One run of an entry as texts: a cell under each of `RUN_COLUMNS`, and the proofs that failed."""

    path: str
    problem: str
    void: str
    cells: tuple[str, ...]
    passport: str
    failures: tuple[str, ...]


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
    pictures: tuple[Figure, ...]
    diagnosis: Diagnosis | None
    notes: tuple[str, ...]
    proofs: tuple[ProofLine, ...]
    runs: tuple[RunLine, ...]


def entry_block(
    race: Race,
    entry: Entry,
    row: Row,
    number: int,
    runs: tuple[Run, ...],
    *,
    dossier: Dossier | None = None,
    diagnosis: Diagnosis | None = None,
) -> EntryBlock:
    """Return the part of the entry with this number (from 1) in the race."""
    artifact = dossier.artifacts.get(entry.address or "") if dossier else None
    look = styles(race)[entry.id, entry.node_class]
    void = sum(run.is_void for run in runs)
    return EntryBlock(
        anchor=f"variant-{number}",
        name=entry_name(race, entry),
        swatch=charts.swatch(look),
        row=row,
        facts=_facts(entry),
        summary=figures.plural(len(runs), "run") + (f", {void} void" if void else ""),
        details=tuple((name, text) for name, text in (*_details(entry), *_of_all(runs)) if text != figures.NONE),
        clauses=tuple(_clause(clause) for clause in entry.clauses),
        hold=hold_drawing(race, entry, runs),
        pictures=portraits(artifact, node_class=entry.node_class, style=look),
        diagnosis=diagnosis,
        notes=artifact.notes if artifact else (),
        proofs=passports.lines(entry, runs),
        runs=tuple(_run(run, entry) for run in runs),
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
            ("smallest that could not be sent", figures.rate(found.unsent_rate)),
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


def _run(run: Run, entry: Entry) -> RunLine:
    record, path = run.record, run.path.removeprefix(f"{entry.id}/")
    if record is None:
        empty = ("",) * len(RUN_COLUMNS)
        return RunLine(path=path, problem=run.problem, void="", cells=empty, passport="", failures=())
    return RunLine(
        path=path,
        problem=run.problem,
        void=record.void or "",
        cells=_run_cells(record),
        passport=passports.summary(run.passport),
        failures=passports.failures(run.passport),
    )


def _run_cells(record: RunRecord) -> tuple[str, ...]:
    latency, codes = record.latency, [f"{code}: {count:,}" for code, count in sorted(record.codes.items())]
    codes += [f"{why}: {count:,}" for why, count in record.unanswered.items() if why != "unknown"]
    codes += [f"held: {record.held:,}"] if record.held else []
    return (
        "" if record.planned.rate is None else figures.rate(record.planned.rate),
        format_duration(round(record.seconds)),
        f"{record.sent:,}",
        f"{record.misses:,}",
        ", ".join(codes),
        figures.milliseconds(latency.p50_ms),
        figures.milliseconds(latency.p99_ms),
        figures.milliseconds(latency.max_ms),
        figures.milliseconds(record.lateness.p99_ms),
        str(record.schedule_seed),
    )


def _of_all(runs: tuple[Run, ...]) -> _Pairs:
    """Return what the runs have in common: when they were, what sent the load, and where."""
    records = [run.record for run in runs if run.record is not None]
    if not records:
        return ()
    tools = dict.fromkeys(f"{record.generator.tool} {record.generator.version}" for record in records)
    return (
        ("runs from", figures.moment(min(record.started for record in records))),
        ("to", figures.moment(max(record.started for record in records))),
        ("generator", ", ".join(tools)),
        ("fingerprint", ", ".join(dict.fromkeys(record.fingerprint for record in records))),
    )
