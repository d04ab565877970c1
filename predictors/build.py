"""From a model card and its source to artifacts in the store: build what is not there yet.

The build key covers everything that changes a result: source, recipes with all parameters, their code, the
versions of the tools, preprocessing and calibration images. A build works in a staging folder that becomes visible by
one rename after its golden answers have been asked back, so an interrupted one leaves nothing behind.
"""

import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from predictors import checkpoint, imaging
from predictors.card import ModelCard, check_source
from predictors.data import batches, data_root, load_split
from predictors.errors import ArtifactError, BuildError
from predictors.golden import check_golden, read_golden, write_golden
from predictors.manifest import (
    ModelIdentity,
    PreprocessingSpec,
    RecipeStep,
    Requirements,
    RuntimeSpec,
    Variant,
    file_entries,
    read_variant,
    verify_files,
    write_variant,
)
from predictors.models.dataset import Dataset
from predictors.recipes.pipelines import RecipePlan, pipeline, plan
from predictors.recipes.registry import RECIPES
from predictors.recipes.work import Images, Made, Work
from predictors.runtimes import Runtime, load_runtime
from predictors.store import Store, StoredVariant

__all__ = ["Built", "RecipePlan", "build", "plan"]

_SAMPLES = 8
# How far an answer on another machine may be off, relative to the largest logit: float32 sums in another order;
# int8 kernels of other instruction sets round in other places.
_TOLERANCE = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.1}
# How far a variant's answers may be from those of what it was made from, where nothing was quantized.
_PARITY = {"fp32": 1e-3, "fp16": 2e-2}
# A quantized network's logits go with its parent's; where they hardly do, something other than rounding happened.
_CORRELATION = 0.2


@dataclass(frozen=True, slots=True)
class Built:
    """A variant in the store; `seconds` is the time to build it, or to find it."""

    variant_id: str
    address: str
    folder: Path
    cached: bool
    seconds: float


def build(
    card: ModelCard,
    folder: Path,
    recipe_plan: RecipePlan,
    store: Store,
    progress: Callable[[str], None] = lambda _: None,
    *,
    root: Path | None = None,
) -> Built:
    """Build a variant, or find it in the store.

    Args:
        card: The model's card.
        folder: The model's folder.
        recipe_plan: One of `plan`.
        store: Where the artifact goes.
        progress: Takes a line on what is being done.
        root: The data root; `data_root()` by default.

    Raises:
        SourceError: The source is not the card's.
        DataError: The calibration data cannot be had.
        BuildError: A recipe did not do its work.
        ArtifactError: The engine does not answer with the artifact what it answered before.
    """
    started = time.perf_counter()
    job = _Build(card, folder, check_source(folder, card), root or data_root(), store, progress)
    stored, cached = job.find_or_make(recipe_plan)
    seconds = time.perf_counter() - started
    return Built(stored.id, stored.address, stored.folder, cached, seconds)


