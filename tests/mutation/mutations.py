"""Faults a person could make in what judges, searches, counts and reads submissions, each a change of one line.

None of them is equivalent: for every one there is an input on which the program says something else. The numbers
behind a name are the line of thought, not an order.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault: `old` stands exactly once in the file, `new` takes its place, some of `tests` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


VERDICT = ("tests/unit/test_verdict.py", "tests/unit/test_verdict_risk.py")
STATISTICS = ("tests/unit/test_statistics.py",)
PASSPORT = ("tests/unit/test_passport.py",)
EVIDENCE = ("tests/unit/test_unexplained_time.py",)
SEARCH = ("tests/unit/test_search.py",)
UNSENT = ("tests/unit/test_search_unsent.py",)
BEHIND = ("tests/unit/test_contest_unsent.py",)
HISTOGRAM = ("tests/unit/test_histogram.py",)
SUBMISSION = ("tests/unit/test_submission.py",)
SLO = ("tests/unit/test_slo.py",)

MUTATIONS = (
    Mutation(
        "a pass needs the count only, not the bound over batches",
        "loadtest/verdict.py",
        "elif bound is not None and bound <= allowed and supports(",
        "elif bound is not None and supports(",
        VERDICT,
    ),
    Mutation(
        "a fail needs the bound only, not the count",
        "loadtest/verdict.py",
        "bound > allowed and refutes(requests, missed, allowed, confidence):",
        "bound > allowed:",
        VERDICT,
    ),
    Mutation(
        "one cut block is a fail",
        "loadtest/verdict.py",
        "_CUTS_THAT_FAIL: Final = 2",
        "_CUTS_THAT_FAIL: Final = 1",
        VERDICT,
    ),
    Mutation(
        "a cut block counts as a whole one",
        "loadtest/verdict.py",
        "sum(not block.cut and block.seconds >=",
        "sum(block.seconds >=",
        VERDICT,
    ),
    Mutation(
        "one passing clause is enough",
        "loadtest/verdict.py",
        'if statuses == {"PASS"}:',
        'if "PASS" in statuses:',
        VERDICT,
    ),
    Mutation(
        "each clause spends the whole risk of a wrong fail",
        "loadtest/verdict.py",
        "1 - (1 - _EARLY) * risk / _counted_clauses(slo))",
        "1 - (1 - _EARLY) * risk)",
        VERDICT,
    ),
    Mutation(
        "a queue grows that gained next to nothing",
        "loadtest/server_proofs.py",
        "found.low <= 0 or rise < _LEAST_RISE, found.value",
        "found.low <= 0, found.value",
        PASSPORT,
    ),
    Mutation(
        "what a server that stood still took is missing time",
        "podium/evidence.py",
        "np.minimum(means, np.quantile(means, _USUAL))",
        "means",
        EVIDENCE,
    ),
    Mutation(
        "the support rule forgets the last miss",
        "loadtest/statistics.py",
        "stats.binom.cdf(misses, requests, share)",
        "stats.binom.cdf(misses - 1, requests, share)",
        STATISTICS,
    ),
    Mutation(
        "the refuting tail leaves out the count itself",
        "loadtest/statistics.py",
        "stats.binom.sf(misses - 1, requests, share)",
        "stats.binom.sf(misses, requests, share)",
        STATISTICS,
    ),
    Mutation(
        "a batch may be shorter than its size",
        "loadtest/statistics.py",
        "count = misses.size // size",
        "count = -(-misses.size // size)",
        STATISTICS,
    ),
    Mutation(
        "the t-bound has a degree of freedom too many",
        "loadtest/statistics.py",
        "stats.t.ppf(confidence, values.size - 1)) * error",
        "stats.t.ppf(confidence, values.size)) * error",
        STATISTICS,
    ),
    Mutation(
        "a percentile takes the rank below",
        "loadtest/statistics.py",
        "math.ceil(quantile * values.size - _ROUNDING)",
        "math.floor(quantile * values.size - _ROUNDING)",
        STATISTICS,
    ),
    Mutation(
        "the rate that held is not probed again",
        "loadtest/search.py",
        "len(self._at(holds)) < 2 and holds",
        "len(self._at(holds)) < 1 and holds",
        SEARCH,
    ),
    Mutation(
        "a rate that held once holds",
        "loadtest/search.py",
        "all(result.passed for result in self._at(rate))",
        "any(result.passed for result in self._at(rate))",
        SEARCH,
    ),
    Mutation(
        "contradictions go to the higher threshold",
        "loadtest/search.py",
        "if agreeing > best:",
        "if agreeing >= best:",
        SEARCH,
    ),
    Mutation(
        "a lower bound ends where it was seen",
        "loadtest/search.py",
        "high = self._ceiling if fails is None and unsent is not None else min(high, self._ceiling)",
        "high = min(high, self._ceiling)",
        UNSENT,
    ),
    Mutation(
        "a rate that failed leaves one above it that could not be sent",
        "loadtest/search.py",
        "if fails is not None and unsent is not None and fails <= unsent:",
        "if fails is None and unsent is not None:",
        UNSENT,
    ),
    Mutation(
        "a rate that could not be sent costs no probe",
        "loadtest/search.py",
        "if len(self._probes) + len(self._unsent) >= self._max_probes:",
        "if len(self._probes) >= self._max_probes:",
        UNSENT,
    ),
    Mutation(
        "what the host took is the generator's limit",
        "podium/measure.py",
        " and stolen <= NOTABLE_STEAL",
        "",
        BEHIND,
    ),
    Mutation(
        "a rate that could not be sent is played again when a race is resumed",
        "podium/measure.py",
        'behind = self._behind(known, shot) if phase == "search" else 0',
        "behind = 0",
        BEHIND,
    ),
    Mutation(
        "merging keeps only the last of the others",
        "loadtest/histogram.py",
        "total += other._counts",
        "total = self._counts + other._counts",
        HISTOGRAM,
    ),
    Mutation(
        "a bucket stands for its lower end",
        "loadtest/histogram.py",
        "return ((within + 1) << bucket) - 1",
        "return within << bucket",
        HISTOGRAM,
    ),
    Mutation(
        "a percentile leaves out the value at its rank",
        "loadtest/histogram.py",
        "np.searchsorted(below, rank))",
        'np.searchsorted(below, rank, side="right"))',
        HISTOGRAM,
    ),
    Mutation(
        "a race needs no rate",
        "podium/submission.py",
        "    require_rate(slo)\n",
        "",
        SUBMISSION,
    ),
    Mutation(
        "what the file says gives way to the default",
        "podium/submission.py",
        "return DEFAULTS | ours",
        "return ours | DEFAULTS",
        SUBMISSION,
    ),
    Mutation(
        "a rate of zero is accepted",
        "loadtest/slo.py",
        "0 < float(limit) <= MAX_RATE",
        "0 <= float(limit) <= MAX_RATE",
        SLO,
    ),
    Mutation(
        "a second limit for a metric is silently dropped",
        "loadtest/slo.py",
        "        if first is not clause:\n",
        "        if first is None:\n",
        SLO,
    ),
)
