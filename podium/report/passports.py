"""The passports: every proof of every run, and one table of the worst of each proof by variant.

A proof that failed names the run void and is shown as such; one that could not be measured is shown as not
measured, never as held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podium import figures
from podium.entry import Entry, Proof
from podium.racefile import Race
from podium.report.drawings import entry_name
from podium.report.evidence import Run
from podium.report.words import PROOFS

__all__ = ["Cell", "Matrix", "ProofLine", "failures", "lines", "matrix", "summary"]


@dataclass(frozen=True, slots=True)
class Cell:
    """How a proof came out: a sign, its word, and the class that colors it."""

    sign: str
    word: str
    kind: str


@dataclass(frozen=True, slots=True)
class ProofLine:
    """One proof over the runs of a variant, every figure as text; `held` is in how many of them."""

    check: str
    cell: Cell
    held: str
    value: str
    limit: str
    evidence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Variants across; a row is what a proof looks at and how it came out for each of them."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def lines(entry: Entry, runs: Sequence[Run]) -> tuple[ProofLine, ...]:
    """Return each proof over the runs that count: its worst outcome, in how many runs it held, and its worst value."""
    return tuple(
        ProofLine(
            check=_title(check),
            cell=_cell(check, worst.ok),
            held=f"{sum(one.ok is True for one in proofs)} of {len(proofs)}",
            value=_shown(worst.value),
            limit=_shown(worst.limit),
            evidence=worst.evidence,
            remedy=worst.remedy,
        )
        for check, proofs in _by_check(entry, runs).items()
        for worst in [min(proofs, key=_badness)]
    )


def failures(proofs: Iterable[Proof]) -> tuple[str, ...]:
    """Return the proofs of one run that failed, as sentences."""
    return tuple(
        f"{_title(proof.check)}: {_shown(proof.value)}, limit {_shown(proof.limit)}"
        + (f" ({proof.evidence})" if proof.evidence else "")
        + (f"; {proof.remedy}" if proof.remedy else "")
        for proof in proofs
        if proof.ok is False
    )


def matrix(race: Race, runs: dict[tuple[str, str], tuple[Run, ...]]) -> Matrix:
    """Return the worst of each proof over the runs that count, for each entry with a passport."""
    worst = {
        entry_name(race, entry): proofs
        for entry in race.variants
        if (proofs := _worst(entry, runs[entry.id, entry.node_class]))
    }
    checks = dict.fromkeys(check for proofs in worst.values() for check in proofs)
    return Matrix(
        names=tuple(worst),
        rows=tuple(
            (_title(check), tuple(_cell(check, proofs.get(check)) for proofs in worst.values())) for check in checks
        ),
    )


def summary(proofs: Sequence[Proof]) -> str:
    """Return how many proofs held, failed and were not measured."""
    if not proofs:
        return "no proof was recorded"
    held = sum(proof.ok is True for proof in proofs)
    failed = sum(proof.ok is False for proof in proofs)
    parts = [f"{held} of {figures.plural(len(proofs), 'proof')} hold"]
    if failed:
        parts.append(f"{failed} failed")
    if len(proofs) - held - failed:
        parts.append(f"{len(proofs) - held - failed} not measured")
    return ", ".join(parts)


def _worst(entry: Entry, runs: Sequence[Run]) -> dict[str, bool | None]:
    return {check: min(proofs, key=_badness).ok for check, proofs in _by_check(entry, runs).items()}


def _by_check(entry: Entry, runs: Sequence[Run]) -> dict[str, list[Proof]]:
    """Return the proofs by check; what the entry says itself stands in where no run does."""
    found: dict[str, list[Proof]] = {}
    # A void run that was played again says nothing about the runs that count.
    counted = [run for run in runs if entry.status == "VOID" or not run.is_void]
    for proof in (proof for run in counted for proof in run.passport):
        found.setdefault(proof.check, []).append(proof)
    for proof in entry.passport:
        known = found.setdefault(proof.check, [])
        if not known or (proof.ok is False and all(one.ok is not False for one in known)):
            known.append(proof)
    return found


def _badness(proof: Proof) -> tuple[int, float]:
    """Order proofs, the worst first; of those that held, that which came nearest to its limit."""
    rank = {False: 0, True: 1, None: 2}[proof.ok]
    value, limit = proof.value, proof.limit
    if isinstance(value, int | float) and isinstance(limit, int | float):
        return rank, abs(value - limit) if proof.ok else -abs(value - limit)
    return rank, 0.0


def _title(check: str) -> str:
    return PROOFS.get(check, check)


def _cell(check: str, ok: bool | None) -> Cell:
    if ok is None:
        return Cell("·", "not measured", "none")
    return Cell("✓", "holds", "ok") if ok else Cell("✕", f"void:{check}", "bad")


def _shown(value: float | str | None) -> str:
    if value is None:
        return figures.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return figures.number(value) if isinstance(value, int | float) else value
