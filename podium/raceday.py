"""What a race plays once it may: build, gate, contest, verdict, ranking. Nothing is decided here that has a home."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from loadtest.calm import Calm
from loadtest.cores import awake
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile
from podium.builder import Builder, RefusedError
from podium.calibration import calibrated, calibration_folder
from podium.candidates import candidates
from podium.contest import Contest, Measured
from podium.crosscheck import cross_check
from podium.entry import Entry, Quality
from podium.gate import quality_mark, rejections
from podium.measure import Measurement
from podium.nodeclass import NodeClass
from podium.plan import RacePlan
from podium.progress import RaceProgress
from podium.racefile import Budget, CrossCheck, Event, Money, Race, SubmissionText
from podium.racefolder import agreed_payloads, now
from podium.ranking import ranked, winner
from podium.redaction import without_values
from podium.results import entry_of
from podium.targets.target import Target
from predictors.build import RecipePlan
from predictors.build import plan as plan_recipes
from predictors.fingerprint import fingerprint
from predictors.manifest import read_variant

__all__ = ["play_race"]

_LABELS = {"kind": "kind: one machine, functional and relative"}
# Of the budget, for waiting until the machine's host is quiet.
_PATIENCE = 0.2


@dataclass(slots=True)
class _Log:
    """The events of a race, in seconds since it began."""

    began: float
    events: list[Event] = field(default_factory=list)

    def add(self, text: str, variant: str | None = None, *, level: str = "info") -> None:
        at_s = max(0.0, time.monotonic() - self.began)
        self.events.append(Event.model_validate({"at_s": at_s, "text": text, "variant": variant, "level": level}))


@dataclass(frozen=True, slots=True)
class _Built:
    """A variant in the store, with its quality and the classes that it is sure to find in payloads, by their names."""

    recipe: RecipePlan
    folder: Path
    address: str
    seconds: float | None
    quality: Quality
    rejected: tuple[str, ...]
    answers: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Heat:
    """The part of a race on one node class; `facts` are what its figures depend on, and `mark` names them."""

    node_class: NodeClass
    facts: Mapping[str, str | int | float | list[str]]
    mark: str
    profile: Profile
    contest: Contest
    measured: Mapping[str, Measured] = field(default_factory=dict)
    seconds: float = 0.0

    def play(self, items: Sequence[_Built], payloads: PayloadSet) -> None:
        """Measure the variants on this class."""
        began = time.monotonic()
        known = {item.folder: item.answers for item in items}
        artifacts = {item.folder: item.address for item in items}
        self.measured = self.contest.run(candidates(artifacts, self.node_class, payloads=payloads, known=known))
        self.seconds = time.monotonic() - began


def play_race(
    plan: RacePlan,
    folder: Path,
    target: Target,
    document: Mapping[str, JsonValue],
    progress: RaceProgress,
    *,
    command: str,
) -> Race:
    """Play a race, or what is left of it, and return what came out.

    Raises:
        MachineError: this machine cannot go on.
        KeyboardInterrupt: after everything that was started has ended.
    """
    began = time.monotonic()
    log = _Log(began)
    entries = [
        _skipped(recipe, one, reason)
        for one in plan.classes
        for recipe in plan.recipes
        if (reason := plan.why_not(recipe, one))
    ]
    built, refused, payload_folder = _build(plan, plan.served, folder, quality_mark(), progress, log)
    places = {recipe.variant_id: [one for known, one in plan.entries if known == recipe] for recipe in plan.served}
    entries += [_skipped(recipe, one, reason) for recipe, reason in refused for one in places[recipe.variant_id]]
    entries += [_rejected(item, one) for item in built if item.rejected for one in places[item.recipe.variant_id]]
    racing = [item for item in built if not item.rejected]
    payloads = PayloadSet.from_profile(plan.profile.payload, payload_folder / plan.profile.payload.dir)
    calm = Calm(_shared_cores(plan), plan.budget_s * _PATIENCE, lambda text: _say(progress, log, text))
    base = Measurement(
        target=target,
        calm=calm,
        profile=plan.profile,
        payloads=payloads,
        payload_digest=agreed_payloads(folder, payloads.sha256),
        race_id=folder.name,
        fingerprint="",
        cpus=float(plan.cpus),
        seed=_seed(plan),
        workdir=folder / "work",
        say=lambda text: _warn(progress, log, text),
    )
    # What a race that was killed left of a shot.
    shutil.rmtree(base.workdir, ignore_errors=True)
    measuring = time.monotonic()
    heats: list[_Heat] = []
    waiting = sum(len(places[item.recipe.variant_id]) for item in racing)
    with _course(target, base.workdir):
        for one in plan.classes:
            items = [item for item in racing if one in places[item.recipe.variant_id]]
            if items:
                # What is left of the budget, by how many are still to come.
                left_s = max(0.0, plan.budget_s - (time.monotonic() - measuring))
                budget_s = left_s * len(items) / waiting
                heat = _heat(plan, base, one, folder, budget_s=budget_s, progress=progress, log=log)
                heat.play(items, payloads)
                waiting -= len(items)
                heats.append(heat)
                entries += [_entry(item, heat.measured[item.recipe.variant_id], plan, one) for item in items]
                if one is not plan.classes[-1]:
                    # Node classes may share hardware, so what was measured makes room for what comes.
                    for candidate in candidates({item.folder: item.address for item in items}, one):
                        target.remove(candidate)
        order = ranked(entries, plan.submission.incumbent)
        best = winner(order)
        cross = _crossed(heats, best)
        # The cross-check plays a run more.
        order = tuple(_with_all_runs(entry, heats) for entry in order)
    spent = time.monotonic() - measuring
    if calm.waited_s:
        log.add(f"waited {calm.waited_s:.0f} s in all for this machine's host, which had taken much of its cores")
    log.add("no variant won" if best is None else f"{best.id} wins")
    return Race(
        race_id=folder.name,
        model=plan.card.name,
        target="cluster" if plan.target == "cluster" else "local",
        level=plan.profile.level,
        slo=str(plan.submission.slo),
        winner=None if best is None else best.key,
        fingerprints={heat.node_class.name: heat.mark for heat in heats} or dict(_unraced(plan)),
        budget=Budget(planned_s=plan.budget_s, spent_s=spent),
        cost=_cost(plan, heats, (time.monotonic() - began) / 3600),
        events=tuple(log.events),
        variants=order,
        started=str(document["started"]),
        finished=now(),
        quality=str(plan.submission.quality),
        submission=SubmissionText(path=plan.submission.path.name, text=without_values(plan.submission.source)),
        profile_name=plan.profile.name,
        profile=(heats[0].profile if heats else plan.profile).model_dump(mode="json", by_alias=True),
        thresholds={heat.node_class.name: _thresholds(heat.profile) for heat in heats},
        environment={
            heat.node_class.name: {name: _plain(value) for name, value in heat.facts.items()} for heat in heats
        },
        cross_check=cross,
        incumbent=plan.submission.incumbent,
        labels=tuple(text for name, text in _LABELS.items() if name in {plan.target, plan.site}),
        command=command,
    )


def _shared_cores(plan: RacePlan) -> frozenset[int]:
    """Return the cores of this machine that the race is served and loaded on; none where that is elsewhere."""
    is_here = plan.target == "local" or plan.site == "kind"
    return frozenset(os.sched_getaffinity(0)) if is_here else frozenset()


@contextmanager
def _course(target: Target, workdir: Path) -> Iterator[None]:
    """Measure inside the block: this machine stays awake, and afterwards nothing of the race runs on."""
    try:
        # It may be the machine that serves, or the host of the nodes that do.
        with awake():
            yield
    finally:
        target.cleanup()
        # The log of a generator that failed stays: the error names it.
        with suppress(OSError):
            workdir.rmdir()


def _build(
    plan: RacePlan,
    recipes: Sequence[RecipePlan],
    folder: Path,
    mark: str,
    progress: RaceProgress,
    log: _Log,
) -> tuple[list[_Built], list[tuple[RecipePlan, str]], Path]:
    """Build, or find, every variant and measure its quality against the source's."""
    model_folder = plan.submission.model_folder
    built: list[_Built] = []
    refused: list[tuple[RecipePlan, str]] = []
    progress.stage("Building the variants and checking their quality", 2 * len(recipes) + 1)
    with Builder(log=folder / "build.log", progress=progress.doing) as builder:
        source_recipe = plan_recipes(plan.card, model_folder, ())[0]
        source = builder.build(model_folder=model_folder, variant_id=source_recipe.variant_id, store=plan.store)
        for recipe in recipes:
            progress.doing(f"building {recipe.variant_id}")
            try:
                # The source is built first: everything else is compared with it.
                is_source = recipe.variant_id == source["variant_id"]
                done = (
                    source
                    if is_source
                    else builder.build(model_folder=model_folder, variant_id=recipe.variant_id, store=plan.store)
                )
                progress.step()
                quality = builder.quality(
                    model_folder=model_folder,
                    artifact=Path(done["folder"]),
                    source=Path(source["folder"]),
                    fingerprint=mark,
                )
            except RefusedError as error:
                refused.append((recipe, f"it could not be built: {error}"))
                _warn(progress, log, f"could not be built: {error}", recipe.variant_id)
                progress.step()
                continue
            rejected = rejections(quality, plan.submission.quality)
            seconds = None if done["cached"] else float(done["seconds"])
            built.append(_Built(recipe, Path(done["folder"]), done["address"], seconds, quality, rejected))
            how = "from the store" if done["cached"] else f"built in {done['seconds']:.1f} s"
            text = f"{how}, {quality.metric} {quality.value:.4f}"
            _say(progress, log, text + (f", REJECTED: {rejected[0]}" if rejected else ""), recipe.variant_id)
            progress.step()
        protocol = plan.profile.protocol
        payload_folder = builder.payloads(model_folder=model_folder, protocol=protocol)
        for place, item in enumerate(built):
            known = builder.answers(
                model_folder=model_folder, artifact=item.folder, fingerprint=mark, protocol=protocol
            )
            built[place] = replace(item, answers=known)
        progress.step()
    return built, refused, payload_folder


