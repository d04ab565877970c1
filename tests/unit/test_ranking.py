from hypothesis import given
from hypothesis import strategies as st

from podium.entry import Capacity, Entry, Money
from podium.ranking import level_with, ranked, winner


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


def figured(name: str, rate: float, low: float, high: float, *, unranked: str = "") -> Entry:
    """An entry that holds, at a cost of 100 over its rate."""
    capacity = Capacity(value=rate, low=low, high=high)
    return entry(name, "PASS", 100 / rate).model_copy(update={"server_max_rps": capacity, "unranked": unranked})


def places(*entries: Entry) -> list[tuple[str, int | None]]:
    return [(item.id, item.rank) for item in ranked(entries)]


def test_entries_whose_intervals_meet_share_a_place_and_the_next_place_counts_them() -> None:
    order = (figured("c", 50, 45, 55), figured("b", 95, 85, 105), figured("a", 100, 90, 110))
    assert places(*order) == [("a", 1), ("b", 1), ("c", 3)]
    best = winner(ranked(order))
    assert best is not None
    assert best.id == "a"
    assert [other.id for other in level_with(best, ranked(order))] == ["b"]
    assert level_with(ranked(order)[2], ranked(order)) == ()


def test_a_shared_place_goes_to_the_incumbent_else_to_the_smallest_artifact_and_not_to_chance() -> None:
    def sized(name: str, rate: float, size: int) -> Entry:
        return figured(name, rate, rate - 10, rate + 10).model_copy(update={"size_bytes": size})

    large, small, slow = sized("large", 100, 8), sized("small", 95, 7), sized("slow", 60, 1)
    assert [item.id for item in ranked((large, small, slow))] == ["small", "large", "slow"]
    assert [item.id for item in ranked((large, small, slow), "large")] == ["large", "small", "slow"]
    assert [item.id for item in ranked((large, small, slow), "slow")] == ["small", "large", "slow"]
    unknown = figured("unknown", 105, 95, 115)
    assert [item.id for item in ranked((unknown, large, small))] == ["small", "large", "unknown"]


def test_a_place_is_shared_with_its_first_and_not_down_a_chain() -> None:
    chain = (figured("a", 100, 90, 110), figured("b", 85, 78, 92), figured("c", 75, 70, 80))
    assert places(*chain) == [("a", 1), ("b", 1), ("c", 3)]


def test_a_lower_bound_shares_the_place_of_whatever_may_be_no_better_and_is_behind_nobody_above_it() -> None:
    limited = figured("limited", 70, 65, 20_000)
    best, middle = figured("best", 100, 95, 105), figured("middle", 80, 75, 85)
    slow = figured("slow", 50, 45, 55)
    assert places(best, middle, limited, slow) == [("best", 1), ("limited", 1), ("middle", 3), ("slow", 4)]
    # The same figure, as a measured end, stands last but one.
    known = figured("known", 70, 65, 74)
    assert places(best, middle, known, slow) == [("best", 1), ("middle", 2), ("known", 3), ("slow", 4)]
    assert places(limited, slow) == [("limited", 1), ("slow", 2)]


def test_intervals_that_do_not_meet_are_told_apart_whatever_the_node_class() -> None:
    other = figured("b", 80, 75, 85).model_copy(update={"node_class": "epyc"})
    assert places(figured("a", 100, 90, 110), other) == [("a", 1), ("b", 2)]
    free = figured("b", 80, 0, 85)
    assert places(figured("a", 100, 90, 110), free) == [("a", 1), ("b", 2)]


def test_entries_without_figures_share_the_first_place() -> None:
    assert places(entry("b", "PASS"), entry("a", "PASS")) == [("a", 1), ("b", 1)]


def test_an_entry_without_a_cost_stands_after_those_with_one_and_shares_no_place_with_them() -> None:
    assert places(entry("b", "PASS"), figured("a", 100, 90, 110)) == [("a", 1), ("b", 2)]
    order = (entry("d", "PASS"), entry("c", "PASS"), figured("b", 95, 85, 105), figured("a", 100, 90, 110))
    assert places(*order) == [("a", 1), ("b", 1), ("c", 3), ("d", 3)]


def test_an_entry_whose_blocks_disagree_has_no_rank_and_wins_only_where_it_alone_holds() -> None:
    order = ranked([figured("a", 100, 90, 110, unranked="not ranked: …"), figured("b", 50, 45, 55)])
    assert [(item.id, item.rank) for item in order] == [("b", 1), ("a", None)]
    best = winner(order)
    assert best is not None
    assert best.id == "b"
    disagreeing = [figured(name, 100, 90, 110, unranked="not ranked: …") for name in "ac"]
    assert winner(ranked(disagreeing)) is None
    alone = winner(ranked([disagreeing[0], entry("d", "FAIL", 1)]))
    assert alone is not None
    assert (alone.id, alone.rank) == ("a", None)
    emulated = disagreeing[0].model_copy(update={"emulated": True})
    assert winner(ranked([emulated])) is None


@given(st.lists(st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "VOID", "REJECTED", "SKIPPED"]), max_size=8))
def test_ranks_count_up_from_one_over_exactly_the_passes(statuses: list[str]) -> None:
    order = ranked([entry(f"v{i}", status, i + 1.0) for i, status in enumerate(statuses)])
    ranks = [item.rank for item in order if item.rank is not None]
    assert ranks == list(range(1, statuses.count("PASS") + 1))
    assert {item.id for item in order} == {f"v{i}" for i in range(len(statuses))}
