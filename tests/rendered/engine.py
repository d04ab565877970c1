"""The chart engine of this tier: a `helm` of the path or `.podium/bin`, without a cluster and without a network."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from podium.cluster.helm import find_helm
from podium.errors import MachineError
from tests.needs import lack

__all__ = ["CHARTS", "RefusedError", "charts", "ci_files", "notes", "objects", "render"]

CHARTS = Path(__file__).parents[2] / "charts"
Object = dict[str, Any]
_NAMESPACES = {"platform": "podium-system", "tenant": "podium-system"}


class RefusedError(Exception):
    """Helm refused the values; its text says why."""


def charts() -> list[str]:
    """Return the names of all charts."""
    return sorted(path.parent.name for path in CHARTS.glob("*/Chart.yaml"))


def ci_files(chart: str) -> list[Path]:
    """Return the values files of all shapes of a chart that are supported."""
    return sorted((CHARTS / chart / "ci").glob("*-values.yaml"))


def _helm(*words: str, values: str = "") -> str:
    try:
        program = find_helm()
    except MachineError as error:
        reason = f"{error}: {error.hint}"
        lack("rendered", reason)
    # No cluster can be meant by accident.
    environment = {**os.environ, "KUBECONFIG": os.devnull, "HELM_NAMESPACE": ""}
    done = subprocess.run(
        [str(program), *words],
        input=values,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if done.returncode != 0:
        raise RefusedError(done.stderr)
    return done.stdout


def render(chart: str, *files: Path, values: Object | None = None, release: str = "food11", again: bool = False) -> str:
    """Return all objects as text, in the order of the template files, which all versions of Helm agree on.

    Raises:
        RefusedError: the values do not fit the chart.
    """
    made = _rendered.__wrapped__ if again else _rendered
    return made(chart, files, yaml.safe_dump(values or {}), release)


@cache
def _rendered(chart: str, files: tuple[Path, ...], values: str, release: str) -> str:
    given = [word for file in files for word in ("--values", str(file))]
    namespace = _NAMESPACES.get(chart, "podium")
    words = ["template", release, str(CHARTS / chart), "--namespace", namespace, *given, "--values", "-"]
    text = _helm(*words, values=values)
    parts = [part.strip() + "\n" for part in re.split(r"^---$", text, flags=re.MULTILINE) if part.strip()]
    return "---\n" + "---\n".join(sorted(parts, key=lambda part: part.splitlines()[0]))


def notes(chart: str, *files: Path, values: Object | None = None, release: str = "food11") -> str:
    """Return what Helm prints after an installation."""
    given = [word for file in files for word in ("--values", str(file))]
    namespace = _NAMESPACES.get(chart, "podium")
    words = ["install", release, str(CHARTS / chart), "--dry-run=client", "--namespace", namespace, *given]
    text = _helm(*words, "--values", "-", values=yaml.safe_dump(values or {}))
    return text.partition("\nNOTES:\n")[2]


def objects(text: str) -> list[Object]:
    """Return the rendered objects."""
    return [one for one in yaml.safe_load_all(text) if one]
