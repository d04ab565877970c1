"""What axe-core finds wrong with a page for who uses a keyboard or a screen reader."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tests.browser.inspection import Media, Scheme
from tests.needs import lack

__all__ = ["violations"]


def violations(
    browser: Browser, path: Path, *, width: int = 1280, scheme: Scheme = "light", media: Media = "screen"
) -> tuple[str, ...]:
    """Open a page from disk with every section unfolded and return one sentence a violation of axe's rules."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page.goto(path.resolve().as_uri())
        page.emulate_media(media=media)
        page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
        # Evaluated by the debugging protocol, which the page's own policy does not stop.
        page.evaluate(_axe())
        found: list[dict[str, Any]] = page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)"
        )
    finally:
        page.close()
    return tuple(f"{one['id']}: {one['help']}, {len(one['nodes'])} × {one['nodes'][0]['html'][:120]}" for one in found)


def _axe() -> str:
    try:
        return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    except ModuleNotFoundError:
        reason = "axe-playwright-python is not installed (requirements/all.txt)"
        lack("browser", reason)
