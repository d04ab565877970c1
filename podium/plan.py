"""The plan of a race: everything that can be checked before anything is started.

Submission, profile, node class, model, recipes, data, tools, ports and disk are looked at here, in the
order in which a person would want to hear of them. What comes out is complete: running it asks no further
question. Nothing is created, so a dry run is this and a printout.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from loadtest.errors import SloError
from loadtest.estimate import Estimate, estimate, with_turns
from loadtest.profile import Profile, load_profile
from loadtest.reach import require_reachable, why_never
from podium.document import nearest
from podium.errors import ConfigError, MachineError, QuantityError, SubmissionError
from podium.nodeclass import NodeClass, load_node_class
from podium.quantities import format_duration, parse_duration
from podium.submission import Submission, load_submission
from predictors.build import RecipePlan
from predictors.build import plan as plan_recipes
from predictors.card import ModelCard, check_data, check_source, load_card
from predictors.store import default_store

__all__ = ["PAYLOAD_PROTOCOLS", "RacePlan", "RaceSite", "plan_race"]

_STORE_BYTES = 400 << 20
_RUNS_BYTES = 64 << 20
# gRPC carries the tensors of v2-binary; the load generator puts them into its messages.
PAYLOAD_PROTOCOLS = ("v1-image", "v2-binary", "grpc")


@dataclass(frozen=True, slots=True)
class RaceSite:
    """Where a race runs, as far as its plan depends on it.

    Attributes:
        classes: the node classes, at least one.
        notes: lines that a person should read first.
        lacking: why nothing of a runtime can be served there.
        nodes: names of the nodes of each class.
        name: of the site, as the platform chart has it; empty for this machine.
        context: of the kubeconfig; empty for this machine.
        incumbent: variant that serves under the submission's name; empty where none does.
    """

    classes: tuple[NodeClass, ...]
    notes: tuple[str, ...] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    name: str = ""
    context: str = ""
    incumbent: str = ""


@dataclass(frozen=True, slots=True)
class RacePlan:
    """A race that may start.

    `notes` are lines a person should read first; `digest` names what makes two races the same: one with the
    same digest that was interrupted is resumed. `others` are the node classes besides the first; `lacking` says of a
    runtime why nothing of it can be served there, `nodes` lists the nodes of each
    class and `site` names the cluster's site, all of them on a cluster only.
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
    others: tuple[NodeClass, ...] = ()
    lacking: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    site: str = ""

    @property
    def rate(self) -> float:
        """Return the asked rate per second."""
        return self.submission.slo.rate or 0.0

    @property
    def classes(self) -> tuple[NodeClass, ...]:
        """Return all node classes of the race."""
        return (self.node_class, *self.others)

    @property
    def served(self) -> tuple[RecipePlan, ...]:
        """Return the recipes that are served on at least one node class."""
        return tuple(recipe for recipe in self.recipes if any(not self.why_not(recipe, one) for one in self.classes))

    @property
    def entries(self) -> tuple[tuple[RecipePlan, NodeClass], ...]:
        """Return what is raced: each recipe on each node class that can serve it."""
        return tuple((recipe, one) for one in self.classes for recipe in self.recipes if not self.why_not(recipe, one))

    def why_not(self, recipe: RecipePlan, node_class: NodeClass) -> str:
        """Return why a recipe is not served on a node class; empty where it is."""
        if recipe.runtime not in node_class.runtimes:
            return "its runtime is not one of the node class"
        return self.lacking.get(recipe.runtime, "")

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
    site: Callable[[Submission], RaceSite] | None = None,
) -> RacePlan:
    """Check a submission and all that it needs, and return the plan of its race.

    Raises:
        SubmissionError, NodeClassError, ProfileError, CardError, SourceError, BuildError, DataError: a file that a
            person wrote is refused.
        MachineError: this machine lacks room.
    """
    submission = load_submission(path, models_dir)
    chosen = load_profile(profile or submission.profile or "standard")
    _check_protocol(chosen)
    found = site(submission) if site is not None else _here(submission)
    node_class, *others = found.classes
    card = load_card(submission.model_folder)
    source_digest = check_source(submission.model_folder, card)
    _check_format(submission, card)
    _check_metrics(submission, card)
    submission = replace(submission, incumbent=submission.incumbent or found.incumbent or None)
    recipes, more = _with_incumbent(submission, card)
    check_data(submission.model_folder, card)
    stored = store or default_store()
    _check_room(stored, _STORE_BYTES)
    _check_room(runs, _RUNS_BYTES)
    asked_s = submission.budget_s if budget is None else _budget(budget)
    limit_s = asked_s or chosen.budget_s
    _check_budget(chosen, submission.slo.rate or 1.0, limit_s)
    more = (*more, *_check_reach(submission, chosen))
    plan = RacePlan(
        submission=submission,
        profile=chosen,
        node_class=node_class,
        card=card,
        source_digest=source_digest,
        recipes=recipes,
        budget_s=limit_s,
        estimate=estimate(chosen, rate=submission.slo.rate or 1.0, variants=0),
        notes=(*found.notes, *more),
        runs=runs,
        store=stored,
        target=target,
        first_port=first_port,
        cpus=max(1, round(node_class.cpu_share)),
        digest=_digest(submission, chosen, source_digest, recipes, found),
        others=tuple(others),
        lacking=found.lacking,
        nodes=found.nodes,
        site=found.name,
    )
    guess = estimate(chosen, rate=plan.rate or 1.0, variants=len(plan.entries))
    if target == "cluster" and chosen.protocol != "grpc":
        guess = with_turns(guess, variants=len(plan.entries))
    return replace(plan, estimate=guess)


