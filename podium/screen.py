"""What `podium race` prints: the plan of a dry run, and the ranking of a finished race."""

import shutil
from pathlib import Path

from podium import console
from podium.console import Output
from podium.outlook import facts_of_source, features_of, words
from podium.plan import RacePlan
from podium.quantities import format_duration
from podium.racefile import Race
from predictors.forecast import Forecast, forecast

__all__ = ["show_plan", "show_race"]


def show_plan(plan: RacePlan, output: Output) -> None:
    """Print what a race would build, start, send and cost."""
    share_s = plan.seconds / max(1, len(plan.entries))
    money = sum(one.cost_per_hour() * share_s / 3600 for _, one in plan.entries)
    if plan.target == "local":
        # All servers stay up for the whole race.
        money *= len(plan.entries)
    currency = plan.node_class.price.currency
    forecasts = _forecasts(plan)
    if output is not Output.TABLE:
        console.print_document(
            {
                "model": plan.card.name,
                "slo": str(plan.submission.slo),
                "quality": str(plan.submission.quality),
                "profile": plan.profile.name,
                "level": plan.profile.level,
                "variants": [recipe.variant_id for recipe in plan.recipes],
                "target": plan.target,
                "node_class": plan.node_class.name,
                "entries": [
                    {
                        "variant": recipe.variant_id,
                        "node_class": one.name,
                        "emulated": one.emulated,
                        "nodes": list(plan.nodes.get(one.name, ())),
                        "forecast": words(forecasts[recipe.variant_id, one.name]),
                    }
                    for recipe, one in plan.entries
                ],
                "skipped": [
                    {"variant": recipe.variant_id, "node_class": one.name, "reason": reason}
                    for one in plan.classes
                    for recipe in plan.recipes
                    if (reason := plan.why_not(recipe, one))
                ],
                "servers": len(plan.entries),
                "phases": [
                    {"phase": phase.kind, "seconds": round(phase.seconds, 1), "requests": phase.requests}
                    for phase in plan.estimate.phases
                ],
                "seconds": round(plan.seconds, 1),
                "budget_seconds": plan.budget_s,
                "requests": plan.estimate.requests,
                "cost": {"value": round(money, 6), "currency": currency},
                "notes": list(plan.notes),
            },
            output,
        )
        return
    columns = ("VARIANT", "RUNTIME", "PRECISION", "NODE CLASS", "FORECAST") + (("NODES",) if plan.nodes else ())
    rows = []
    for one in plan.classes:
        name = f"{one.name} (emulated)" if one.emulated else one.name
        for recipe in plan.recipes:
            reason = plan.why_not(recipe, one)
            place = (f"SKIPPED: {reason}" if reason else ", ".join(plan.nodes.get(one.name, ())),) if plan.nodes else ()
            told = str(forecasts[recipe.variant_id, one.name])
            rows.append((recipe.variant_id, recipe.runtime, recipe.precision, name, told, *place))
    console.print_table(columns, rows)
    console.print_styled("")
    console.print_styled("Forecast: times as fast for one sample as the plain export, before anything is built")
    for line in dict.fromkeys(f"{name}: {found.reason}" for (name, _), found in forecasts.items()):
        console.print_styled(f"  {line}")
    console.print_styled("")
    console.print_table(
        ("PHASE", "TIMES", "SECONDS", "REQUESTS"),
        [(phase.kind, str(phase.plays), f"{phase.seconds:.0f}", str(phase.requests)) for phase in plan.estimate.phases],
        right={"TIMES", "SECONDS", "REQUESTS"},
    )
    console.print_styled("")
    slo = plan.submission.slo
    servers = "processes" if plan.target == "local" else "pods"
    console.print_styled(f"{plan.card.name}: {slo}; quality {plan.submission.quality}; profile {plan.profile.name}")
    console.print_styled(
        f"{len(plan.entries)} {servers}, about {format_duration(plan.seconds)} of measuring "
        f"(budget {format_duration(plan.budget_s)}), {plan.estimate.requests} requests, {money:.4f} {currency}"
    )
    if plan.estimate.seconds > plan.budget_s:
        needed = format_duration(plan.estimate.seconds)
        console.print_styled(f"All phases take about {needed}: the budget cuts the last of them; --budget raises it")
    for note in plan.notes:
        console.print_styled(note)


def _forecasts(plan: RacePlan) -> dict[tuple[str, str], Forecast]:
    """Return what each variant promises on each node class."""
    facts = facts_of_source(plan.card, plan.submission.model_folder)
    return {
        (recipe.variant_id, one.name): forecast(recipe.steps, facts, features_of(one))
        for one in plan.classes
        for recipe in plan.recipes
    }


def show_race(folder: Path, race: Race, output: Output) -> None:
    """Print the ranking with its reasons, or `race.json` as it was written."""
    from podium.ranking_table import ranking_notes, ranking_table
    from podium.standings import outcome

    if output is not Output.TABLE:
        console.print_document(race.model_dump(mode="json"), output)
        return
    width = shutil.get_terminal_size((140, 40)).columns
    console.data().print(ranking_table(race, width=width), width=width)
    for line in ranking_notes(race):
        console.print_styled(line)
    console.print_styled(outcome(race))
    if race.cross_check is not None and race.cross_check.p99_ms is not None:
        check = race.cross_check
        console.print_styled(
            f"{check.tool} at a constant {check.rate:g}/s: p99 {check.p99_ms:.1f} ms, "
            f"{check.reference_tool} {check.reference_p99_ms or 0:.1f} ms"
        )
    console.print_styled(f"report: {folder / 'report.html'}")
