"""The report for a pull request."""

from __future__ import annotations

from pathlib import Path

from podium.racefile import read_race
from podium.report.markdown import markdown_text
from podium.standings import COLUMNS
from tests import racefolders, races


def test_markdown_has_the_verdict_the_ranking_and_how_to_repeat_it(finished: Path) -> None:
    race = read_race(finished)
    text = markdown_text(race)
    head, table = text.split("\n\n")[0], [line for line in text.splitlines() if line.startswith("|")]
    assert head == "## food11: food11-openvino-int8 wins"
    assert len(table) == 2 + len(race.variants)
    assert all(line.replace("\\|", "").count("|") == len(COLUMNS) + 1 for line in table)
    assert "**food11-openvino-int8**" in table[2]
    assert "needs about 1,400 more requests" in text
    assert "`podium race -f examples/food11.yaml --profile quick`" in text
    assert "fingerprint `4be0643f1d98`" in text


def test_nothing_of_a_race_becomes_markup(race_folder: Path) -> None:
    hostile = "a|b <img src=x> [x](http://h) @all #1 `c` **d**\n## e"
    race = racefolders.change(race_folder, model=hostile, command=hostile, race_id=hostile)
    entry = race.variants[0].model_copy(update={"reasons": (hostile,)})
    text = markdown_text(race.model_copy(update={"variants": (entry, *race.variants[1:])}))
    assert "<img" not in text.replace("`a|b <img", "")
    assert "\n## e" not in text
    assert "\\[x\\]\\(http://h\\) \\@all \\#1" in text
    assert "a\\|b &lt;img" in text


def test_markdown_of_a_race_without_entries_says_so() -> None:
    bare = races.race(()).model_copy(update={"cost": None, "command": ""})
    text = markdown_text(bare)
    assert "No variant was entered." in text
    assert "Again" not in text
