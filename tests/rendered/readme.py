"""The README of a chart, made from Chart.yaml and the comments of values.yaml (helm-docs' form: `# -- …`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Value", "readme", "values"]

Value = tuple[str, Any, str]


def readme(chart: Path) -> str:
    """Return the text of a chart's README."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    oldest = about["kubeVersion"].removeprefix(">=").removesuffix(".0-0")
    lines = [
        f"# Chart {about['name']}",
        "",
        f"{about['description']}.",
        "",
        f"Version {about['version']}, for Kubernetes {oldest} or later. Renders without a cluster; the same values",
        "give the same bytes. `ci/` holds one values file per supported shape.",
        "",
        "| value | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, default, meaning in values(chart / "values.yaml"):
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{name}` | `{shown}` | {meaning.replace('|', chr(92) + '|')} |")
    lines += ["", "Made from `values.yaml`: change that, then `PODIUM_GOLDENS=write ./scripts/test rendered`.", ""]
    return "\n".join(lines)


def values(path: Path) -> list[Value]:
    """Return name, default and meaning of every value, in the order of the file; no meaning is an empty text."""
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    return list(_below(root, yaml.safe_load(text), text.splitlines(), ""))


def _below(node: yaml.MappingNode, defaults: dict[str, Any], lines: list[str], prefix: str) -> Iterator[Value]:
    for key, value in node.value:
        meaning = _comment(lines, key.start_mark.line)
        name = prefix + key.value
        if not meaning and isinstance(value, yaml.MappingNode) and value.value:
            yield from _below(value, defaults[key.value], lines, f"{name}.")
        else:
            yield name, defaults[key.value], meaning


def _comment(lines: list[str], number: int) -> str:
    found: list[str] = []
    for line in reversed(lines[:number]):
        text = line.strip()
        if text.startswith("# -- "):
            return " ".join([text[5:], *reversed(found)])
        if not text.startswith("# "):
            return ""
        found.append(text[2:])
    return ""
