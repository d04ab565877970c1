"""The pages of a session: one that compares the policies, and one for each policy; made from the records alone.

The templates hold no logic, and this module holds no markup: drawings come from `podium.charts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import SloError
from loadtest.slo import parse_slo
from podium import charts, figures
from podium.charts import NARROW, WIDE, Limit, Style
from podium.charts.elastic import ElasticSeconds, elastic_series
from podium.report.drawings import Figure, Legend
from podium.scoring.card import Card
from podium.scoring.comparison import Comparison, Pooled
from podium.scoring.record import Trouble
from podium.scoring.texts import COLUMNS, ratio_text, row, seconds_text, verdict
from podium.templating import policy, style, template
from podium.wholefile import write_whole

__all__ = ["write_pages"]

_INDEX = "index.html"
# Who can shorten a part of a start, and how.
_OWNERS = {
    "detect": ("autoscaler", "a lower target, a shorter sync period or window, a metric that is read more often"),
    "schedule": ("cluster", "room on the nodes, or nodes that are there before they are needed"),
    "pull": ("cluster", "the image on the node beforehand, or a smaller one"),
    "load": ("predictor", "a smaller artifact, a nearer store, a lighter runtime"),
    "warm": ("predictor", "fewer batch sizes to warm, more CPU at the start"),
    "first_good_answer": ("cluster", "a shorter readiness period, endpoints that follow sooner"),
}
_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part of a start as texts."""

    name: str
    mean: str
    worst: str
    count: str
    owner: str
    fix: str


@dataclass(frozen=True, slots=True)
class RunBlock:
    """One run of a policy: its figures, its drawing, what went wrong."""

    name: str
    void: str
    facts: _Pairs
    figure: Figure
    troubles: tuple[tuple[str, str], ...]
    proofs: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """All that the page of a policy shows; on the comparison only its head and its first run."""

    name: str
    file: str
    row: tuple[str, ...]
    settings: _Pairs
    parts: tuple[PartLine, ...]
    runs: tuple[RunBlock, ...]


@dataclass(frozen=True, slots=True)
class ScorePage:
    """What the comparison shows; `style` is a style sheet, drawings are markup."""

    title: str
    lines: tuple[str, ...]
    session: str
    tiles: tuple[tuple[str, str, str], ...]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    policies: tuple[PolicyPage, ...]
    figures: tuple[Figure, ...]
    subject: _Pairs
    environment: _Pairs
    style: str
    policy: str
    shown: PolicyPage | None = None


def write_pages(folder: Path, comparison: Comparison) -> Path:
    """Write the pages into a folder, and return that of the comparison.

    Raises:
        MachineError: the folder cannot be written.
    """
    pages = tuple(_policy_page(one, comparison, number) for number, one in enumerate(comparison.policies))
    sheet = style()
    cards = [card for one in comparison.policies for card in (*one.cards, *one.void)]
    run = cards[0].run
    subject = run.subject
    shared = {
        "session": run.session,
        "labels": comparison.labels,
        "columns": tuple(column.lower() for column in COLUMNS),
        "policies": pages,
        "subject": (
            ("variant", f"{subject.variant} ({subject.address[:12]})"),
            ("node class", subject.node_class),
            ("pod", ", ".join(f"{name} {amount}" for name, amount in subject.resources.items())),
            ("objective", figures.objective(subject.slo)),
            ("safe rate of a pod", f"{figures.rate(subject.safe_rate)}: {subject.safe_rate_from}"),
            ("load", subject.profile_name + ("" if subject.rate is None else f" of {figures.rate(subject.rate)}")),
        ),
        "environment": tuple(
            (name, figures.enumerate_words([str(item) for item in value]) if isinstance(value, list) else str(value))
            for name, value in run.environment.items()
            if name != "labels"
        ),
        "style": sheet,
        "policy": policy(sheet),
    }
    index = ScorePage(
        title=_title(comparison),
        lines=verdict(comparison),
        tiles=_tiles(comparison),
        figures=tuple(page.runs[0].figure for page in pages if page.runs),
        **shared,  # type: ignore[arg-type]
    )
    for page, pooled in zip(pages, comparison.policies, strict=True):
        told = (f"the SLO does not hold in {seconds_text(pooled.violation_s)} of a run",)
        one = ScorePage(title=page.name, lines=told, tiles=(), figures=(), shown=page, **shared)  # type: ignore[arg-type]
        write_whole(folder / page.file, template("score.html.j2").render(page=one), makes_folder=True)
    path = folder / _INDEX
    write_whole(path, template("score.html.j2").render(page=index), makes_folder=True)
    return path


def _title(comparison: Comparison) -> str:
    if not comparison.rivalries:
        return comparison.policies[0].policy
    found = [one for one in comparison.rivalries if one.finding == "better"]
    if not found:
        return f"no policy is shown to be better than {comparison.policies[0].policy}"
    best = min(found, key=lambda one: one.violation.value if one.violation is not None else 1.0)
    return f"{best.policy} is better than {best.baseline}"


