"""Helm as a program: found, asked for its version, and run so that releases 3 and 4 of it do the same.

Values go in on standard input, so that nothing of a person's values lies in a temporary file. Waiting is not left to
Helm: its own waits do not say why something is not ready.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.cluster.errors import ClusterError, ConflictError, NotServedError, RefusedByClusterError, WebhookError
from podium.errors import ConfigError, MachineError

__all__ = ["Helm", "chart_folder", "find_helm"]

_LEAST = (3, 17)
_BUILT = Path(".podium/bin/helm")
_PACKAGE = Path(__file__).parent.parent
# In the wheel the charts are package data; in a clone they stand where platform teams look for them.
_CHARTS = (_PACKAGE / "data" / "charts", _PACKAGE.parent / "charts")
_CALL_S = 120.0
_WEBHOOK_TRIES = 4
_WEBHOOK_PAUSE_S = 4.0
# Helm 4 has no flag for all of them together.
_ANY_STATE = ("--deployed", "--failed", "--pending", "--superseded", "--uninstalling")
_NOISE = re.compile(r"^(WARNING|level=|I\d{4}|W\d{4}|Pulled:|Digest:)")


def find_helm() -> Path:
    """Return a helm of version 3.17 or later: the one on the path, else `.podium/bin/helm`.

    Raises:
        MachineError: there is none.
    """
    seen = ""
    for found in (shutil.which("helm"), str(_BUILT) if _BUILT.is_file() else None):
        if found is None:
            continue
        version = _version(found)
        if version >= _LEAST:
            return Path(found).resolve()
        seen = f" ({found} is {'.'.join(map(str, version)) or 'none'})"
    raise MachineError(
        f"There is no helm of version {'.'.join(map(str, _LEAST))} or later{seen}",
        "./scripts/build-helm builds it, or install it: https://helm.sh/docs/intro/install",
    )


def chart_folder(name: str) -> Path:
    """Return the folder of one of our charts.

    Raises:
        MachineError: this installation does not have it.
    """
    for root in _CHARTS:
        if (root / name / "Chart.yaml").is_file():
            return root / name
    raise MachineError(f"This installation lacks the chart {name!r}", "install podium again, or run it in a clone")


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm on one cluster and namespace."""

    program: Path
    namespace: str
    kubeconfig: str | None = None
    context: str | None = None

    def template(self, release: str, chart: str, values: Mapping[str, Any]) -> str:
        """Return what a release would hold, rendered without a cluster.

        Raises:
            ConfigError: the chart refuses the values.
        """
        return self._run(["template", release, str(chart_folder(chart)), "--values", "-"], values, remote=False)

    def upgrade(self, release: str, chart: str, values: Mapping[str, Any]) -> None:
        """Install a release, or change the one that is there; does not wait for its pods.

        Raises:
            ConfigError: the chart refuses the values.
            ClusterError: the cluster refuses the objects.
        """
        command = ["upgrade", "--install", release, str(chart_folder(chart)), "--values", "-"]
        # A manager of KServe that has just started answers its webhooks some seconds later.
        for attempt in range(1, _WEBHOOK_TRIES + 1):
            try:
                self._run(command, values)
            except WebhookError:
                if attempt == _WEBHOOK_TRIES:
                    raise
                time.sleep(_WEBHOOK_PAUSE_S)
            else:
                return

    def uninstall(self, release: str) -> bool:
        """Remove a release; return False where there is none."""
        if self.revision(release) is None:
            return False
        self._run(["uninstall", release, "--ignore-not-found"])
        return True

    def rollback(self, release: str, revision: int) -> None:
        """Go back to an earlier revision of a release."""
        self._run(["rollback", release, str(revision)])

    def revision(self, release: str) -> int | None:
        """Return the revision of a release that is deployed, 0 where none of it is, or None without a release."""
        try:
            history = json.loads(self._run(["history", release, "--output", "json"]))
        except ClusterError as error:
            if "not found" in str(error):
                return None
            raise
        deployed = [int(one["revision"]) for one in history if one["status"] == "deployed"]
        return max(deployed) if deployed else 0

    def releases_of(self, prefix: str) -> list[str]:
        """Return the names of the releases that begin so, failed and pending ones too."""
        text = self._run(["list", *_ANY_STATE, "--filter", f"^{re.escape(prefix)}", "--max", "0", "--output", "json"])
        return [str(one["name"]) for one in json.loads(text or "[]")]

    def _run(self, words: list[str], values: Mapping[str, Any] | None = None, *, remote: bool = True) -> str:
        command = [str(self.program), *words, "--namespace", self.namespace]
        if remote and self.context is not None:
            command += ["--kube-context", self.context]
        environment = {**os.environ}
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = self.kubeconfig
        try:
            done = subprocess.run(
                command,
                input=None if values is None else json.dumps(values),
                stdin=subprocess.DEVNULL if values is None else None,
                capture_output=True,
                text=True,
                timeout=_CALL_S,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"helm {words[0]} did not end within {_CALL_S:.0f} s", "podium doctor") from error
        if done.returncode != 0:
            raise _refusal(words[0], done.stderr)
        return done.stdout


def _refusal(verb: str, stderr: str) -> ClusterError | ConfigError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _NOISE.match(line)]
    text = " ".join(lines).removeprefix("Error: ")[:900] or "it said nothing"
    if webhook := re.search(r'failed calling webhook "([^"]+)"', text):
        return WebhookError(
            f"The webhook {webhook[1]} must answer and does not: {text.rpartition(': ')[2]}",
            "kubectl get pods -n kserve shows whether KServe's manager runs; podium doctor says what is missing",
        )
    if missing := re.search(r'no matches for kind "(\w+)" in version "([\w./]+)"', text):
        return NotServedError(
            f"The cluster knows no {missing[1]} ({missing[2]}): KServe is not installed",
            f"{missing[1]} ({missing[2]})",
            "./scripts/cluster-up installs it on the test cluster; podium doctor says what else is missing",
        )
    if "values don't meet the specifications" in text or "execution error at" in text:
        return ConfigError(f"The chart refuses its values: {text}", "compare with values.schema.json of the chart")
    if "another operation" in text:
        return ConflictError(f"helm {verb}: {text}", "wait for it, or see: helm list --all --pending")
    if "exceeded quota" in text or "denied the request" in text or "is forbidden" in text or "is invalid" in text:
        return RefusedByClusterError(
            f"The cluster refuses it: {text}", "kubectl get resourcequota,limitrange; podium doctor"
        )
    return ClusterError(f"helm {verb} failed: {text}", "podium doctor")


def _version(program: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [program, "version", "--template", "{{.Version}}"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.match(r"v?(\d+)\.(\d+)", done.stdout.strip())
    return (int(match[1]), int(match[2])) if match else ()