def _heat(
    plan: RacePlan,
    base: Measurement,
    node_class: NodeClass,
    folder: Path,
    *,
    budget_s: float,
    progress: RaceProgress,
    log: _Log,
) -> _Heat:
    facts = base.target.environment(node_class.name)
    mark = fingerprint(facts)
    limits = calibration_folder(plan.store)
    profile = calibrated(plan.profile, node_class=node_class.name, fingerprint=mark, folder=limits)
    contest = Contest(
        replace(base, profile=profile, fingerprint=mark, cpus=float(max(1, round(node_class.cpu_share)))),
        slo=plan.submission.slo,
        race_folder=folder,
        budget_s=budget_s,
        progress=progress,
        event=lambda text, variant: _warn(progress, log, text, variant),
    )
    return _Heat(node_class, facts, mark, profile, contest)


def _thresholds(profile: Profile) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = profile.thresholds.model_dump(mode="json", by_alias=True)
    return found


def _unraced(plan: RacePlan) -> Mapping[str, str]:
    """Return fingerprints of a race in which nothing was raced."""
    return {plan.node_class.name: quality_mark()} if plan.target == "local" else {}


def _cost(plan: RacePlan, heats: Sequence[_Heat], hours: float) -> Money:
    """Return what the race took: on a cluster each class for as long as it was used, here the machine all along."""
    currency = plan.node_class.price.currency
    if plan.target == "local":
        return Money(value=plan.node_class.cost_per_hour() * hours, currency=currency)
    spent = sum(heat.node_class.cost_per_hour() * len(heat.measured) * heat.seconds / 3600 for heat in heats)
    return Money(value=spent, currency=currency)


