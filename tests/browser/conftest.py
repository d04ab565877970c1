"""A headless Chromium for the tests of this folder, skipped with the reason where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.needs import lack

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the browser, or skip; fail where `PODIUM_REQUIRE` asks for it."""
    program = next((path for path in map(shutil.which, _NAMES) if path), None)
    if program is None:
        reason = "no Chromium on the path (Debian: apt-get install -y chromium)"
        lack("browser", reason)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS.split())
        yield found
        found.close()
