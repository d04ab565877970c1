"""What the template shows: the race as texts and drawings, in the order of the page.

The template holds no logic and computes nothing, and this module holds no markup. Markup is made by
`podium.charts` alone, which escapes what it draws; every other text is escaped by the template.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import JsonValue

from podium import figures
from podium.dossier import Dossier
from podium.entry import Quality
from podium.headline import Headline, headline
from podium.quantities import format_duration
from podium.racefile import CrossCheck, Event, Race
from podium.report import passports
from podium.report.blocks import RUN_COLUMNS, EntryBlock, entry_block
from podium.report.costs import CostBlock, cost_block
from podium.report.drawings import Figure, drawings, entry_name
from podium.report.evidence import Run
from podium.report.passports import Matrix
from podium.report.taxes import COLUMNS as TAX_COLUMNS
from podium.report.taxes import TaxBlock, tax_block
from podium.report.words import WORDS
from podium.report.workings import (
    STAGES,
    Diagnosis,
    ForecastLine,
    SplitLine,
    diagnoses,
    forecasts,
    split_drawing,
    split_lines,
)
from podium.standings import COLUMNS, rows

__all__ = ["Page", "Sources", "build_page"]

_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a page is made of besides `race.json`: the runs, the dossier where there is one, and the folder."""

    runs: dict[tuple[str, str], tuple[Run, ...]]
    dossier: Dossier | None
    folder: Path


@dataclass(frozen=True, slots=True)
class QualityLine:
    """The quality of one entry as texts."""

    name: str
    value: str
    interval: str
    source: str
    samples: str
    flips: str
    p_value: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows have a name: `names` across, one text a cell."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class CrossCheckBlock:
    """The second generator's view as texts: one line a tool, of its name, p50 and p99."""

    difference: str
    sentence: str
    lines: tuple[tuple[str, str, str], ...]
    note: str


@dataclass(frozen=True, slots=True)
class Place:
    """One node class: its fingerprint and what it stands for."""

    node_class: str
    fingerprint: str
    facts: _Pairs


@dataclass(frozen=True, slots=True)
class Step:
    """One command that reproduces something."""

    what: str
    command: str


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event as texts."""

    at: str
    level: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template shows; `style` is a style sheet, drawings and swatches are markup."""

    race: Race
    title: str
    headline: Headline
    problems: tuple[str, ...]
    columns: tuple[str, ...]
    run_columns: tuple[str, ...]
    entries: tuple[EntryBlock, ...]
    charts: tuple[Figure, ...]
    cross_check: CrossCheckBlock | None
    costs: CostBlock
    split: Figure
    split_columns: tuple[str, ...]
    split_lines: tuple[SplitLine, ...]
    forecasts: tuple[ForecastLine, ...]
    diagnoses: tuple[Diagnosis, ...]
    healthy: str
    quality_charts: tuple[Figure, ...]
    quality: tuple[QualityLine, ...]
    started: str
    slo: str
    gate: str
    classes: Table
    matrix: Matrix
    tax_columns: tuple[str, ...]
    taxes: TaxBlock | None
    environment: tuple[Place, ...]
    rules: _Pairs
    profile: str
    events: tuple[EventLine, ...]
    steps: tuple[Step, ...]
    words: _Pairs
    style: str
    policy: str


def build_page(race: Race, sources: Sources, *, style: str, policy: str) -> Page:
    """Return the page of a race from its file, its runs and its dossier."""
    runs, dossier = sources.runs, sources.dossier
    found = diagnoses(sources.folder, race, dossier)
    shown = drawings(race, runs)
    first = headline(race)
    lines = enumerate(zip(race.variants, rows(race), strict=True), start=1)
    return Page(
        race=race,
        title=f"{race.model}: {first.subject} {first.title}".replace(":  ", ": "),
        headline=first,
        problems=tuple(f"{run.path}: {run.problem}" for found in runs.values() for run in found if run.problem),
        columns=COLUMNS,
        run_columns=RUN_COLUMNS,
        entries=tuple(
            entry_block(
                race,
                entry,
                row,
                number,
                runs[entry.id, entry.node_class],
                dossier=dossier,
                diagnosis=found.get((entry.id, entry.node_class)),
            )
            for number, (entry, row) in lines
        ),
        charts=tuple(figure for figure in shown if figure.key in {"percentiles", "rates", "latency", "pareto"}),
        cross_check=_cross_check(race.cross_check) if race.cross_check else None,
        costs=cost_block(race, dossier),
        split=split_drawing(race, runs),
        split_columns=(*STAGES, "outside", "whole"),
        split_lines=split_lines(race, runs),
        forecasts=forecasts(race, runs, dossier),
        diagnoses=tuple(found.values()),
        healthy=figures.enumerate_words([one.name for one in found.values() if not one.causes]),
        quality_charts=tuple(figure for figure in shown if figure.key in {"quality", "classes"}),
        quality=tuple(_quality(name, quality) for name, quality in _qualities(race)),
        started=figures.moment(race.started or ""),
        slo=figures.objective(race.slo),
        gate=figures.objective(race.quality),
        classes=_classes(race),
        matrix=passports.matrix(race, runs),
        tax_columns=TAX_COLUMNS,
        taxes=tax_block(race),
        environment=tuple(_place(race, name) for name in race.fingerprints),
        rules=_rules(race),
        profile=_profile(race),
        events=tuple(_event(event) for event in race.events),
        steps=_steps(race),
        words=WORDS,
        style=style,
        policy=policy,
    )


