"""Pages as files: the templates, the one style sheet, and the policy that lets a page hold nothing else.

What autoescaping does not reach, control characters, is replaced on the way out.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from podium.charts.markup import plain

__all__ = ["policy", "style", "template"]


@cache
def template(name: str) -> Template:
    """Return a template of the package."""
    environment = Environment(
        loader=PackageLoader("podium", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def style() -> Markup:
    """Return the style sheet of all pages."""
    text = resources.files("podium").joinpath("templates/report.css").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704


def policy(sheet: str) -> str:
    """Return the content security policy of a page with that style sheet: no script, and nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _printable(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
