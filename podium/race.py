"""A race from its plan to its files: folder, machine, what is played, what is written. Interrupted, it goes on.

The folder `runs/<race>/` is the race: `plan.json` says what it is, the run records what was played, `race.json`
(written last) what came out. A race without `race.json` whose plan is the same is taken up again.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from podium.errors import PodiumError
from podium.extras import missing_modules
from podium.plan import RacePlan
from podium.progress import RaceProgress
from podium.racefile import Race, write_race
from podium.racefolder import find_folder, locked, point_latest, write_plan
from podium.targets.local import LocalTarget
from podium.targets.target import Target
from predictors.errors import PredictorError

__all__ = ["MakeTarget", "run_race"]

MakeTarget = Callable[[RacePlan, Path, Callable[[str], None]], Target]


def run_race(
    plan: RacePlan,
    *,
    fresh: bool = False,
    command: str = "",
    quiet: bool = False,
    make_target: MakeTarget | None = None,
) -> tuple[Path, Race]:
    """Run a race, or take an interrupted one up again, and return its folder and its result.

    Args:
        plan: what was checked.
        fresh: start anew even when the same race was interrupted.
        command: the command line, for the report.
        quiet: show no progress.
        make_target: where the race runs; this machine without. Gets plan, folder, and who is told what is waited for.

    Raises:
        MachineError: this machine cannot run it, or the same race runs already.
        KeyboardInterrupt: after everything that was started has ended.
    """
    folder, document = find_folder(plan, fresh=fresh)
    progress = RaceProgress(quiet=quiet)
    target = (make_target or _local)(plan, folder, progress.doing)
    with ExitStack() as stack:
        if document["resumed"]:
            stack.enter_context(locked(folder))
        _check_packages()
        target.check(len(plan.entries))
        if not document["resumed"]:
            folder.mkdir(parents=True)
            stack.enter_context(locked(folder))
            write_plan(folder, document)
        stack.enter_context(progress)
        if document["resumed"]:
            progress.note(f"resuming {folder.name}: finished runs are kept")
        for note in plan.notes:
            progress.note(note)
        # What measures and judges takes a while to import, and a refusal should not.
        from podium.dossier import gather, write_dossier
        from podium.raceday import play_race
        from podium.report import render_report
        from predictors.store import Store

        try:
            race = play_race(plan, folder, target, document, progress, command=command)
        except KeyboardInterrupt:
            progress.note(f"interrupted: the same command goes on with {folder.name}; with --new it starts afresh")
            raise
        write_race(folder, race)
        point_latest(folder)
        try:
            write_dossier(folder, gather(race, Store(plan.store), plan.classes))
        except (OSError, LookupError, ValueError, PodiumError, PredictorError) as error:
            progress.note(f"without forecasts, graphs and prices: {error}; `podium report` looks for them again")
        progress.note(f"report: {render_report(folder)}")
    return folder, race


def _local(plan: RacePlan, folder: Path, _say: Callable[[str], None]) -> LocalTarget:
    return LocalTarget(
        model=plan.card.name,
        protocol=plan.profile.protocol,
        cpus=plan.cpus,
        first_port=plan.first_port,
        folder=folder,
        race_id=folder.name,
    )


def _check_packages() -> None:
    """Refuse what would fail after a while: judging and reporting are imported once the race is under way."""
    missing = next(iter(missing_modules("bench")), None)
    if missing is not None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
