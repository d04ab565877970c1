"""The pages of a session: every policy has one, the verdict stands first, and nothing in them can do anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podium.charts import NARROW, WIDE, Limit, Style
from podium.charts.elastic import ElasticSeconds, elastic_series
from podium.cli import run as podium
from podium.entry import Proof
from podium.scoring.card import card_of
from podium.scoring.comparison import compare
from podium.scoring.page import write_pages
from podium.scoring.record import ElasticRun, Trouble, write_run
from tests.elasticruns import elastic_run, start, subject

pytestmark = pytest.mark.unit

EVIL = "<script>alert(1)</script>"


def session() -> list[ElasticRun]:
    load = [5] * 10 + [25] * 10
    runs: list[ElasticRun] = []
    for repeat in (1, 2):
        for policy, slow in (("calm", 8), ("keen", 2)):
            runs.append(
                elastic_run(
                    load,
                    policy=policy,
                    repeat=repeat,
                    played=len(runs) + 1,
                    slow=[0] * 10 + [10] * slow + [0] * (10 - slow),
                    ready=[1] * 12 + [3] * 8,
                    starts=(start("b", 10.5, 10.6, 10.6, 11.2, 11.8, 12.1),),
                    troubles=(
                        Trouble(what="metrics", at_s=3.0, until_s=7.0, text=f"no figure {EVIL}"),
                        Trouble(what="watch", at_s=4.0, until_s=None, text="nobody saw"),
                        Trouble(what="restarted", at_s=5.0, until_s=5.0, text="started anew"),
                    ),
                    passport=(Proof(check="throttled", ok=False, evidence="held back in 40.0% of its CPU periods"),),
                    autoscaler={"sync-period": "5s"},
                )
            )
    return runs


def test_every_policy_has_a_page_and_the_verdict_stands_first(tmp_path: Path) -> None:
    comparison = compare([card_of(one) for one in session()])
    index = write_pages(tmp_path, comparison)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calm.html", "index.html", "keen.html"]
    text = index.read_text()
    assert text.startswith("<!doctype html>")
    assert text.index("keen is better than calm") < text.index("Figures") < text.index("<figure")
    assert text.count("<figure") == 2
    assert "kind: one machine, functional and relative" in text
    page = (tmp_path / "calm.html").read_text()
    for told in ("first good answer", "autoscaler", "autoscaler.sync-period".replace("autoscaler.", ""), "3–7 s"):
        assert told in page, told
    assert "from 4 s on: nobody saw" in page
    assert "held back in 40.0%" in page
    assert page.count("<figure") == 2


def test_pages_hold_no_script_and_escape_what_comes_from_outside(tmp_path: Path) -> None:
    write_pages(tmp_path, compare([card_of(one) for one in session()]))
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert EVIL not in text
        assert re.search(r"default-src &#39;none&#39;; style-src &#39;sha256-[\w+/=]+&#39;", text)
        assert not re.search(r"<script|https?://(?!www\.w3\.org)|\son\w+=", text)
    assert "&lt;script&gt;" in (tmp_path / "calm.html").read_text()


def test_ids_in_a_page_are_unique(tmp_path: Path) -> None:
    write_pages(tmp_path, compare([card_of(one) for one in session()]))
    for path in tmp_path.iterdir():
        found = re.findall(r'\sid="([^"]+)"', path.read_text())
        assert len(found) == len(set(found))


def test_a_drawing_has_both_panels_and_marks_what_is_violated() -> None:
    run = ElasticSeconds(
        "keen",
        Style(0),
        rates=(5.0, 25.0, 25.0, 5.0),
        ready=(1, 1, 3, 3),
        wanted=(1, 3, 3, 1),
        p99_ms=(20.0, 900.0, None, 30.0),
        violated=(False, True, True, False),
        safe_rate=10.0,
    )
    for size in (WIDE, NARROW):
        drawn = elastic_series(run, peers=[run], limit=Limit(99, 250, "p99 ≤ 250 ms"), size=size, key="k")
        assert drawn.startswith("<svg")
        assert drawn.count('class="wall"') == 1
        assert "3 pods" in drawn
        assert "2 seconds in which the SLO does not hold" in drawn
    bare = elastic_series(run, peers=[run], limit=None, size=WIDE, key="k")
    assert "limit" not in bare
    empty = ElasticSeconds("a", Style(0), (), (), (), (), (), 1.0)
    assert elastic_series(empty, peers=[empty], limit=None, size=WIDE, key="k") == ""


@pytest.mark.parametrize("output", ["table", "json", "yaml"])
def test_what_was_recorded_is_scored_again_without_a_cluster(
    tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "")
    for one in session():
        write_run(tmp_path, one)
    assert podium(["autoscale", "score", str(tmp_path), "-o", output]) == 0
    out = capsys.readouterr().out
    assert "keen is better than calm" in out
    assert (tmp_path / "index.html").is_file()
    if output == "table":
        assert out.startswith("keen is better")
        assert "calm 1, 3 s: no figure" in out
        assert "calm 1, throttled: held back" in out


def test_the_simulator_is_shown_beside_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for one in session():
        write_run(tmp_path, one)
    assert podium(["autoscale", "calibrate", str(tmp_path)]) == 0
    assert "too few changes" in capsys.readouterr().out
    assert podium(["autoscale", "calibrate", str(tmp_path), "-o", "json"]) == 0
    assert '"held_out": true' in capsys.readouterr().out
    only = tmp_path / "calm" / "01.autoscale.json"
    assert podium(["autoscale", "calibrate", str(only)]) == 0
    assert "was fitted to the run that it is compared with" in capsys.readouterr().out


def test_a_policy_without_a_run_that_counts_ends_with_6(tmp_path: Path) -> None:
    write_run(tmp_path, elastic_run([5], void="late"))
    assert podium(["autoscale", "score", str(tmp_path), "--out", str(tmp_path / "pages")]) == 6
    assert (tmp_path / "pages" / "a.html").is_file()


def test_without_a_price_or_a_latency_clause_pages_are_made_all_the_same(tmp_path: Path) -> None:
    for slo in ("errors<=10%", "whatever"):
        bare = elastic_run([5], subject=subject(slo=slo, pod_hour=None, rate=None))
        write_pages(tmp_path, compare([card_of(bare)]))
    assert "the SLO does not hold in 0 s" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "which load to play under which policies is not said"),
        (["-f", "step"], 2, "is not said"),
        (["gone"], 3, "no record of an elastic run in gone"),
        (["gone", "-f", "step"], 2, "scored again"),
    ],
)
def test_what_cannot_be_scored_says_so(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert podium(["autoscale", "score", *words]) == code
    assert said in capsys.readouterr().err
