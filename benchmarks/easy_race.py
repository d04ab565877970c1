"""A race of mnist on the test cluster that is easy to win, for benchmarks that ask how a race ends, not its figures."""

import sys
from pathlib import Path

from tests.cluster.conftest import ALLOWED, ROOT, STANDARD

__all__ = ["race_command"]

_PROFILE = """\
name: easy
level: quick
payload: {{dir: ., mix: [{{glob: "*", share: 1.0}}], seed: 7}}
protocol: v1-image
timeout: 2s
budget: {budget}
phases:
  - {{kind: warmup, until: settled, atLeast: 20, atMost: 5s}}
  - {{kind: hold, at: asked, arrivals: poisson, blocks: 5, block: {block}, restart: false, interleave: none}}
confidence: 0.95
thresholds: {{{thresholds}}}
"""
_SUBMISSION = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
  annotations:
    podium.dev/slo: "p95<=1s, errors<=5%, rate>={rate}/s"
    podium.dev/quality: "drop<=0.5"
    podium.dev/variants: "{variants}"
    podium.dev/node-classes: "{node_class}"
    podium.dev/incumbent: "none"
spec:
  predictor:
    model:
      modelFormat: {{name: pytorch}}
      storageUri: file://{model}
"""


def race_command(
    folder: Path,
    name: str,
    variants: str,
    *options: str,
    rate: int,
    budget: str,
    thresholds: str,
    node_class: str = "epyc",
    block: str = "10s",
) -> list[str]:
    """Write a submission and its profile into a folder, and return the command that races it; its runs go there too."""
    profile, submission = folder / "easy.yaml", folder / f"{name}-{variants.replace(', ', '-')}.yaml"
    profile.write_text(_PROFILE.format(budget=budget, thresholds=thresholds, block=block))
    model = ROOT / "examples" / "models" / "mnist"
    told = {"name": name, "rate": rate, "variants": variants, "node_class": node_class, "model": model}
    submission.write_text(_SUBMISSION.format(**told))
    command = [sys.executable, "-m", "podium", "race", "-f", str(submission), "--target", "cluster", *options]
    command += ["--profile", str(profile), "--runs", str(folder / "runs"), "-n", "podium"]
    return [*command, "--kubeconfig", str(STANDARD), "--context", ALLOWED[0]]
