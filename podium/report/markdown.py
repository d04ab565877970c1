"""The report of a race for a pull request: verdict, ranking, reasons and how to repeat it, as Markdown.

Every text of the race is escaped: what is shown is text, whoever wrote the submission.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from podium import figures
from podium.headline import headline
from podium.racefile import Race
from podium.standings import COLUMNS, rows

__all__ = ["markdown_text"]

# What GitHub's Markdown takes for markup, a mention, an issue or a cell's end.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~@&$])")


def markdown_text(race: Race) -> str:
    """Return a race as GitHub-flavored Markdown."""
    first = headline(race)
    title = f"{first.subject} {first.title}".strip()
    parts = [
        f"## {_text(race.model)}: {_text(title)}",
        _text(first.sentence),
        " · ".join(f"**{_text(badge.label)}**" for badge in first.badges),
        _table(race),
    ]
    notes = [
        f"- {_text(row.variant)}: {_text(text)}"
        for row in rows(race)
        for text in (*row.reasons, *([f"needs {row.needs}"] if row.needs else ()))
    ]
    if notes:
        parts.append(
            f"<details><summary>Why, and what would settle it</summary>\n\n{chr(10).join(notes)}\n\n</details>"
        )
    facts = [f"race `{_code(race.race_id)}`", figures.objective(_text(race.slo))]
    facts += [f"fingerprint `{_code(mark)}`" for mark in dict.fromkeys(race.fingerprints.values())]
    facts += [f"the race cost {figures.money(race.cost)}"] if race.cost else []
    parts.append(f"<sub>{' · '.join(facts)}</sub>")
    if race.command:
        parts.append(f"Again: `{_code(race.command)}`")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(race: Race) -> str:
    found = rows(race)
    if not found:
        return "No variant was entered."
    alignment = ["---:" if name == "#" or number > 2 else "---" for number, name in enumerate(COLUMNS)]
    lines = [COLUMNS, alignment, *(_cells(row.cells, is_winner=row.is_winner, notes=row.notes) for row in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(cells: Sequence[str], *, is_winner: bool, notes: Sequence[str]) -> list[str]:
    shown = [_text(cell) for cell in cells]
    shown[2] += "".join(f"<br>{_text(note)}" for note in notes)
    shown[1] = f"**{shown[1]}**" if is_winner else shown[1]
    return shown


def _text(value: str) -> str:
    line = " ".join(value.split())
    return _MARKUP.sub(r"\\\1", line).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def _code(value: str) -> str:
    return " ".join(value.split()).replace("`", "'")
