"""Submissions for the tests: one good text, and the changes that break it."""

from pathlib import Path

__all__ = ["GOOD", "write_submission"]

GOOD = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: food11
  annotations:
    podium.dev/slo: "p99<=100ms, errors<=1%, rate>=40/s"
    podium.dev/quality: "accuracy>=0.85, drop<=0.01"
    podium.dev/variants: "auto"
    podium.dev/node-classes: "epyc,a100"
spec:
  predictor:
    model:
      modelFormat: {name: pytorch}
      storageUri: file://models/food11
"""


def write_submission(folder: Path, *changes: tuple[str, str], text: str = GOOD) -> Path:
    """Write a submission with texts replaced, beside an empty model folder; a change without effect fails."""
    for old, new in changes:
        if old not in text:
            raise ValueError(f"the submission does not hold {old!r}")
        text = text.replace(old, new)
    (folder / "models" / "food11").mkdir(parents=True, exist_ok=True)
    path = folder / "submission.yaml"
    path.write_text(text, encoding="utf-8")
    return path
