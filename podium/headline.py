"""What a race found, first: who won or why nobody did, in a sentence with its numbers, and four figures.

The report opens with it and the terminal ends with it. Every word comes from the race file. A figure of
level `quick` or of a target that shares its machine with the load says so right here, because a headline is
what gets copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from podium import figures
from podium.entry import Entry
from podium.racefile import Race
from podium.ranking import level_with
from podium.standings import outcome

__all__ = ["UNFINISHED", "Badge", "Headline", "Tile", "headline"]

# The label of a race that has no result yet.
UNFINISHED = "unfinished"
_LEVELS = {
    "quick": ("level quick", "95 % confidence from short blocks: enough to choose, not to promote"),
    "standard": ("level standard", "99 % confidence from five blocks of a minute"),
}
_TARGETS = {
    "local": (
        "local: functional and relative",
        "server and load share one machine, so figures compare variants and do not size a cluster",
    ),
    "cluster": ("cluster", "served and loaded on the nodes of a cluster"),
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A short label and what it means."""

    label: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the winner: what it is, its value, and what to hold it against."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The first screen: a title, the sentence below it, badges and the winner's figures."""

    title: str
    subject: str
    sentence: str
    badges: tuple[Badge, ...]
    tiles: tuple[Tile, ...]
    has_winner: bool


def headline(race: Race) -> Headline:
    """Return the first screen of a race."""
    winner = race.winning_entry
    badges = [Badge(*_LEVELS[race.level]), Badge(*_TARGETS[race.target])]
    badges += [Badge(label, "") for label in race.labels if label not in {badge.label for badge in badges}]
    if winner is None and UNFINISHED in race.labels:
        return Headline(
            title="This race is not finished",
            subject="",
            sentence=(
                f"It has no verdict: {figures.plural(sum(len(entry.runs) for entry in race.variants), 'run')} of "
                f"{figures.plural(len(race.variants), 'variant')} so far. The same command goes on where it ended."
            ),
            badges=tuple(badge for badge in badges if badge.label != UNFINISHED),
            tiles=(),
            has_winner=False,
        )
    if winner is None:
        return Headline(
            title="No variant wins",
            subject="",
            sentence=_nobody(race),
            badges=tuple(badges),
            tiles=(),
            has_winner=False,
        )
    return Headline(
        title="wins",
        subject=winner.id,
        sentence=_won(race, winner),
        badges=tuple(badges),
        tiles=tuple(_tiles(race, winner)),
        has_winner=True,
    )


def _won(race: Race, winner: Entry) -> str:
    holding = sum(entry.status == "PASS" and not entry.emulated for entry in race.variants)
    parts = [f"It holds {figures.objective(race.slo)} on {winner.node_class}"]
    if winner.hold and winner.hold.p99_ms is not None:
        tail = figures.milliseconds(winner.hold.p99_ms)
        parts[0] += f", with a p99 of {tail} at {figures.asked_rate(winner.hold.rate)}"
    if winner.quality:
        parts.append(f"its {winner.quality.metric} is {figures.percent(winner.quality.value)}")
    if winner.cost_per_million:
        ties = [entry.id for entry in level_with(winner, race.variants)]
        least = f", the least of {holding} that hold" if holding > 1 and not ties else ""
        cost = figures.cost(winner.cost_per_million, winner.server_max_rps)
        parts.append(f"a million requests cost {cost}{least}")
        if ties:
            why = "what serves stays" if winner.id == race.incumbent else "the smallest artifact is taken"
            parts.append(f"{figures.enumerate_words(ties)} cannot be told from it by that, so {why}")
    elif holding > 1:
        parts.append(f"it ranks first of {holding} that hold")
    return f"{'; '.join(parts)}. {_count(race)}"


def _count(race: Race) -> str:
    return f"Of {figures.plural(len(race.variants), 'entry', 'entries')}: {outcome(race)}."


def _nobody(race: Race) -> str:
    sentence = f"Asked was {figures.objective(race.slo)}. {_count(race)}"
    best = max(
        (entry for entry in race.variants if entry.server_max_rps and not entry.emulated),
        key=lambda entry: entry.server_max_rps.value if entry.server_max_rps else 0.0,
        default=None,
    )
    if best and best.server_max_rps and best.server_max_rps.value > 0:
        sentence += (
            f" The largest rate that held every other clause was "
            f"{figures.capacity(best.server_max_rps)}, by {best.id} on {best.node_class}."
        )
    if unranked := [entry.id for entry in race.variants if entry.unranked and not entry.emulated]:
        sentence += f" The blocks of {figures.enumerate_words(unranked)} disagree too much for a rank."
    if race.finished is None:
        sentence += " The race is not finished."
    return sentence


def _tiles(race: Race, winner: Entry) -> list[Tile]:
    tiles = []
    hold = winner.hold
    if hold and hold.p99_ms is not None:
        limit = next((clause.text for clause in winner.clauses if clause.text.startswith("p99<")), race.slo)
        tiles.append(
            Tile(
                f"p99 at {figures.asked_rate(hold.rate)}",
                figures.milliseconds(hold.p99_ms),
                f"asked {figures.objective(limit)}",
            )
        )
    if winner.server_max_rps and winner.server_max_rps.value > 0:
        tiles.append(Tile("largest rate that holds", figures.capacity(winner.server_max_rps), _times(race, winner)))
    if winner.quality:
        quality = winner.quality
        ends = f"{quality.low * 100:.1f}–{quality.high * 100:.1f} % on {figures.plural(quality.n, 'sample')}"
        tiles.append(Tile(quality.metric, figures.percent(quality.value), ends))
    if winner.cost_per_million:
        cost = figures.cost(winner.cost_per_million, winner.server_max_rps)
        tiles.append(Tile("cost per million", cost, "at the planned utilization"))
    return tiles


def _times(race: Race, winner: Entry) -> str:
    """Return the winner's rate against the unoptimized source, at the least favorable interval ends."""
    baseline = next(
        (
            entry
            for entry in race.variants
            if entry.id == f"{race.model}-torch-fp32" and entry.node_class == winner.node_class and entry != winner
        ),
        None,
    )
    theirs = baseline.server_max_rps if baseline else None
    mine = winner.server_max_rps
    notes = ["the load generator's limit"] if mine and mine.is_bound else []
    if baseline and theirs and theirs.high > 0 and not theirs.is_bound and mine:
        notes.append(f"at least {mine.low / theirs.high:.1f} × {baseline.id}")
    return "; ".join(notes)
