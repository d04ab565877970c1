"""A largest rate that is only a lower bound: said so wherever a race is shown, and used as nothing else."""

import shutil
from pathlib import Path

import pytest

from podium.autoscaling.capacity import capacity_of
from podium.headline import headline
from podium.racefile import Race, read_race, write_race
from podium.report import report_html
from podium.report.costs import cost_block
from podium.report.drawings import drawings
from podium.report.evidence import load_runs
from podium.report.markdown import markdown_text
from podium.resultrows import variant_rows
from podium.standings import rows

REASON = "its largest rate is only known to be at least 180/s: add load generators (--runners)"


@pytest.fixture
def race(finished: Path) -> Race:
    """A race whose winner held all that the load generator could send."""
    whole = read_race(finished)
    best = whole.winning_entry
    assert best is not None
    assert best.server_max_rps is not None
    changed = best.server_max_rps.model_copy(
        update={"value": 190.0, "low": 180.0, "high": 20_000.0, "pass_rate": 190.0, "fail_rate": None, "cliff": None}
    ).model_copy(update={"unsent_rate": 208.0})
    bound = best.model_copy(update={"server_max_rps": changed, "reasons": (REASON,)})
    return whole.model_copy(update={"variants": tuple(bound if one is best else one for one in whole.variants)})


def test_the_table_and_the_headline_say_at_least_and_the_cost_at_most(race: Race) -> None:
    row = next(one for one in rows(race) if one.is_winner)
    assert (row.capacity, row.cost[:1]) == ("≥180/s", "≤")
    assert "at the load generator's limit" in row.notes
    first = headline(race)
    tile = next(one for one in first.tiles if one.name == "largest rate that holds")
    assert (tile.value, tile.note.split(";")[0]) == ("≥180/s", "the load generator's limit")
    assert "a million requests cost ≤" in first.sentence


def test_without_it_nothing_of_that_is_said(finished: Path) -> None:
    race = read_race(finished)
    texts = [text for one in rows(race) for text in (*one.cells, *one.notes)] + [headline(race).sentence]
    assert not [text for text in texts if "≥1" in text or "≤0" in text or "limit" in text]
    assert "at most so much" not in str(drawings(race, load_runs(finished, race)))


def test_a_baseline_that_is_a_bound_is_no_measure_of_the_winner(race: Race) -> None:
    source = next(one for one in race.variants if one.id == f"{race.model}-torch-fp32")
    found = source.server_max_rps
    assert found is not None
    limited = source.model_copy(
        update={"server_max_rps": found.model_copy(update={"fail_rate": None, "unsent_rate": 99.0, "high": 20_000.0})}
    )
    known = headline(race).tiles
    assert any(f"× {source.id}" in tile.note for tile in known)
    changed = race.model_copy(update={"variants": tuple(limited if o is source else o for o in race.variants)})
    assert not [tile for tile in headline(changed).tiles if "×" in tile.note]


def test_every_form_of_the_report_says_it(race: Race, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "race")
    write_race(folder, race)
    page = report_html(folder)
    for text in ("≥180/s", "smallest that could not be sent", "208/s", "at the load generator&#39;s limit"):
        assert text in page, text
    assert REASON in page
    written = markdown_text(race)
    assert "≥180/s" in written
    assert "only known to be at least 180/s" in written
    (row,) = [one for one in variant_rows(race) if one["is_winner"]]
    assert (row["server_max_rps_unsent_rate"], row["server_max_rps_fail_rate"]) == (208.0, None)
    lines = cost_block(race, None).lines
    assert [one.largest for one in lines if one.million.startswith("≤")] == ["≥180/s"]


def test_a_chart_draws_what_was_seen_and_says_that_it_is_a_bound(race: Race, finished: Path) -> None:
    pareto = next(one for one in drawings(race, load_runs(finished, race)) if one.key == "pareto")
    assert [one.name for one in pareto.legend if one.name.endswith(", at most so much")]
    assert "20,000" not in pareto.wide


def test_an_autoscaler_plans_with_the_bound_and_never_with_its_open_end(race: Race, finished: Path) -> None:
    best = race.winning_entry
    assert best is not None
    found = capacity_of(race, finished, best)
    assert found.safe_rate == 180.0
    assert found.saturated_rate is not None
    assert best.offline_rps is not None
    assert found.saturated_rate == max(190.0, best.offline_rps.value)
