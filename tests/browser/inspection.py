"""What a person would see wrong with a page: requests that leave it, errors, overflow, hidden charts and text.

`inspect` opens a file the way a reader does, from disk, and returns one sentence for each fault. The measuring
in the page is plain JavaScript of the debugging protocol, which the page's own policy does not stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
Media = Literal["screen", "print"]

_OPEN_ALL = "document.querySelectorAll('details').forEach(element => { element.open = true })"

_CHARTS = """() => [...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const style = getComputedStyle(svg);
  if (style.display === 'none') return [];
  const name = svg.querySelector('title')?.textContent ?? '?';
  const box = svg.getBoundingClientRect();
  const faults = [];
  if (box.width < 200 || box.height < 80) faults.push(`chart ${name} is ${box.width} x ${box.height}`);
  const series = [...svg.querySelectorAll('.series')];
  if (!series.length) faults.push(`chart ${name} has no series`);
  for (const group of series) {
    const shape = group.getBoundingClientRect();
    if (shape.width === 0 && shape.height === 0) faults.push(`chart ${name} has an empty series`);
  }
  for (const label of svg.querySelectorAll('text')) {
    const place = label.getBoundingClientRect();
    if (place.left < box.left - 3 || place.right > box.right + 3 || place.top < box.top - 3 ||
        place.bottom > box.bottom + 3) faults.push(`chart ${name}: "${label.textContent}" is cut off`);
  }
  const ticks = [...svg.querySelectorAll('.tick')]
    .map(tick => [tick.textContent, tick.getBoundingClientRect()]);
  ticks.forEach(([one, a], index) => ticks.slice(index + 1).forEach(([other, b]) => {
    if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)
      faults.push(`chart ${name}: "${one}" and "${other}" overlap`);
  }));
  return faults;
})"""

_CONTRAST = """() => {
  const parse = text => {
    const numbers = (text.match(/[\\d.]+/g) ?? []).map(Number);
    const scale = text.startsWith('color(') ? 255 : 1;
    const [r, g, b] = numbers.slice(0, 3).map(value => value * scale);
    return [r ?? 0, g ?? 0, b ?? 0, numbers[3] ?? 1];
  };
  const over = (top, below) => top.slice(0, 3).map((value, n) => value * top[3] + below[n] * (1 - top[3]));
  const background = element => {
    const layers = [];
    for (let place = element; place; place = place.parentElement) {
      const color = parse(getComputedStyle(place).backgroundColor);
      if (getComputedStyle(place).backgroundColor === 'transparent') continue;
      if (color[3] > 0) layers.push(color);
      if (color[3] >= 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = color => {
    const [r, g, b] = color.map(value => value / 255)
      .map(value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faults = [];
  let seen = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect();
    if (!own || box.width === 0 || box.height === 0 || ['title', 'desc'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const behind = background(element.closest('svg')?.parentElement ?? element);
    const color = parse(element.tagName === 'text' ? style.fill : style.color);
    const [bright, dim] = [luminance(over(color, behind)), luminance(behind)].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dim + 0.05);
    seen += 1;
    if (ratio < 4.5)
      faults.push(`"${element.textContent.trim().slice(0, 40)}" has a contrast of ${ratio.toFixed(2)}`);
  }
  return seen > 100 ? faults : [...faults, `only ${seen} texts are shown`];
}"""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was seen: the faults, each a sentence, and how many charts were shown."""

    faults: tuple[str, ...]
    charts: int


def inspect(browser: Browser, path: Path, *, width: int = 1280, scheme: Scheme = "light") -> Inspection:
    """Open a page from disk with every section unfolded and look for faults."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    faults: list[str] = []
    try:
        page = context.new_page()
        own = path.resolve().as_uri()

        def request_seen(url: str) -> None:
            if url.split("#")[0] != own and not url.startswith("data:"):
                faults.append(f"a request leaves the page: {url}")

        page.on("request", lambda request: request_seen(request.url))
        page.on("console", lambda message: _console(faults, message.type, message.text))
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.goto(own)
        page.evaluate(_OPEN_ALL)
        faults += _overflow(page)
        faults += page.evaluate(_CHARTS)
        faults += page.evaluate(_CONTRAST)
        charts = page.locator("svg.chart:visible").count()
    finally:
        context.close()
    return Inspection(tuple(faults), charts)


def _console(faults: list[str], kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        faults.append(f"console {kind}: {text}")


def _overflow(page: Page) -> list[str]:
    wide, shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    return [f"the page is {wide} px wide on a screen of {shown} px"] if wide > shown else []
