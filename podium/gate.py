"""The quality gate: is a variant's quality, measured as it will be served, within what the submission allows?

A variant that is outside is rejected with its numbers and never loaded. Measuring needs the engines and runs in the
builder's process; deciding is pure.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.slo import QualityGate
from podium.entry import Quality
from predictors.card import ModelCard, load_card
from predictors.data import data_root, load_split
from predictors.evaluate import evaluate
from predictors.manifest import MEASURED, address_of
from predictors.measured import MeasuredQuality, read_measured, write_measured
from predictors.quality import compare

__all__ = ["measure_quality", "payload_folder", "rejections"]

_PAYLOADS = 256

Classes = npt.NDArray[np.int64]


def rejections(quality: Quality, gate: QualityGate) -> tuple[str, ...]:
    """Return a sentence for each clause that the variant breaks; empty when it may race."""
    source = quality.value if quality.source_value is None else quality.source_value
    sentences = []
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
    known = read_measured(artifact, fingerprint).quality
    if known is not None and known.n == _test_size(card, model_folder):
        return known
    labels, expected = _predictions(source, card, model_folder, threads, fingerprint, progress)
    _, predicted = _predictions(artifact, card, model_folder, threads, fingerprint, progress)
    quality = MeasuredQuality.model_validate(asdict(compare(labels, predicted, expected, card.labels)))
    write_measured(artifact, fingerprint, quality=quality)
    return quality


def payload_folder(model_folder: Path) -> Path:
    """Return a folder with a sample of the test images, which are what a load sends; made on first use.

    The sample is spread over the whole split, because public sets are often sorted by class.
    """
    card = load_card(model_folder)
    files = load_split(card, model_folder, "test", data_root()).files
    count = min(len(files), _PAYLOADS)
    chosen = [files[number * len(files) // count] for number in range(count)]
    names = hashlib.sha256("\n".join(f"{path} {path.stat().st_size}" for path in chosen).encode()).hexdigest()
    folder = data_root() / card.name / f"payloads-{names[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".payloads-"))
        try:
            for index, path in enumerate(chosen):
                shutil.copyfile(path, draft / f"{index:04d}{path.suffix.lower()}")
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _test_size(card: ModelCard, model_folder: Path) -> int:
    return len(load_split(card, model_folder, "test", data_root()).files)


def _predictions(
    artifact: Path,
    card: ModelCard,
    model_folder: Path,
    threads: int,
    fingerprint: str,
    progress: Callable[[str], None],
) -> tuple[Classes, Classes]:
    """Return labels and predicted classes; kept, because the source's are asked for once for each variant."""
    split = load_split(card, model_folder, "test", data_root())
    data = hashlib.sha256("\n".join(path.name for path in split.files).encode() + split.labels.tobytes())
    key = hashlib.sha256(f"{address_of(artifact)}{data.hexdigest()}{split.folder}".encode()).hexdigest()[:16]
    path = artifact / MEASURED / f"{fingerprint}-{key}.npy"
    if path.exists():
        kept = np.load(path, allow_pickle=False)
        return kept[0], kept[1]
    found = evaluate(artifact, card, model_folder, threads=threads, progress=progress)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as stream:
        np.save(stream, np.stack([found.labels, found.predicted]))
    draft.replace(path)
    return found.labels, found.predicted
