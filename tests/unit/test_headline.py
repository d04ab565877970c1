"""What a race found, in a sentence."""

import pytest

from podium.entry import Entry, EntryKey
from podium.headline import headline
from podium.racefile import Race
from tests import races


@pytest.fixture(scope="module")
def won() -> Race:
    entries = tuple(
        races.measured(variant, races.hold(variant, 7), rank=rank, runs=())
        for variant, rank in zip(races.VARIANTS, (1, 2, None, None), strict=True)
    )
    return races.race(entries)


def replaced(race: Race, **fields: object) -> Race:
    return Race.model_validate({**race.model_dump(), **fields})


def test_winner_is_named_with_its_numbers(won: Race) -> None:
    first = headline(won)
    assert (first.subject, first.title) == ("food11-openvino-int8", "wins")
    assert (
        "It holds p99 ≤ 100 ms, errors ≤ 1 %, rate ≥ 40/s on local, with a p99 of 13.8 ms at 40/s"
        in first.sentence.replace("\u00a0", " ")
    )
    assert "its accuracy is 92.5 %" in first.sentence.replace("\u00a0", " ")
    assert "EUR, the least of 2 that hold" in first.sentence.replace("\u00a0", " ")
    assert "Of 4 entries: 2 hold and 2 fail." in first.sentence.replace("\u00a0", " ")


def test_those_that_cannot_be_told_from_the_winner_are_named(won: Race) -> None:
    first, second, *others = won.variants
    tied = won.model_copy(update={"variants": (first, second.model_copy(update={"rank": 1}), *others)})
    assert f"{second.id} cannot be told from it by that" in headline(tied).sentence
    assert "cannot be told" not in headline(won).sentence


def test_those_that_hold_and_have_no_rank_are_named_where_nobody_wins() -> None:
    entry = Entry(id="v", node_class="local", status="PASS", unranked="not ranked: p99 differs from block to block")
    found = headline(races.race((entry,)))
    assert not found.has_winner
    assert "The blocks of v disagree too much for a rank." in found.sentence


def test_level_and_target_stand_beside_the_headline(won: Race) -> None:
    badges = {badge.label: badge.meaning for badge in headline(won).badges}
    assert "95 %" in badges["level quick"]
    assert "one machine" in badges["local: functional and relative"]
    assert len(badges) == 2
    standard = headline(replaced(won, level="standard", target="cluster", labels=("kind: relative only",)))
    assert [badge.label for badge in standard.badges] == ["level standard", "cluster", "kind: relative only"]


def test_tiles_hold_the_winner_against_objective_and_source(won: Race) -> None:
    tiles = {tile.name: tile for tile in headline(won).tiles}
    assert tiles["p99 at 40/s"].note == "asked p99\u00a0≤\u00a0100\u00a0ms"
    fastest, slowest = won.variants[0].server_max_rps, won.variants[-1].server_max_rps
    assert fastest is not None
    assert slowest is not None
    # The least favorable ends: the winner's lower against the upper of the unoptimized source.
    assert tiles["largest rate that holds"].note == (f"at least {fastest.low / slowest.high:.1f} × food11-torch-fp32")
    assert tiles["accuracy"].note.endswith("on 2,200 samples")
    assert "cost per million" in tiles


def test_times_the_source_are_left_out_where_it_held_no_rate(won: Race) -> None:
    source = won.variants[-1].model_dump()
    source["server_max_rps"] = {"value": 0, "low": 0, "high": 0}
    race = replaced(won, variants=(*won.variants[:-1], Entry.model_validate(source)))
    tiles = {tile.name: tile for tile in headline(race).tiles}
    assert tiles["largest rate that holds"].note == ""


def test_winner_without_figures_is_still_a_sentence() -> None:
    bare = Entry(id="v", node_class="local", status="PASS", rank=1)
    second = Entry(id="w", node_class="local", status="PASS", rank=2)
    first = headline(races.race((bare, second)))
    assert "it ranks first of 2 that hold" in first.sentence.replace("\u00a0", " ")
    assert first.tiles == ()
    assert "least" not in headline(races.race((bare,))).sentence


def test_no_winner_says_why_and_what_came_closest(won: Race) -> None:
    race = races.race(tuple(entry for entry in won.variants if entry.status == "FAIL") + races.unloaded())
    first = headline(race)
    assert not first.has_winner
    assert first.title == "No variant wins"
    assert (
        "2 fail, 1 is inconclusive, 1 is void, 1 is rejected for its quality and 1 is skipped"
        in first.sentence.replace("\u00a0", " ")
    )
    assert "11.2–12.0/s, by food11-ort-fp32 on local" in first.sentence.replace("\u00a0", " ")
    assert first.tiles == ()


def test_emulated_entries_are_never_the_closest(won: Race) -> None:
    emulated = won.variants[2].model_copy(update={"emulated": True})
    assert "largest rate" not in headline(races.race((emulated,))).sentence


def test_unfinished_race_says_so(won: Race) -> None:
    assert "not finished" in headline(replaced(races.race(races.unloaded()), finished=None)).sentence
    assert "0 entries: no variant was entered" in headline(replaced(won, variants=(), winner=None)).sentence


def test_winner_key_decides_and_not_the_order(won: Race) -> None:
    key = EntryKey(variant="food11-ort-int8", node_class="local")
    assert headline(replaced(won, winner=key.model_dump())).subject == "food11-ort-int8"