def _check_protocol(profile: Profile) -> None:
    if profile.is_elastic:
        raise ConfigError(
            f"the profile {profile.name} changes its rate, and a race judges a hold at a steady one",
            "play it with podium bench, or choose a profile with a hold",
        )
    if profile.protocol not in PAYLOAD_PROTOCOLS:
        raise ConfigError(
            f"the profile {profile.name} sends {profile.protocol}, and a race makes its requests of the model's test "
            f"images, for {', '.join(PAYLOAD_PROTOCOLS)} only",
            f"write protocol: {PAYLOAD_PROTOCOLS[0]} in the profile",
        )


def _budget(text: str) -> float:
    try:
        return parse_duration(text)
    except QuantityError as error:
        raise QuantityError(f"--budget: {error}", error.hint) from error


def _check_budget(profile: Profile, rate: float, limit_s: float) -> None:
    """Refuse what cannot end in time: the budget is looked at between shots, and a low rate needs long ones."""
    block_s = profile.hold.block_seconds(rate) if profile.hold is not None else 0.0
    if block_s > limit_s:
        raise ConfigError(
            f"one block of the hold lasts {format_duration(block_s)} at {rate:g}/s, and the budget of the whole race "
            f"is {format_duration(limit_s)}",
            "ask for a higher rate, or give a budget for five blocks of each variant with --budget",
        )


def _check_reach(submission: Submission, profile: Profile) -> tuple[str, ...]:
    """Refuse an SLO that the profile can never prove, and return what else no race of it will bring."""
    rate = submission.slo.rate or 1.0
    try:
        require_reachable(submission.slo, profile, rate)
    except SloError as error:
        raise SubmissionError(str(submission.path), f"podium.dev/slo: {error}", error.hint) from error
    never = why_never(profile, rate)
    unranked = f"profile {profile.name} has no search: what holds is not told apart by cost"
    return (*([never] if never else []), *([unranked] if profile.search is None else []))


def _with_incumbent(submission: Submission, card: ModelCard) -> tuple[tuple[RecipePlan, ...], tuple[str, ...]]:
    """Return the recipes that are asked for and that of the incumbent, which races too, and what to say of it."""
    asked = tuple(plan_recipes(card, submission.model_folder, submission.variants))
    name = submission.incumbent
    if name is None or name == "none" or any(recipe.variant_id == name for recipe in asked):
        return asked, ()
    known = plan_recipes(card, submission.model_folder, ())
    own = tuple(recipe for recipe in known if recipe.variant_id == name)
    if not own:
        return asked, (f"the incumbent {name} is no variant of {card.name} and does not race",)
    return (*asked, *own), (f"the incumbent {name} races too",)


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
    place = folder.resolve()
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


def _here(submission: Submission) -> RaceSite:
    notes = ["local target: one process a variant; figures are functional and relative, not a node's capacity"]
    if submission.node_classes:
        classes = ", ".join(submission.node_classes)
        notes.append(f"node classes {classes} are ignored here: the local target's class is 'local'")
    return RaceSite((load_node_class("local"),), tuple(notes))


def _digest(
    submission: Submission,
    profile: Profile,
    source_digest: str,
    recipes: tuple[RecipePlan, ...],
    site: RaceSite,
) -> str:
    first, *others = (one.model_dump(mode="json") for one in site.classes)
    parts: dict[str, object] = {
        "submission": submission.text,
        "name": submission.name,
        "profile": profile.digest,
        "source": source_digest,
        "variants": [recipe.variant_id for recipe in recipes],
        "node_class": first,
    }
    if site.context:
        parts |= {"site": site.name, "context": site.context, "others": others, "lacking": dict(site.lacking)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
