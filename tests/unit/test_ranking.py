from hypothesis import given
from hypothesis import strategies as st

from podium.entry import Capacity, Entry, Money
from podium.ranking import ranked, winner


def entry(name: str, status: str, cost: float | None = None, *, emulated: bool = False) -> Entry:
    return Entry.model_validate(
        {
            "id": name,
            "node_class": "local",
            "status": status,
            "emulated": emulated,
            "cost_per_million": None if cost is None else Money(value=cost, currency="EUR"),
        }
    )


def test_the_cheapest_that_holds_wins_and_a_cheaper_failure_does_not() -> None:
    order = ranked([entry("a", "PASS", 3), entry("b", "FAIL", 1), entry("c", "PASS", 2)])
    assert [(item.id, item.rank) for item in order] == [("c", 1), ("a", 2), ("b", None)]
    best = winner(order)
    assert best is not None
    assert best.id == "c"


def test_an_emulated_entry_is_shown_and_never_ranked() -> None:
    order = ranked([entry("a", "PASS", 3), entry("b", "PASS", 1, emulated=True)])
    assert [(item.id, item.rank) for item in order] == [("a", 1), ("b", None)]


def test_among_those_without_cost_the_larger_capacity_stands_first() -> None:
    slow = entry("a", "FAIL").model_copy(update={"server_max_rps": Capacity(value=5, low=5, high=6)})
    fast = entry("b", "FAIL").model_copy(update={"server_max_rps": Capacity(value=9, low=8, high=9)})
    assert [item.id for item in ranked([slow, fast])] == ["b", "a"]


def test_nobody_wins_where_nothing_passed() -> None:
    assert winner(ranked([entry("a", "FAIL", 1), entry("b", "VOID")])) is None


@given(st.lists(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "VOID", "REJECTED", "SKIPPED"]), max_size=8))
def test_ranks_count_up_from_one_over_exactly_the_passes(statuses: list[str]) -> None:
    order = ranked([entry(f"v{i}", status, i + 1.0) for i, status in enumerate(statuses)])
    ranks = [item.rank for item in order if item.rank is not None]
    assert ranks == list(range(1, statuses.count("PASS") + 1))
    assert {item.id for item in order} == {f"v{i}" for i in range(len(statuses))}
