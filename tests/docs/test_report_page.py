"""The snippet of docs/report.md, run as it stands on a finished race; pandas is the reader's, so it may be missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import racefolders

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_the_snippet_for_notebooks_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="the snippet makes frames of pandas")
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    racefolders.write_finished(tmp_path / "runs" / "r1")
    (tmp_path / "runs" / "latest").symlink_to("r1")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "docs/report.md", "exec"), {})  # noqa: S102  # our own page
    shown = capsys.readouterr().out
    assert "food11-openvino-int8" in shown
    assert re.search(r"food11-torch-fp32\s+hold", shown)


def test_the_page_names_the_sections_that_there_are() -> None:
    template = Path(__file__).parents[2] / "podium" / "templates" / "report.html.j2"
    sections = re.findall(r'<a href="#\w+">(\w+)</a>', template.read_text(encoding="utf-8"))
    table = PAGE.split("| question | section |")[1].split("## Other forms")[0]
    assert {name for name in sections if name != "Words"} == {name for name in sections if name in table}
