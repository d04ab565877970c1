"""No string from outside becomes markup in the report, and its colors can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from podium import templating
from podium.entry import Proof
from podium.racefile import Event, Race, SubmissionText, read_race
from podium.report import report_html
from tests import racefolders
from tests.outline import outline

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>&\x1b"


def hostile(race: Race) -> dict[str, Any]:
    entry = race.variants[0].model_dump()
    entry |= {
        "id": HOSTILE,
        "node_class": HOSTILE,
        "address": HOSTILE,
        "runtime": HOSTILE,
        "precision": HOSTILE,
        "reasons": (HOSTILE,),
        "needs": {"text": HOSTILE},
        "void": HOSTILE,
        "passport": (Proof(check=HOSTILE, ok=False, value=HOSTILE, limit=HOSTILE, evidence=HOSTILE),),
        "cost_per_million": {"value": 1, "currency": HOSTILE},
    }
    path = {"name": HOSTILE, "url": HOSTILE, "error": HOSTILE}
    entry["proxy_tax"] = {"rate": 20, "confidence": 0.95, "paths": [path], "note": HOSTILE}
    entry["quality"] |= {"metric": HOSTILE, "per_class": {HOSTILE: 0.5}}
    entry["clauses"] = [{"text": HOSTILE, "status": "PASS", "unit": HOSTILE, "value": 1, "reason": HOSTILE}]
    entry["server_max_rps"] |= {"binding": HOSTILE}
    return {
        "race_id": HOSTILE,
        "model": HOSTILE,
        "slo": HOSTILE,
        "quality": HOSTILE,
        "winner": {"variant": HOSTILE, "node_class": HOSTILE},
        "fingerprints": {HOSTILE: HOSTILE},
        "environment": {HOSTILE: {HOSTILE: [HOSTILE], "nested": {HOSTILE: HOSTILE}}},
        "events": (Event(at_s=1, text=HOSTILE, variant=HOSTILE, node_class=HOSTILE),),
        "variants": (entry,),
        "started": HOSTILE,
        "finished": HOSTILE,
        "submission": SubmissionText(path=HOSTILE, text=HOSTILE),
        "profile_name": HOSTILE,
        "profile": {HOSTILE: HOSTILE},
        "cross_check": race.cross_check.model_dump() | {"note": HOSTILE, "tool": HOSTILE, "variant": HOSTILE}
        if race.cross_check
        else None,
        "labels": (HOSTILE,),
        "incumbent": HOSTILE,
        "command": HOSTILE,
        "tools": {HOSTILE: HOSTILE},
    }


@pytest.mark.row("S13", "script and markup in every string of a race: text in the report, and no script in it at all")
def test_no_string_of_a_race_becomes_markup(race_folder: Path, record_property: Callable[[str, object], None]) -> None:
    clean = {tag for tag, _ in outline(report_html(race_folder)).tags}
    racefolders.change(race_folder, **hostile(read_race(race_folder)))
    html = report_html(race_folder)
    parsed = outline(html)
    assert {tag for tag, _ in parsed.tags} <= clean
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    assert parsed.text.count("alert(1)") > 30
    assert "\x1b" not in html
    assert "<script>" not in html
    record_property("S13", f"{parsed.text.count('alert(1)')} places, 0 elements")


@pytest.mark.control("S13")
def test_without_escaping_the_same_strings_are_markup(race_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "Environment", lambda **options: Environment(**{**options, "autoescape": False}))  # noqa: S701
    templating.template.cache_clear()
    try:
        racefolders.change(race_folder, **hostile(read_race(race_folder)))
        assert "<script>alert(2)</script>" in report_html(race_folder)
    finally:
        templating.template.cache_clear()


def test_no_string_of_a_run_record_becomes_markup(race_folder: Path) -> None:
    race = read_race(race_folder)
    path = race_folder / race.variants[0].runs[0]
    record = json.loads(path.read_text())
    record["passport"] = [{"check": HOSTILE, "ok": None, "value": HOSTILE, "limit": HOSTILE, "evidence": HOSTILE}]
    record["generator"]["tool"] = record["started"] = record["fingerprint"] = HOSTILE
    record["codes"] = {HOSTILE: 1}
    path.write_text(json.dumps(record))
    parsed = outline(report_html(race_folder))
    assert not {tag for tag, _ in parsed.tags} & {"script", "img"}
    assert parsed.text.count("alert(1)") >= 8


def luminances(css: str) -> Iterator[tuple[dict[str, str], str]]:
    light, dark = css.split("@media (prefers-color-scheme: dark)", maxsplit=1)
    dark = dark.split("\n}\n", maxsplit=1)[0]
    for name, part in (("light", light), ("dark", dark)):
        yield dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)), name


def luminance(color: str) -> float:
    channels = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_colors_can_be_read_in_light_and_dark(finished: Path) -> None:
    css = report_html(finished).split("<style>")[1].split("</style>")[0]
    seen = 0
    for colors, _ in luminances(css):
        for name in ("ink", "soft", "accent", "limit"):
            assert contrast(colors[name], colors["card"]) >= 4.5
            assert contrast(colors[name], colors["page"]) >= 4.5
        for name in ("pass", "fail", "wait", "void", "none"):
            assert contrast(colors[name], colors[f"{name}-bg"]) >= 4.5
        for number in range(8):
            assert contrast(colors[f"c{number}"], colors["card"]) >= 3
            seen += 1
    assert seen == 16
