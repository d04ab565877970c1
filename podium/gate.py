"""The quality gate: is a variant's quality, measured as it will be served, within what the submission allows?

A variant that is outside is rejected with its numbers and never loaded. Measuring needs the engines and runs in the
builder's process; deciding is pure.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from loadtest.slo import QualityGate
from podium.entry import Quality
from podium.nodeclass import load_node_class
from predictors.card import load_card
from predictors.data import data_root, load_split
from predictors.evaluate import Predictions, evaluate
from predictors.fingerprint import environment, fingerprint
from predictors.manifest import MEASURED
from predictors.measured import MeasuredQuality, read_measured, write_measured
from predictors.models.dataset import Dataset
from predictors.quality import compare, largest_error

__all__ = ["content_digest", "data_digest", "kept_predictions", "measure_quality", "quality_mark", "rejections"]


def rejections(quality: Quality, gate: QualityGate) -> tuple[str, ...]:
    """Return a sentence for what is wrong with the variant, and for each clause it breaks; empty when it may race."""
    source = quality.value if quality.source_value is None else quality.source_value
    sentences = [] if quality.fault is None else [quality.fault]
    for clause in gate.clauses:
        value = source - quality.value if clause.metric == "drop" else quality.value
        # Shares of a few thousand samples: a difference beyond the twelfth digit is floating point's.
        holds = value <= clause.value + 1e-12 if clause.op == "<=" else value >= clause.value - 1e-12
        if not holds:
            paired = "" if quality.p_value is None else f", McNemar p = {quality.p_value:.2g}"
            sentences.append(
                f"{clause} does not hold: {quality.metric} {quality.value:.4f} "
                f"({quality.low:.4f} to {quality.high:.4f}) on {quality.n} samples, "
                f"the source has {source:.4f}{paired}"
            )
    return tuple(sentences)


def quality_mark() -> str:
    """Return the fingerprint that qualities are kept under: this machine measures them, whatever class serves."""
    local = load_node_class("local")
    return fingerprint(environment(local.name, max(1, round(local.cpu_share))))


def measure_quality(
    model_folder: Path,
    artifact: Path,
    source: Path,
    *,
    threads: int,
    fingerprint: str,
    progress: Callable[[str], None],
) -> MeasuredQuality:
    """Return the quality of an artifact on the model's test data against its source's, measuring what is not known.

    What was measured is kept beside the artifact, under the machine's fingerprint.

    Raises:
        DataError: the test data cannot be had.
        ArtifactError: an artifact cannot be loaded.
    """
    card = load_card(model_folder)
    split = load_split(card, model_folder, "test", data_root())
    data = data_digest(split)
    known = read_measured(artifact, fingerprint).quality
    if known is not None and known.data == data:
        return known

    def predictions(of: Path) -> Predictions:
        kept = kept_predictions(of, fingerprint, data)
        if kept is None:
            kept = evaluate(of, card, model_folder, threads=threads, progress=progress)
            _keep(_place(of, fingerprint, data), kept)
        return kept

    expected, found = predictions(source), predictions(artifact)
    compared = compare(found.labels, found.predicted, expected.predicted, card.labels)
    error = largest_error(found.logits, expected.logits)
    quality = MeasuredQuality.model_validate(asdict(compared) | {"data": data, "largest_error": error})
    write_measured(artifact, fingerprint, quality=quality)
    return quality


def content_digest(files: Sequence[Path]) -> str:
    """Name files by what they hold, wherever they lie."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def data_digest(split: Dataset) -> str:
    """Name test data by its labels and by what its files hold."""
    return hashlib.sha256(split.labels.tobytes() + content_digest(split.files).encode()).hexdigest()


def kept_predictions(artifact: Path, fingerprint: str, data: str) -> Predictions | None:
    """Return what an artifact was measured to find in test data of a digest; None where that is not kept."""
    # One that is not whole, or has classes without logits, is made again.
    with suppress(OSError, EOFError, ValueError):
        table = np.load(_place(artifact, fingerprint, data), allow_pickle=False)
        if table.dtype == np.float32 and table.ndim == 2 and len(table):
            logits = table[:, 1:]
            return Predictions(table[:, 0].astype(np.int64), logits.argmax(axis=1).astype(np.int64), logits)
    return None


def _place(artifact: Path, fingerprint: str, data: str) -> Path:
    return artifact / MEASURED / f"{fingerprint}-{data[:16]}.npy"


def _keep(path: Path, found: Predictions) -> None:
    """Keep labels and logits: the source's are asked for once for each variant."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as stream:
        np.save(stream, np.column_stack([found.labels.astype(np.float32), found.logits]))
    draft.replace(path)