def _tiles(comparison: Comparison) -> tuple[tuple[str, str, str], ...]:
    tiles = []
    for one in comparison.rivalries[:2]:
        against = f"{one.policy} against {one.baseline}"
        tiles.append(("violated seconds, ratio", ratio_text(one.violation), against))
        tiles.append(("pod-seconds, ratio", ratio_text(one.pod_seconds), against))
    return tuple(tiles)


def _policy_page(pooled: Pooled, comparison: Comparison, number: int) -> PolicyPage:
    cards = sorted((*pooled.cards, *pooled.void), key=lambda card: card.run.repeat)
    first = cards[0].run
    peers = [_seconds(card, Style(0)) for one in comparison.policies for card in (*one.cards, *one.void)]
    known = {"detect": pooled.detect, **pooled.parts}
    parts = tuple(
        PartLine(
            name=name.replace("_", " "),
            mean=figures.NONE if found is None else f"{figures.number(found.mean_s)} s",
            worst=figures.NONE if found is None else f"{figures.number(found.worst_s)} s",
            count="0" if found is None else str(found.count),
            owner=_OWNERS[name][0],
            fix=_OWNERS[name][1],
        )
        for name, found in known.items()
    )
    return PolicyPage(
        name=pooled.policy,
        file=f"{pooled.policy}.html",
        row=row(pooled),
        settings=(("mode", first.mode), *_flat(first.policy_file), *_flat({"cluster": first.autoscaler})),
        parts=parts,
        runs=tuple(_run(card, peers, number, index) for index, card in enumerate(cards)),
    )


def _run(card: Card, peers: Sequence[ElasticSeconds], number: int, index: int) -> RunBlock:
    run, found = card.run, card.score
    look, key = Style(number), f"elastic-{number}-{index}"
    drawn = _seconds(card, look)
    limit = _limit(run.subject.slo)
    figure = Figure(
        key=key,
        title=f"{run.policy}, repeat {run.repeat}",
        caption=(
            "Above: the offered rate (dashed), what the ready pods hold (thick) and what was asked for (thin)."
            " Below: latency by the second in which a request was meant to leave."
        ),
        wide=elastic_series(drawn, peers=peers, limit=limit, size=WIDE, key=key),
        narrow=elastic_series(drawn, peers=peers, limit=limit, size=NARROW, key=key),
        legend=(Legend(charts.swatch(look), run.policy),),
        left_out="",
    )
    cost = figures.money(card.cost)
    facts = (
        ("SLO violated", f"{found.violation_s} s of {run.seconds} s, over the last {found.window_s} s each"),
        ("missed", f"{figures.percent(found.missed)} of {found.offered:,.0f}"),
        ("refused", figures.percent(found.refused)),
        ("pod-seconds", f"{found.pod_seconds:,.0f}, {found.wasted_pod_seconds:,.0f} of them not needed"),
        ("cost", cost),
        ("turns and flaps", f"{found.direction_changes} and {found.flaps}"),
        ("pods that started", str(len(run.starts))),
        ("settled after", f"{run.settled_s:g} s"),
        ("answers by status", ", ".join(f"{code}: {count:,}" for code, count in run.generated.codes.items())),
    )
    return RunBlock(
        name=f"repeat {run.repeat}",
        void=run.void or "",
        facts=facts,
        figure=figure,
        troubles=tuple((_when(trouble), trouble.text) for trouble in run.troubles),
        proofs=tuple(
            (one.check, {True: "ok", False: "bad", None: "none"}[one.ok], _SIGNS[one.ok], one.evidence)
            for one in run.passport
        ),
    )


_SIGNS = {True: "✓ holds", False: "✕ fails", None: "– not measured"}


def _when(trouble: Trouble) -> str:
    if trouble.until_s is None:
        return f"from {trouble.at_s:.0f} s on"
    return f"{trouble.at_s:.0f} s" if trouble.until_s == trouble.at_s else f"{trouble.at_s:.0f}–{trouble.until_s:.0f} s"


def _seconds(card: Card, look: Style) -> ElasticSeconds:
    run = card.run
    return ElasticSeconds(
        name=run.policy,
        style=look,
        rates=run.generated.rates,
        ready=run.scaled.ready,
        wanted=run.scaled.wanted,
        p99_ms=run.generated.p99_ms,
        violated=tuple(bool(value) for value in card.violated),
        safe_rate=run.subject.safe_rate,
    )


def _limit(slo: str) -> Limit | None:
    try:
        clauses = parse_slo(slo).latency_clauses
    except SloError:
        return None
    tightest = min(clauses, key=lambda clause: clause.value, default=None)
    if tightest is None or tightest.quantile is None:
        return None
    return Limit(100 * tightest.quantile, tightest.value * 1000, figures.objective(str(tightest)))


def _flat(told: object, name: str = "") -> list[tuple[str, str]]:
    """Return nested settings as lines of a dotted name and a value."""
    if isinstance(told, dict):
        return [line for key, value in told.items() for line in _flat(value, f"{name}.{key}" if name else str(key))]
    if isinstance(told, list | tuple):
        return [line for number, value in enumerate(told) for line in _flat(value, f"{name}.{number}")]
    return [(name, str(told))]
