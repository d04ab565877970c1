"""The plan of a race: everything that can be checked before anything is started.

Submission, profile, node class, model, recipes, data, tools, ports and disk are looked at here, in the
order in which a person would want to hear of them. What comes out is complete: running it asks no further
question. Nothing is created, so a dry run is this and a printout.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from loadtest.estimate import Estimate, estimate
from loadtest.profile import Profile, load_profile
from podium.document import nearest
from podium.errors import MachineError, SubmissionError
from podium.nodeclass import NodeClass, load_node_class
from podium.quantities import parse_duration
from podium.submission import Submission, load_submission
from predictors.build import RecipePlan
from predictors.build import plan as plan_recipes
from predictors.card import ModelCard, check_data, check_source, load_card
from predictors.store import default_store

__all__ = ["RacePlan", "plan_race"]

_STORE_BYTES = 400 << 20
_RUNS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class RacePlan:
    """A race that may start.

    `notes` are lines a person should read first; `digest` names what makes two races the same: one with the
    same digest that was interrupted is resumed.
    """

    submission: Submission
    profile: Profile
    node_class: NodeClass
    card: ModelCard
    source_digest: str
    recipes: tuple[RecipePlan, ...]
    budget_s: float
    estimate: Estimate
    notes: tuple[str, ...]
    runs: Path
    store: Path
    target: str
    first_port: int
    cpus: int
    digest: str

    @property
    def rate(self) -> float:
        """Return the asked rate per second."""
        return self.submission.slo.rate or 0.0

    @property
    def served(self) -> tuple[RecipePlan, ...]:
        """Return the recipes whose runtime the node class has."""
        return tuple(recipe for recipe in self.recipes if recipe.runtime in self.node_class.runtimes)

    @property
    def seconds(self) -> float:
        """Return the estimated wall time for measuring, within the budget."""
        return min(self.budget_s, self.estimate.seconds)


def plan_race(
    path: Path,
    *,
    profile: str | None = None,
    budget: str | None = None,
    models_dir: Path = Path("models"),
    runs: Path = Path("runs"),
    target: str = "local",
    first_port: int = 18080,
    store: Path | None = None,
) -> RacePlan:
    """Check a submission and all that it needs, and return the plan of its race.

    Raises:
        SubmissionError, NodeClassError, ProfileError, CardError, SourceError, BuildError, DataError: a file that a
            person wrote is refused.
        MachineError: this machine lacks room.
    """
    submission = load_submission(path, models_dir)
    chosen = load_profile(profile or submission.profile or "standard")
    node_class = load_node_class("local")
    card = load_card(submission.model_folder)
    source_digest = check_source(submission.model_folder, card)
    _check_format(submission, card)
    _check_metrics(submission, card)
    recipes = tuple(plan_recipes(card, submission.model_folder, submission.variants))
    check_data(submission.model_folder, card)
    stored = store or default_store()
    _check_room(stored, _STORE_BYTES)
    _check_room(runs, _RUNS_BYTES)
    asked_s = parse_duration(budget) if budget else submission.budget_s
    limit_s = asked_s or chosen.budget_s
    served = [recipe for recipe in recipes if recipe.runtime in node_class.runtimes]
    return RacePlan(
        submission=submission,
        profile=chosen,
        node_class=node_class,
        card=card,
        source_digest=source_digest,
        recipes=recipes,
        budget_s=limit_s,
        estimate=estimate(chosen, rate=submission.slo.rate or 1.0, variants=len(served)),
        notes=_notes(submission),
        runs=runs,
        store=stored,
        target=target,
        first_port=first_port,
        cpus=max(1, round(node_class.cpu_share)),
        digest=_digest(submission, chosen, source_digest, recipes, node_class),
    )


def _check_format(submission: Submission, card: ModelCard) -> None:
    held = "onnx" if card.onnx else "pytorch"
    if submission.model_format != held:
        raise SubmissionError(
            str(submission.path),
            f"modelFormat is {submission.model_format!r}, and the model card of {submission.model_folder.name} "
            f"describes a model of format {held!r}",
            f"write modelFormat: {{name: {held}}}",
        )


def _check_metrics(submission: Submission, card: ModelCard) -> None:
    known = {"drop", card.metric}
    for clause in submission.quality.clauses:
        if clause.metric not in known:
            raise SubmissionError(
                str(submission.path),
                f"podium.dev/quality: {clause} names a metric that {card.name} is not measured by",
                nearest(clause.metric, known),
            )


def _check_room(folder: Path, needed: int) -> None:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise MachineError(f"{place} cannot be written to", "make it writable, or choose another folder")
    free = shutil.disk_usage(place).free
    if free < needed:
        raise MachineError(
            f"The disk of {place} has {free >> 20} MiB free, and a race needs {needed >> 20} MiB there",
            "free some space (podium keeps its files in .podium/ and runs/), or choose another folder",
        )


def _notes(submission: Submission) -> tuple[str, ...]:
    notes = ["local target: one process a variant; figures are functional and relative, not a node's capacity"]
    if submission.node_classes:
        classes = ", ".join(submission.node_classes)
        notes.append(f"node classes {classes} are ignored here: the local target's class is 'local'")
    return tuple(notes)


def _digest(
    submission: Submission,
    profile: Profile,
    source_digest: str,
    recipes: tuple[RecipePlan, ...],
    node_class: NodeClass,
) -> str:
    parts = {
        "submission": submission.text,
        "name": submission.name,
        "profile": profile.digest,
        "source": source_digest,
        "variants": [recipe.variant_id for recipe in recipes],
        "node_class": node_class.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
