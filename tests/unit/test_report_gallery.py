"""The report's pictures as files, and what draws them as PNG."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from podium.errors import MachineError
from podium.raster import find_browser, to_png
from podium.report.gallery import draw_pictures
from tests import racefolders

SPACE = "{http://www.w3.org/2000/svg}"
# Of what Chromium is asked for only the file that it writes matters here; the browser tier draws in earnest.
STAND_IN = """#!/bin/sh
for word in "$@"; do case "$word" in --screenshot=*) file="${word#--screenshot=}" ;; esac; done
%s
"""


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    folder.mkdir()
    program = folder / "chromium"
    program.write_text(STAND_IN % does)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_every_picture_of_the_report_is_a_file(finished: Path, tmp_path: Path) -> None:
    drawn = draw_pictures(finished, tmp_path / "pictures")
    names = {path.name for path in drawn}
    assert {
        f"{name}.svg" for name in ("percentiles", "rates", "latency", "pareto", "split", "quality", "classes")
    } <= names
    for kind in ("series", "operators", "sensitivity", "roofline"):
        assert f"{kind}-food11-openvino-int8.svg" in names
    assert "operators-food11-ort-fp32.svg" not in names
    assert len(names) == len(drawn) == 7 + 4 + 2 * 3 + 2
    for path in drawn:
        root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  # our own drawing
        assert root.tag == f"{SPACE}svg"
        assert root.find(f"{SPACE}style") is not None
    legend = (tmp_path / "pictures" / "latency.svg").read_text(encoding="utf-8")
    assert "food11-openvino-int8, 2.37 MiB" in legend
    assert "waiting: queue and batch" in (tmp_path / "pictures" / "split.svg").read_text(encoding="utf-8")


def test_a_hostile_name_stays_in_its_folder(race_folder: Path, tmp_path: Path) -> None:
    entries = [entry.model_dump() for entry in racefolders.change(race_folder).variants]
    entries[0]["id"] = "../../../evil"
    racefolders.change(race_folder, variants=entries, winner=None)
    drawn = draw_pictures(race_folder, tmp_path / "p")
    assert all(path.parent == tmp_path / "p" for path in drawn)
    assert (tmp_path / "p" / "series-..-..-..-evil.svg").is_file()


def test_png_files_stand_beside_the_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", monkeypatch, 'echo "$@" > "$file"')
    drawing = tmp_path / "a.svg"
    drawing.write_text('<svg viewBox="-10 -10 540 340.4"/>')
    assert to_png([drawing]) == (tmp_path / "a.png",)
    words = (tmp_path / "a.png").read_text().split()
    assert "--window-size=540,340" in words
    assert drawing.resolve().as_uri() in words


def test_without_a_browser_or_with_one_that_fails_there_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = tmp_path / "a.svg"
    drawing.write_text("<svg/>")
    stand_in(tmp_path / "bin", monkeypatch, "exit 3")
    with pytest.raises(MachineError, match=r"does not draw .*exit 3"):
        to_png([drawing])
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(MachineError, match="none on the path") as caught:
        find_browser()
    assert "apt-get install chromium" in caught.value.hint
