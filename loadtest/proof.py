"""One proof of the passport: what was measured, the limit, and whether it holds.

A proof bears the name that a failing run is called by; `ok` is None where the evidence is missing, which
is never the same as holding.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOT_MEASURED", "Proof", "Value", "not_measured"]

Value = float | int | str | None

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof.

    Attributes:
        check: the name of `measurement.md` section 5.
        ok: holds, fails, or None where it was not measured.
        value: what was measured.
        limit: what it may be at most, or must be.
        evidence: one sentence with the numbers behind it.
    """

    check: str
    ok: bool | None
    value: Value = None
    limit: Value = None
    evidence: str = NOT_MEASURED


def not_measured(check: str, what: str = "") -> Proof:
    """Return the proof of something nobody looked at."""
    return Proof(check, None, evidence=f"{NOT_MEASURED}: {what}" if what else NOT_MEASURED)