def _qualities(race: Race) -> list[tuple[str, Quality]]:
    return [(entry_name(race, entry), entry.quality) for entry in race.variants if entry.quality]


def _quality(name: str, quality: Quality) -> QualityLine:
    return QualityLine(
        name=name,
        value=figures.percent(quality.value, 2),
        interval=f"{quality.low * 100:.2f}–{quality.high * 100:.2f} %",
        source=figures.percent(quality.source_value, 2),
        samples=f"{quality.n:,}",
        flips=figures.NONE if quality.flips is None else f"{quality.flips:,}",
        p_value=figures.p_value(quality.p_value),
    )


def _classes(race: Race) -> Table:
    measured = [(name, quality) for name, quality in _qualities(race) if quality.per_class]
    labels = dict.fromkeys(label for _, quality in measured for label in quality.per_class)
    return Table(
        names=tuple(name for name, _ in measured),
        rows=tuple(
            (label, tuple(figures.percent(quality.per_class.get(label)) for _, quality in measured)) for label in labels
        ),
    )


def _cross_check(check: CrossCheck) -> CrossCheckBlock:
    whom = f"{check.variant} on {check.node_class}" if check.variant and check.node_class else "one variant"
    return CrossCheckBlock(
        difference=figures.NONE if check.difference is None else f"{check.difference * 100:+.1f} %",
        sentence=(
            f"p99 of {check.tool} against {check.reference_tool}: one hold of {whom}, repeated at a constant "
            f"{figures.asked_rate(check.rate)}."
        ),
        lines=(
            (check.tool, figures.milliseconds(check.p50_ms), figures.milliseconds(check.p99_ms)),
            (
                check.reference_tool,
                figures.milliseconds(check.reference_p50_ms),
                figures.milliseconds(check.reference_p99_ms),
            ),
        ),
        note=check.note,
    )


def _place(race: Race, node_class: str) -> Place:
    facts = race.environment.get(node_class, {})
    return Place(
        node_class,
        race.fingerprints[node_class],
        tuple((key.replace("_", " "), _plain(value)) for key, value in facts.items()),
    )


def _plain(value: JsonValue) -> str:
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _profile(race: Race) -> str:
    """Return the profile that was played; where node classes were held to limits of their own, with those of each."""
    if not race.profile:
        return ""
    shown = dict(race.profile)
    if len({json.dumps(limits, sort_keys=True) for limits in race.thresholds.values()}) > 1:
        shown["thresholds"] = {name: dict(limits) for name, limits in race.thresholds.items()}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)


def _rules(race: Race) -> _Pairs:
    pairs = [
        ("SLO", figures.objective(race.slo)),
        ("quality", figures.objective(race.quality)),
        ("level", race.level),
        ("target", race.target),
        ("incumbent", race.incumbent or ""),
        ("measuring", f"{_time(race.budget.spent_s)} of {_time(race.budget.planned_s)} planned"),
        ("the race cost", figures.money(race.cost) if race.cost else ""),
        ("started", figures.moment(race.started or "")),
        ("finished", figures.moment(race.finished) if race.finished else "not finished"),
        *((tool, version) for tool, version in race.tools.items()),
    ]
    return tuple((name, text) for name, text in pairs if text)


def _time(seconds: float) -> str:
    return format_duration(seconds) if seconds else "0s"


def _event(event: Event) -> EventLine:
    subject = event.variant or ""
    if event.variant and event.node_class:
        subject = f"{event.variant} on {event.node_class}"
    return EventLine(at=_clock(event.at_s), level=event.level, subject=subject, text=event.text)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _steps(race: Race) -> tuple[Step, ...]:
    path = race.submission.path if race.submission else "SUBMISSION"
    again = f"podium race -f {shlex.quote(path)} --target {race.target}"
    if race.profile_name:
        again += f" --profile {shlex.quote(race.profile_name)}"
    steps = [
        Step(
            "Run the race again: artifacts come from the store, arrivals from the same seed.",
            race.command or again,
        ),
        Step("Make this page again from the files of the race.", f"podium report {shlex.quote(race.race_id)}"),
    ]
    if race.winner:
        best = next(entry for entry in race.variants if entry.key == race.winner)
        exact = f"{best.id}@{best.address[:12]}" if best.address else best.id
        cpus = race.environment.get(best.node_class, {}).get("cpus")
        given = f"{cpus:g}" if isinstance(cpus, int | float) and cpus > 0 else "1"
        steps.append(Step("Serve the winner on this machine.", f"podium serve {shlex.quote(exact)} --cpus {given}"))
    return tuple(steps)
