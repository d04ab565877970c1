"""What a race plays once it may: build, gate, contest, verdict, ranking. Nothing is decided here that has a home."""

import hashlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from loadtest.payloads import PayloadSet
from podium.builder import Builder, RefusedError
from podium.contest import Contest, Measured
from podium.crosscheck import cross_check
from podium.entry import Entry, Quality
from podium.gate import rejections
from podium.measure import Measurement
from podium.plan import RacePlan
from podium.progress import RaceProgress
from podium.racefile import Budget, Event, Money, Race, SubmissionText
from podium.racefolder import agreed_payloads, now
from podium.ranking import ranked, winner
from podium.results import entry_of
from podium.targets.local import LocalTarget
from podium.targets.target import Candidate
from predictors.build import RecipePlan
from predictors.build import plan as plan_recipes
from predictors.fingerprint import environment, fingerprint
from predictors.manifest import read_variant

__all__ = ["play_race"]

_LABELS = ("local target: functional and relative",)


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
    """A variant in the store, with its quality."""

    recipe: RecipePlan
    folder: Path
    address: str
    seconds: float | None
    quality: Quality
    rejected: tuple[str, ...]


def play_race(
    plan: RacePlan,
    folder: Path,
    target: LocalTarget,
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
    facts = environment(plan.node_class.name, plan.cpus)
    mark = fingerprint(facts)
    served = plan.served
    entries = [
        _skipped(recipe, plan, "its runtime is not one of the node class")
        for recipe in plan.recipes
        if recipe not in served
    ]
    built, refused, payload_folder = _build(plan, served, folder, mark, progress, log)
    entries += [_skipped(recipe, plan, reason) for recipe, reason in refused]
    entries += [_rejected(item, plan) for item in built if item.rejected]
    racing = [item for item in built if not item.rejected]
    payloads = PayloadSet.from_profile(plan.profile.payload, payload_folder / plan.profile.payload.dir)
    measurement = Measurement(
        target=target,
        profile=plan.profile,
        payloads=payloads,
        payload_digest=agreed_payloads(folder, payloads.sha256),
        race_id=folder.name,
        fingerprint=mark,
        cpus=float(plan.cpus),
        seed=_seed(plan),
        workdir=folder / "work",
        say=lambda text: _warn(progress, log, text),
    )
    contest = Contest(
        measurement,
        slo=plan.submission.slo,
        race_folder=folder,
        budget_s=plan.budget_s,
        progress=progress,
        event=lambda text, variant: _warn(progress, log, text, variant),
    )
    # What a race that was killed left of a shot.
    shutil.rmtree(measurement.workdir, ignore_errors=True)
    measuring = time.monotonic()
    try:
        measured = contest.run([_candidate(item) for item in racing])
        entries += [_entry(item, measured[item.recipe.variant_id], plan) for item in racing]
        order = ranked(entries)
        best = winner(order)
        cross = cross_check(contest, measured, best)
        # The cross-check plays a run more.
        order = tuple(_with_all_runs(entry, measured) for entry in order)
    finally:
        target.cleanup()
        # The log of a generator that failed stays: the error names it.
        with suppress(OSError):
            measurement.workdir.rmdir()
    spent = time.monotonic() - measuring
    log.add("no variant won" if best is None else f"{best.id} wins")
    hours = (time.monotonic() - began) / 3600
    return Race(
        race_id=folder.name,
        model=plan.card.name,
        target="local",
        level=plan.profile.level,
        slo=str(plan.submission.slo),
        winner=None if best is None else best.key,
        fingerprints={plan.node_class.name: mark},
        budget=Budget(planned_s=plan.budget_s, spent_s=spent),
        cost=Money(value=plan.node_class.cost_per_hour() * hours, currency=plan.node_class.price.currency),
        events=tuple(log.events),
        variants=order,
        started=str(document["started"]),
        finished=now(),
        quality=str(plan.submission.quality),
        submission=SubmissionText(
            path=plan.submission.path.name, text=plan.submission.path.read_text(encoding="utf-8")
        ),
        profile_name=plan.profile.name,
        profile=plan.profile.model_dump(mode="json", by_alias=True),
        environment={plan.node_class.name: {name: _plain(value) for name, value in facts.items()}},
        cross_check=cross,
        incumbent=plan.submission.incumbent,
        labels=_LABELS,
        command=command,
    )


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
                answer = builder.evaluate(
                    model_folder=model_folder,
                    artifact=Path(done["folder"]),
                    source=Path(source["folder"]),
                    threads=len(os.sched_getaffinity(0)),
                    fingerprint=mark,
                )
            except RefusedError as error:
                refused.append((recipe, f"it could not be built: {error}"))
                _warn(progress, log, f"{recipe.variant_id} could not be built: {error}", recipe.variant_id)
                progress.step()
                continue
            quality = Quality.model_validate(
                {name: value for name, value in answer.items() if name in Quality.model_fields}
            )
            rejected = rejections(quality, plan.submission.quality)
            seconds = None if done["cached"] else float(done["seconds"])
            built.append(_Built(recipe, Path(done["folder"]), done["address"], seconds, quality, rejected))
            how = "from the store" if done["cached"] else f"built in {done['seconds']:.1f} s"
            text = f"{recipe.variant_id}: {how}, {quality.metric} {quality.value:.4f}"
            _say(progress, log, text + (f", REJECTED: {rejected[0]}" if rejected else ""), recipe.variant_id)
            progress.step()
        payload_folder = builder.payloads(model_folder=model_folder)
        progress.step()
    return built, refused, payload_folder


def _candidate(item: _Built) -> Candidate:
    preprocessing = read_variant(item.folder).preprocessing
    return Candidate(
        item.recipe.variant_id,
        "local",
        item.address,
        item.folder,
        None if preprocessing is None else preprocessing.hash,
    )


def _entry(item: _Built, measured: Measured, plan: RacePlan) -> Entry:
    return entry_of(
        measured,
        profile=plan.profile,
        slo=plan.submission.slo,
        node_class=plan.node_class,
        quality=item.quality,
        size_bytes=sum(file.bytes for file in read_variant(item.folder).files),
        runtime=item.recipe.runtime,
        precision=item.recipe.precision,
        build_s=item.seconds,
    )


def _with_all_runs(entry: Entry, measured: Mapping[str, Measured]) -> Entry:
    found = measured.get(entry.id)
    return entry if found is None else entry.model_copy(update={"runs": found.book.paths()})


def _rejected(item: _Built, plan: RacePlan) -> Entry:
    return Entry(
        id=item.recipe.variant_id,
        node_class=plan.node_class.name,
        address=item.address,
        status="REJECTED",
        reasons=item.rejected,
        quality=item.quality,
        size_bytes=sum(file.bytes for file in read_variant(item.folder).files),
        runtime=item.recipe.runtime,
        precision=item.recipe.precision,
        build_s=item.seconds,
    )


def _skipped(recipe: RecipePlan, plan: RacePlan, reason: str) -> Entry:
    return Entry(
        id=recipe.variant_id,
        node_class=plan.node_class.name,
        status="SKIPPED",
        reasons=(reason,),
        runtime=recipe.runtime,
        precision=recipe.precision,
    )


def _seed(plan: RacePlan) -> int:
    return int(hashlib.sha256(plan.digest.encode()).hexdigest()[:6], 16)


def _say(progress: RaceProgress, log: _Log, text: str, variant: str | None = None) -> None:
    log.add(text, variant)
    progress.note(text)


def _warn(progress: RaceProgress, log: _Log, text: str, variant: str | None = None) -> None:
    log.add(text, variant, level="warning")
    progress.note(text)


def _plain(value: str | int | float | list[str]) -> JsonValue:
    return list(value) if isinstance(value, list) else value