def _crossed(heats: Sequence[_Heat], best: Entry | None) -> CrossCheck | None:
    """Return the second tool's view of the winner, or else of the first class whose engine is real."""
    real = [heat for heat in heats if not heat.node_class.emulated]
    chosen = next((heat for heat in real if best is None or heat.node_class.name == best.node_class), None)
    return None if chosen is None else cross_check(chosen.contest, chosen.measured, best)


def _entry(item: _Built, measured: Measured, plan: RacePlan, node_class: NodeClass) -> Entry:
    return entry_of(
        measured,
        profile=plan.profile,
        slo=plan.submission.slo,
        node_class=node_class,
        quality=item.quality,
        size_bytes=sum(file.bytes for file in read_variant(item.folder).files),
        runtime=item.recipe.runtime,
        precision=item.recipe.precision,
        build_s=item.seconds,
    )


def _with_all_runs(entry: Entry, heats: Sequence[_Heat]) -> Entry:
    found = next((heat.measured.get(entry.id) for heat in heats if heat.node_class.name == entry.node_class), None)
    return entry if found is None else entry.model_copy(update={"runs": found.book.paths()})


def _rejected(item: _Built, node_class: NodeClass) -> Entry:
    return Entry(
        id=item.recipe.variant_id,
        node_class=node_class.name,
        address=item.address,
        emulated=node_class.emulated,
        status="REJECTED",
        reasons=item.rejected,
        quality=item.quality,
        size_bytes=sum(file.bytes for file in read_variant(item.folder).files),
        runtime=item.recipe.runtime,
        precision=item.recipe.precision,
        build_s=item.seconds,
    )


def _skipped(recipe: RecipePlan, node_class: NodeClass, reason: str) -> Entry:
    return Entry(
        id=recipe.variant_id,
        node_class=node_class.name,
        emulated=node_class.emulated,
        status="SKIPPED",
        reasons=(reason,),
        runtime=recipe.runtime,
        precision=recipe.precision,
    )


def _seed(plan: RacePlan) -> int:
    return int(hashlib.sha256(plan.digest.encode()).hexdigest()[:6], 16)


def _say(progress: RaceProgress, log: _Log, text: str, variant: str | None = None, *, level: str = "info") -> None:
    log.add(text, variant, level=level)
    progress.note(f"{variant}: {text}" if variant else text)


def _warn(progress: RaceProgress, log: _Log, text: str, variant: str | None = None) -> None:
    _say(progress, log, text, variant, level="warning")


def _plain(value: str | int | float | list[str]) -> JsonValue:
    return list(value) if isinstance(value, list) else value
