"""What `podium bench` prints: what it would do, and what it measured."""

from pathlib import Path

from podium import console, figures
from podium.benchfile import Bench, Figure
from podium.benchplan import BenchPlan
from podium.console import Json, Output
from podium.entry import Interval, Proof
from podium.quantities import format_duration
from podium.standings import SYMBOLS

__all__ = ["passport_rows", "show_bench", "show_bench_plan"]

_CV_LIMIT = 0.2
_SIGNS = {True: "✓", False: "✕", None: "–"}
_STYLES = {"✓": "green", "✕": "red"}


def show_bench_plan(plan: BenchPlan, output: Output) -> None:
    """Print what would be sent where."""
    guess = plan.estimate
    document: Json = {
        "url": plan.endpoint.target,
        "protocol": plan.endpoint.protocol,
        "tool": plan.tool,
        "profile": plan.profile.name,
        "level": plan.profile.level,
        "rate": plan.rate,
        "slo": None if plan.slo is None else str(plan.slo),
        "payloads": {"files": len(plan.payloads.files), "sha256": plan.payloads.sha256},
        "seed": plan.seed,
        "phases": [
            {"phase": phase.kind, "times": phase.plays, "seconds": round(phase.seconds, 1), "requests": phase.requests}
            for phase in guess.phases
        ],
        "seconds": round(guess.seconds, 1),
        "requests": guess.requests,
        "labels": list(plan.labels),
    }
    if output is not Output.TABLE:
        console.print_document(document, output)
        return
    console.print_table(
        ("PHASE", "TIMES", "SECONDS", "REQUESTS"),
        [(phase.kind, str(phase.plays), f"{phase.seconds:.0f}", str(phase.requests)) for phase in guess.phases],
        right={"TIMES", "SECONDS", "REQUESTS"},
    )
    asked = "no SLO: figures without a verdict" if plan.slo is None else str(plan.slo)
    console.print_styled(f"{plan.endpoint.target}: {asked}; profile {plan.profile.name}, sent by {plan.tool}")
    console.print_styled(
        f"about {format_duration(guess.seconds)}, {guess.requests:,} requests of {len(plan.payloads.files):,} payloads"
    )
    for label in plan.labels:
        console.print_styled(label)


def show_bench(folder: Path, bench: Bench, output: Output) -> None:
    """Print figures, passport and verdict, or `bench.json` as it was written."""
    if output is not Output.TABLE:
        console.print_document(bench.model_dump(mode="json"), output)
        return
    percent = f"{100 * _confidence(bench):g} %"
    rows = [(one.phase, one.name, _value(one), _interval(one), _note(one)) for one in bench.figures]
    if bench.server_max_rps is not None:
        rows.append(("search", "largest rate that holds", figures.capacity(bench.server_max_rps), "", ""))
    console.print_table(("PHASE", "FIGURE", "VALUE", f"{percent} INTERVAL", ""), rows, right={"VALUE"})
    console.print_styled("")
    console.print_table(("PROOF", "", "EVIDENCE"), passport_rows(bench.passport), styles=_STYLES)
    console.print_styled("")
    for clause in bench.clauses:
        console.print_styled(f"{SYMBOLS[clause.status]} {clause.text}: {clause.reason}")
    rate = "" if bench.rate is None else f" at {figures.asked_rate(bench.rate)}"
    word = "measured, without a verdict" if bench.status == "MEASURED" else f"{SYMBOLS[bench.status]} {bench.status}"
    console.print_styled(f"{bench.variant}{rate}: {word} (level {bench.level}, sent by {bench.tool})")
    for reason in bench.reasons:
        console.print_styled(f"  {reason}")
    if bench.needs is not None:
        console.print_styled(f"  needs {bench.needs.text}")
    for label in bench.labels:
        console.print_styled(label)
    console.print_styled(f"runs: {folder}")


def passport_rows(passport: tuple[Proof, ...]) -> list[tuple[str, str, str]]:
    """Return a row for each proof: its name, how it came out as a sign, and the evidence."""
    return [
        (proof.check, _SIGNS[proof.ok], f"{proof.evidence}; {proof.remedy}" if proof.remedy else proof.evidence)
        for proof in passport
    ]


def _confidence(bench: Bench) -> float:
    found = bench.profile.get("confidence")
    return float(found) if isinstance(found, int | float) else 0.95


def _value(one: Figure) -> str:
    if one.unit == "ms":
        return figures.milliseconds(one.value)
    if one.unit == "s":
        return f"{figures.number(one.value)} s"
    return figures.rate(one.value) if one.unit == "/s" else f"{figures.number(one.value)} %"


def _interval(one: Figure) -> str:
    if one.value is None or one.low is None or one.high is None:
        return figures.NONE
    if one.unit == "ms":
        text = figures.latency_interval(Interval(value=one.value, low=one.low, high=one.high))
        return text[text.index("(") + 1 : -1]
    return f"{figures.number(one.low)}–{figures.number(one.high)}"


def _note(one: Figure) -> str:
    if one.cv is None or one.cv <= _CV_LIMIT or one.name == "errors":
        return ""
    return f"the blocks disagree (CV {one.cv:.0%})"