class _Build:
    """The state of one build: the source and, read only when a step needs them, the images."""

    def __init__(
        self,
        card: ModelCard,
        folder: Path,
        source_digest: str,
        root: Path,
        store: Store,
        progress: Callable[[str], None],
    ) -> None:
        self._card, self._folder, self._source_digest = card, folder, source_digest
        self._root, self._store, self._progress = root, store, progress
        self._preprocessing = imaging.preprocessing(card.preprocessing.name, card.preprocessing.params)

    def find_or_make(self, plan: RecipePlan) -> tuple[StoredVariant, bool]:
        key = self._key(plan)
        known = self._store.by_build_key(self._card.name, key)
        if known is not None and self._is_whole(known):
            self._store.use(known)
            return known, True
        parent = None
        if len(plan.steps) > 1:
            parent, _ = self.find_or_make(pipeline(self._card, plan.steps[:-1], None))
        self._progress(f"{plan.variant_id}: {plan.steps[-1].name}")
        staging = self._store.staging()
        try:
            self._make(plan, parent, staging)
            return self._store.put(staging, key), False
        finally:
            self._store.remove(staging)

    def _is_whole(self, known: StoredVariant) -> bool:
        """Drop a damaged artifact: with the same address in the way, it could not be built again."""
        variant = read_variant(known.folder)
        try:
            verify_files(known.folder, variant)
        except ArtifactError as error:
            self._progress(f"{error}; building it again")
            shutil.rmtree(known.folder)
            return False
        return True

    def _make(self, plan: RecipePlan, parent: StoredVariant | None, staging: Path) -> None:
        step = plan.steps[-1]
        before = None if parent is None else read_variant(parent.folder)
        work = Work(
            card=self._card,
            source=self._folder,
            parent=parent.folder / str(before.runtime.options["model"]) if parent and before else None,
            out=staging,
            params=step.params,
            samples=self._samples,
            calibration=self._batches,
            calibration_images=len(self._calibration.files),
            progress=self._progress,
        )
        made = RECIPES[step.name].load().apply(work)
        self._progress(f"{plan.variant_id}: golden answers")
        variant = self._with_golden(plan, made, staging, parent)
        write_variant(staging, variant)
        verify_files(staging, variant)

    def _with_golden(self, plan: RecipePlan, made: Made, staging: Path, parent: StoredVariant | None) -> Variant:
        """Ask the engine that will serve, keep its answers, and compare them with the parent's."""
        inputs = {self._card.inputs[0].name: self._samples}
        output = self._card.outputs[0].name
        blank = np.zeros((len(self._samples), *self._card.outputs[0].shape[1:]), dtype=np.float32)
        draft = write_golden(staging, inputs, {output: blank}, rtol=0.0, atol=0.0)
        variant = Variant(
            id=plan.variant_id,
            model=ModelIdentity(name=self._card.name, version=self._card.version, source_digest=self._source_digest),
            recipe=plan.steps,
            runtime=RuntimeSpec(
                name=plan.runtime, provider=made.provider, options={"model": made.model, **made.options}
            ),
            precision=plan.precision,
            inputs=self._card.inputs,
            outputs=self._card.outputs,
            preprocessing=PreprocessingSpec(
                name=self._preprocessing.name,
                hash=imaging.implementation_hash(),
                params=self._card.preprocessing.params,
            ),
            labels=self._card.labels,
            files=file_entries(staging),
            requires=Requirements(cpu_features=made.cpu_features),
            ops=made.ops,
            notes=made.notes,
            golden=draft,
            tools=_tools(plan.steps),
        )
        runtime = load_runtime(staging, variant, threads=1)
        try:
            answers = runtime.run(inputs)
            largest = float(np.abs(answers[output]).max())
            if not np.isfinite(largest):
                raise BuildError(f"{plan.variant_id} does not answer with numbers", "check the source's weights")
            atol = _TOLERANCE[plan.precision] * max(largest, 1e-3)
            golden = write_golden(staging, inputs, answers, rtol=_TOLERANCE[plan.precision], atol=atol)
            final = variant.model_copy(update={"golden": golden, "files": file_entries(staging)})
            check_golden(staging, final, runtime.run)
            if parent is not None:
                _check_kinship(parent, plan, runtime)
        finally:
            runtime.close()
        return final

    @cached_property
    def _calibration(self) -> Dataset:
        return load_split(self._card, self._folder, "calibration", self._root)

    @cached_property
    def _sample_files(self) -> list[Path]:
        files = self._calibration.files
        # Spread over the split: a public set is often sorted by class.
        spread = np.linspace(0, len(files) - 1, min(_SAMPLES, len(files))).round().astype(int)
        return [files[index] for index in spread]

    @cached_property
    def _samples(self) -> Images:
        return next(batches(self._sample_files, self._preprocessing, _SAMPLES))

    def _batches(self, size: int) -> Iterator[Images]:
        return batches(self._calibration.files, self._preprocessing, size)

    def _key(self, plan: RecipePlan) -> str:
        recipes = [RECIPES[step.name] for step in plan.steps]
        is_calibrated = any(recipe.is_calibrated for recipe in recipes)
        parts = {
            "id": plan.variant_id,
            "source": self._source_digest,
            "steps": [step.model_dump(mode="json") for step in plan.steps],
            "code": [[checkpoint.digest(path) for path in recipe.source_files()] for recipe in recipes],
            "tools": _tools(plan.steps),
            "preprocessing": imaging.implementation_hash(),
            "images": _digest(self._calibration.files if is_calibrated else self._sample_files),
        }
        trained = self._folder / str(plan.steps[0].params["weights"]) if recipes[0].is_trained else None
        if trained is not None and trained.is_file():
            parts["checkpoint"] = checkpoint.digest(trained)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(files: Sequence[Path]) -> str:
    return hashlib.sha256("".join(checkpoint.digest(path) for path in files).encode()).hexdigest()


def _check_kinship(parent: StoredVariant, plan: RecipePlan, child: Runtime) -> None:
    """Refuse an artifact whose answers are not, or have nothing to do with, those of what it was made from."""
    inputs, outputs = read_golden(parent.folder, read_variant(parent.folder))
    answers = child.run(inputs)
    expected, got = (np.concatenate([tensors[key].ravel() for key in outputs]) for tensors in (outputs, answers))
    remedy = "choose other parameters in the model's recipe list, or leave the variant out"
    if plan.precision in _PARITY:
        off = float(np.abs(got - expected).max() / max(float(np.abs(expected).max()), 1e-6))
        if not off <= _PARITY[plan.precision]:
            raise BuildError(f"{plan.variant_id} differs by {off:.1%} from {parent.id}, which it was made from", remedy)
    elif np.ptp(expected) > 0 and not (np.ptp(got) > 0 and np.corrcoef(expected, got)[0, 1] > _CORRELATION):
        raise BuildError(f"{plan.variant_id} answers nothing like {parent.id}, which it was made from", remedy)


def _tools(steps: Sequence[RecipeStep]) -> dict[str, str]:
    names = sorted({tool for step in steps for tool in RECIPES[step.name].tools})
    try:
        return {name: importlib.metadata.version(name) for name in names}
    except importlib.metadata.PackageNotFoundError as error:
        raise BuildError(
            f"building needs the Python package {error.name}, which is not installed",
            "pip install 'podium[build]'",
        ) from error
