"""The words of the report, explained for a reader who opens it without the documentation."""

from __future__ import annotations

__all__ = ["PROOFS", "WORDS"]

WORDS: tuple[tuple[str, str], ...] = (
    (
        "variant",
        "One servable form of the model: an engine, a precision and what was changed, with its own address.",
    ),
    (
        "node class",
        "A kind of hardware with its price. Two classes stand side by side, never ranked by speed.",
    ),
    ("race", "All variants of one submission: quality gate, runs, verdicts, ranking and this report."),
    ("run", "One phase of the load profile, once, for one variant. Its record is never edited."),
    (
        "verdict",
        "PASS, FAIL or INCONCLUSIVE from the hold at the asked rate, with the confidence of the level.",
    ),
    ("PASS", "Every clause is proven: enough requests, few enough misses, and blocks that agree."),
    ("FAIL", "At least one clause is proven not to hold."),
    ("INCONCLUSIVE", "The requests seen prove neither; the row says what would settle it."),
    ("VOID", "A proof of the passport failed, so the figures say nothing about the variant."),
    ("REJECTED", "The quality gate refused it; it was never loaded."),
    ("SKIPPED", "It was not run, for the reason given."),
    (
        "level",
        "What a verdict is worth: quick (95 %, short blocks) or standard (99 %, five blocks of a minute).",
    ),
    (
        "passport",
        "The proofs that a run is valid: the load was on time and complete, the server was the right one.",
    ),
    ("single-stream p90", "Latency that nine of ten requests stay below when there is one at a time."),
    ("offline", "Items a second when everything is there at once."),
    (
        "server max rate",
        "Largest Poisson rate that holds every clause: between the last that held and the first that failed.",
    ),
    ("binding clause", "The clause that fails first as the rate grows."),
    (
        "cost per million",
        "Price of the share of the node for a million requests at the planned part of the largest rate.",
    ),
    (
        "intended start",
        "When the schedule said a request leaves. Latency counts from there, so a late send is not hidden.",
    ),
    ("Wilson interval", "Where the true share of right answers lies with 95 % confidence."),
    ("McNemar p", "How likely this many one-sided flips against the source are if both were equally good."),
    ("flips", "Test samples that one of the two, variant or source, gets right and the other wrong."),
    (
        "fingerprint",
        "Twelve characters that stand for the machine and its limits. Only runs that share it are compared.",
    ),
)

# A proof is named by what it looks at; the check's own name is what a run that fails it is called.
PROOFS: dict[str, str] = {
    "late": "lateness",
    "under-offered": "achieved against offered rate",
    "dropped": "dropped arrivals",
    "generator-limited": "generator CPU",
    "co-located": "generator isolation",
    "wrong-clock": "clock",
    "payload-drift": "payload",
    "not-warm": "warm-up settled",
    "growing-queue": "in-flight slope",
    "inconsistent": "Little's law",
    "unexplained-time": "component sums",
    "throttled": "server throttling",
    "thread-mismatch": "threads",
    "scaled": "replicas frozen",
    "restarted": "restarts",
    "misplaced": "placement",
    "wrong-artifact": "artifact served",
    "preprocessing-skew": "preprocessing",
    "provider-fallback": "provider",
    "unbatched": "executed batches",
    "wrong-answers": "answers",
    "errors-hidden": "errors",
}
