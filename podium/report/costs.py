"""What the variants cost as texts: the price of a node class, a server's share of it, and what is served for it."""

from __future__ import annotations

from dataclasses import dataclass

from podium import figures
from podium.dossier import Dossier, Price
from podium.entry import Capacity, Entry
from podium.racefile import Race
from podium.report.drawings import entry_name, left_out

__all__ = ["CostBlock", "CostLine", "cost_block"]

_Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CostLine:
    """One variant: what its server costs an hour, what it serves within the SLO, and what a million of that costs."""

    name: str
    node_class: str
    pod: str
    largest: str
    planned: str
    million: str


@dataclass(frozen=True, slots=True)
class CostBlock:
    """Prices by node class, a line a variant, and the race's own cost."""

    prices: tuple[tuple[str, _Pairs], ...]
    lines: tuple[CostLine, ...]
    left_out: str
    race: str
    idle: str


def cost_block(race: Race, dossier: Dossier | None) -> CostBlock:
    """Return the costs of a race."""
    found = race.profile.get("utilization")
    utilization = float(found) if isinstance(found, int | float) else None
    prices = dossier.prices if dossier else {}
    minutes = race.budget.spent_s / 60
    spent = f"{figures.number(minutes)} minutes of measuring"
    return CostBlock(
        prices=tuple((name, _price(price)) for name, price in prices.items()),
        lines=tuple(
            _line(race, entry, utilization, prices.get(entry.node_class))
            for entry in race.variants
            if entry.server_max_rps is not None
        ),
        left_out=left_out(
            race, [entry for entry in race.variants if entry.server_max_rps is None], "a search for the largest rate"
        ).replace("Not drawn", "Not listed"),
        race=f"{figures.money(race.cost)} for {spent}" if race.cost else spent,
        idle="" if utilization is None else figures.percent(1 - utilization, 0).replace(" ", "\u00a0"),
    )


def _price(price: Price) -> _Pairs:
    asked = ", ".join(f"{name} {amount}" for name, amount in price.requests.items())
    has = ", ".join(f"{name} {amount}" for name, amount in price.allocatable.items())
    return (
        ("node", f"{figures.number(price.per_hour)} {price.currency} an hour"),
        ("it has", has),
        ("a server asks for", asked),
        ("its share", f"{figures.percent(price.share)}, the largest of these parts"),
        ("a server", f"{figures.number(price.pod_per_hour)} {price.currency} an hour"),
    )


def _line(race: Race, entry: Entry, utilization: float | None, price: Price | None) -> CostLine:
    found, cost = entry.server_max_rps, entry.cost_per_million
    planned = found.value * utilization if found and found.value > 0 and utilization else None
    pod = f"{figures.number(price.pod_per_hour)} {price.currency}" if price else figures.NONE
    if price is None and cost and planned:
        # Price over rate, turned around: the file of the node class is not on record.
        pod = f"{figures.number(cost.value * planned * 3600 / 1e6)} {cost.currency}"
    return CostLine(
        name=entry_name(race, entry),
        node_class=entry.node_class,
        pod=pod,
        largest=_largest(found),
        planned=figures.rate(planned),
        million=figures.cost(cost, found),
    )


def _largest(found: Capacity | None) -> str:
    if found is None:
        return figures.NONE
    return figures.capacity(found) if found.is_bound else figures.rate(found.value)
