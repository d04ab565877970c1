"""Pictures of a report as people meet it, on a screen, a phone and paper, and how alike two of them are.

    python -m tests.browser.pictures                      # the references, of the race of fourteen variants
    python -m tests.browser.pictures runs/latest docs     # docs/report.png, report-phone.png, report-print.png

References are kept small and gray: what is compared is where on the page there is how much ink, which another font
moves by little and another layout by much.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

__all__ = ["FORMS", "REFERENCES", "difference", "small", "taken"]

Form = Literal["wide", "phone", "print"]
REFERENCES = Path(__file__).with_name("reference")
# Of the references: so much of the page from its top, and so many pixels of it in one.
_TOP, _BY = 3000, 5
# A cell of the comparison, in pixels of a reference: some lines of text.
_CELL = 16
_GAP = 30


@dataclass(frozen=True, slots=True)
class _Form:
    width: int
    media: Literal["screen", "print"] = "screen"


# The width of paper is A4's in CSS pixels, without its margins.
FORMS: Mapping[Form, _Form] = {"wide": _Form(1200), "phone": _Form(390), "print": _Form(718, "print")}


def taken(browser: Browser, path: Path, form: Form, *, top: int = _TOP, scale: float = 1.0) -> Image.Image:
    """Return a picture of the first pixels of a page, as wide as its form is."""
    chosen = FORMS[form]
    context = browser.new_context(
        viewport={"width": chosen.width, "height": 900}, device_scale_factor=scale, color_scheme="light"
    )
    try:
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        page.emulate_media(media=chosen.media)
        if chosen.media == "print":
            page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
        clip = {"x": 0, "y": 0, "width": chosen.width, "height": top}
        png = page.screenshot(full_page=True, clip=clip)  # type: ignore[arg-type]
    finally:
        context.close()
    return Image.open(io.BytesIO(png)).convert("RGB")


def small(picture: Image.Image) -> Image.Image:
    """Return a picture as references are kept."""
    return picture.convert("L").reduce(_BY)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return by how much the ink of two small pictures differs, of the ink that the first one has."""
    first, second = (_ink(picture) for picture in (one, other))
    rows = min(len(first), len(second))
    missing = float(first[rows:].sum() + second[rows:].sum())
    return (float(np.abs(first[:rows] - second[:rows]).sum()) + missing) / max(float(first.sum()), 1.0)


def _ink(picture: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    dark = 255.0 - np.asarray(picture, dtype=np.float64)
    rows, columns = (size // _CELL * _CELL for size in dark.shape)
    cells = dark[:rows, :columns].reshape(rows // _CELL, _CELL, columns // _CELL, _CELL).mean(axis=(1, 3))
    # A cell beside its neighbors, so that a line that slips into the next one counts for little.
    padded = np.pad(cells, 1, mode="edge")
    shifts = [padded[y : y + cells.shape[0], x : x + cells.shape[1]] for y in range(3) for x in range(3)]
    blurred: np.ndarray[tuple[int, int], np.dtype[np.float64]] = np.mean(shifts, axis=0)
    return blurred


def _columns(picture: Image.Image, count: int) -> Image.Image:
    """Return a long picture cut into columns that stand beside each other."""
    height = picture.height // count
    row = Image.new("RGB", (count * picture.width + (count - 1) * _GAP, height), (209, 213, 219))
    for index in range(count):
        part = picture.crop((0, index * height, picture.width, (index + 1) * height))
        row.paste(part, (index * (picture.width + _GAP), 0))
    return row


def _write_references(browser: Browser) -> None:
    from podium.report import render_report
    from tests.racefolders import write_family

    REFERENCES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_family(Path(folder), 14)
        report = render_report(Path(folder))
        for form in FORMS:
            small(taken(browser, report, form)).save(REFERENCES / f"{form}.png", optimize=True)


def _write_docs(browser: Browser, race: Path, docs: Path) -> None:
    report = race / "report.html"
    taken(browser, report, "wide", top=2347).save(docs / "report.png", optimize=True)
    _columns(taken(browser, report, "phone", scale=1.5), 3).save(docs / "report-phone.png", optimize=True)
    _columns(taken(browser, report, "print", top=2082), 3).save(docs / "report-print.png", optimize=True)


def main(words: list[str]) -> int:
    """Write pictures with the Chromium of this machine."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        if words:
            _write_docs(browser, Path(words[0]), Path(words[1]))
        else:
            _write_references(browser)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
