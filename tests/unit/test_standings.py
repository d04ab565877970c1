"""The ranking in words."""

from podium.entry import Entry, Money, Status
from podium.standings import COLUMNS, SYMBOLS, outcome, rows
from tests import races


def test_rows_keep_the_order_of_the_race_and_fill_every_column() -> None:
    race = races.race(races.unloaded())
    lines = rows(race)
    assert [row.variant for row in lines] == [entry.id for entry in race.variants]
    assert all(len(row.cells) == len(COLUMNS) for row in lines)
    assert all(cell for row in lines for cell in row.cells)


def test_what_was_not_measured_is_a_dash() -> None:
    [row] = rows(races.race((Entry(id="v", node_class="local", status="SKIPPED"),)))
    assert row.cells == ("–", "v", "– SKIPPED", "–", "–", "–", "–", "–")


def test_void_names_its_proof_and_needs_are_told() -> None:
    lines = {row.status: row for row in rows(races.race(races.unloaded()))}
    assert lines["VOID"].notes == ("void:late",)
    assert lines["INCONCLUSIVE"].needs == "about 1,400 more requests or 4 more blocks"


def test_incumbent_and_emulated_entries_are_marked() -> None:
    entry = Entry(id="v", node_class="local", status="FAIL", emulated=True)
    race = races.race((entry,)).model_copy(update={"incumbent": "v"})
    assert rows(race)[0].notes == ("incumbent", "emulated, not ranked")


def test_a_shared_place_and_a_missing_one_are_said() -> None:
    cost = Money(value=0.1, currency="EUR")
    entries = (
        Entry(id="a", node_class="local", status="PASS", rank=1, cost_per_million=cost),
        Entry(id="b", node_class="local", status="PASS", rank=1, cost_per_million=cost),
        Entry(id="c", node_class="local", status="PASS", rank=3, cost_per_million=cost),
        Entry(id="d", node_class="local", status="PASS", unranked="not ranked: p99 differs from block to block"),
    )
    lines = rows(races.race(entries))
    assert [row.place for row in lines] == ["1=", "1=", "3", "–"]
    tie = "a tie: intervals meet"
    assert [row.notes for row in lines] == [(tie,), (tie,), (), ("not ranked: its blocks disagree",)]


def test_a_cost_that_nobody_knows_is_said_and_is_no_tie_of_intervals() -> None:
    entries = tuple(Entry(id=name, node_class="local", status="PASS", rank=2) for name in "ab")
    lines = rows(races.race(entries))
    assert [(row.place, row.notes) for row in lines] == [("2=", ("its cost is not known",))] * 2


def test_only_the_winner_is_marked_as_such() -> None:
    entries = (
        Entry(id="v", node_class="local", status="PASS", rank=1),
        Entry(id="v", node_class="epyc", status="PASS", rank=2),
    )
    assert [row.is_winner for row in rows(races.race(entries))] == [True, False]


def test_outcome_counts_each_status_once() -> None:
    statuses: tuple[Status, ...] = ("PASS", "FAIL", "FAIL", "VOID")
    entries = tuple(Entry(id=f"v{n}", node_class="local", status=status) for n, status in enumerate(statuses))
    assert outcome(races.race(entries)) == "1 holds, 2 fail and 1 is void"


def test_every_status_has_a_sign_of_its_own() -> None:
    assert len(set(SYMBOLS.values())) == len(SYMBOLS) == 6
