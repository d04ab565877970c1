"""What the service of a winner says of itself: since when it serves, and why."""

from datetime import datetime
from pathlib import Path

import pytest

from podium.cluster.promotion import verdict_of
from podium.entry import Entry, EntryKey, Money
from podium.racefile import Budget, Race

pytestmark = pytest.mark.unit

SINCE = "2026-01-02T03:04:05+00:00"


def entry(name: str, address: str, **changes: object) -> Entry:
    fields: dict[str, object] = {"id": name, "node_class": "epyc", "address": address, "status": "PASS"}
    return Entry.model_validate(fields | changes)


def race(*entries: Entry) -> Race:
    return Race(
        race_id="pie-20260102-030405-abc123",
        model="pie",
        target="cluster",
        level="quick",
        slo="p99<=50ms, rate>=40/s",
        winner=EntryKey(variant=entries[0].id, node_class="epyc"),
        fingerprints={},
        budget=Budget(planned_s=60, spent_s=50),
        cost=None,
        events=(),
        variants=entries,
    )


def said(serving: dict[str, str] | None, *others: Entry, **changes: object) -> dict[str, str]:
    winner = entry("pie-ort-fp32", "ab" * 32, rank=1, **changes)
    found = verdict_of(race(winner, *others), winner, Path("runs/pie-20260102-030405-abc123"), serving=serving)
    return {key.removeprefix("podium.dev/"): text for key, text in found.items()}


@pytest.mark.parametrize(
    ("serving", "keeps"),
    [
        (None, False),
        ({}, False),
        ({"podium.dev/address": "ab" * 32, "podium.dev/since": SINCE}, True),
        ({"podium.dev/address": "cd" * 32, "podium.dev/since": SINCE}, False),
        ({"podium.dev/address": "ab" * 32}, False),
    ],
)
def test_an_incumbent_that_wins_again_has_served_all_the_while(serving: dict[str, str] | None, keeps: bool) -> None:
    since = said(serving)["since"]
    assert (since == SINCE) is keeps
    assert datetime.fromisoformat(since).tzinfo is not None


def test_why_it_serves_is_told_with_its_rivals_and_its_price() -> None:
    assert said(None)["reason"] == "alone holds p99<=50ms, rate>=40/s"
    rival = entry("pie-ort-int8", "cd" * 32, rank=2)
    emulated = entry("pie-torch-fp32", "ef" * 32, emulated=True)
    price = Money(value=1.23456, currency="EUR")
    told = said(None, rival, emulated, cost_per_million=price)
    assert told["reason"] == "holds p99<=50ms, rate>=40/s, 1.23 EUR a million requests; 1 other holds it too"
    assert (told["winner"], told["verdict"]) == ("pie-ort-fp32", "PASS p99<=50ms, rate>=40/s")
    assert told["report"] == "pie-20260102-030405-abc123/report.html"
