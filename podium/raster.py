"""PNG files from SVG files, by a Chromium of this machine: it draws what the report's readers see, to the pixel.

No library is kept for it: drawings are made as SVG, and a PNG is wanted now and then, where SVG is not taken.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from podium.errors import MachineError

__all__ = ["find_browser", "to_png"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_BOX = re.compile(r'viewBox="-?[\d.]+ -?[\d.]+ ([\d.]+) ([\d.]+)"')
_SCALE = 2
_LIMIT_S = 60.0


def find_browser() -> str:
    """Return the program that draws.

    Raises:
        MachineError: there is none.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise MachineError(
            "PNG pictures are drawn by Chromium, and there is none on the path",
            "install it (Debian: apt-get install chromium), or take the SVG files",
        )
    return found


def to_png(drawings: Iterable[Path]) -> tuple[Path, ...]:
    """Draw each SVG file as a PNG file beside it, at twice its size; return these.

    Raises:
        MachineError: there is no browser, or it does not draw.
    """
    browser = find_browser()
    return tuple(_draw(browser, path) for path in drawings)


def _draw(browser: str, path: Path) -> Path:
    found = _BOX.search(path.read_text(encoding="utf-8"))
    width, height = (round(float(found[number])) for number in (1, 2)) if found else (540, 340)
    target = path.with_suffix(".png")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={profile}",
            f"--force-device-scale-factor={_SCALE}",
            f"--window-size={width},{height}",
            f"--screenshot={target.resolve()}",
            path.resolve().as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"{browser} does not draw {path}: {error}", "take the SVG file") from error
    if done.returncode or not target.is_file():
        raise MachineError(f"{browser} does not draw {path} (exit {done.returncode})", "take the SVG file")
    return target
