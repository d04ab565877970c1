"""The proofs about what was loaded: a steady queue, the planned server, and answers that are what they claim.

Each takes the evidence and the limits and returns one proof; counters of the server are compared before
and after the run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loadtest.evidence import RunEvidence
from loadtest.profile import Thresholds
from loadtest.proof import Proof, not_measured
from loadtest.statistics import Interval, slope, t_interval

__all__ = [
    "errors_hidden",
    "growing_queue",
    "inconsistent",
    "misplaced",
    "preprocessing_skew",
    "provider_fallback",
    "restarted",
    "scaled",
    "thread_mismatch",
    "throttled",
    "unbatched",
    "unexplained_time",
    "wrong_answers",
    "wrong_artifact",
]

Floats = npt.NDArray[np.float64]

_SURE = 0.99
# In-flight remembers: windows must be longer than its memory before its slope has a t-interval. With a fifth
# of a 10 s block, up to 1 % of simulated runs at 60 and 80 % load are called growing by the interval alone.
_WINDOWS = 5
# A queue that gained less within a block adds less than so many service times to any request of it. With this at most
# 0.4 % of those runs at 60 % load are called growing (2,000 each with constant, log-normal and bimodal times), and as
# many as before of those above what the server can do.
_LEAST_RISE = 3.0
_LEAST_POINTS = 10


def growing_queue(evidence: RunEvidence) -> Proof:
    """Prove that in-flight was flat: the interval of its slope contains 0 or is negative, or it gained next to none.

    A block's gain is its slope times its length in s, in requests.
    """
    series = evidence.in_flight
    if series is None:
        return not_measured("growing-queue")
    found = _slope(series)
    if found is None:
        return not_measured("growing-queue", "too few points")
    rise = found.value * float(np.mean([np.ptp(times) for times, _ in series if times.size]))
    text = f"in-flight changes by {found.value:+.3g}/s ({found.low:+.3g} to {found.high:+.3g} at {_SURE:.0%})"
    if evidence.over_saturated:
        return Proof("growing-queue", True, found.value, 0.0, f"{text}; the rate failed, the run is valid")
    if found.low > 0 and rise < _LEAST_RISE:
        text = f"{text}: {rise:.2g} requests within a block, which is next to none"
    return Proof("growing-queue", found.low <= 0 or rise < _LEAST_RISE, found.value, 0.0, text)


def _slope(series: Sequence[tuple[Floats, Floats]]) -> Interval | None:
    """Return the slope over blocks where there are several, else over windows of the one block."""
    blocks = [(times, counts) for times, counts in series if times.size >= _LEAST_POINTS]
    if len(blocks) >= 3:
        fits = [slope(times, counts, _SURE) for times, counts in blocks]
        return t_interval([fit.value for fit in fits if fit is not None], _SURE)
    if not blocks:
        return None
    parts = [np.array_split(part, _WINDOWS) for part in blocks[-1]]
    times, counts = (np.array([part.mean() for part in split]) for split in parts)
    return slope(times, counts, _SURE)


def inconsistent(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove Little's law: mean in-flight is rate times mean latency, within limit and sampling noise."""
    little = evidence.little
    if little is None or little.in_flight.size < _LEAST_POINTS:
        return not_measured("inconsistent")
    if evidence.over_saturated:
        return not_measured("inconsistent", "the queue was not steady")
    expected = little.rate * little.mean_latency_s
    windows = np.array([part.mean() for part in np.array_split(little.in_flight, _WINDOWS)])
    seen = t_interval(windows, _SURE) or Interval(*[float(windows.mean())] * 3)
    beyond = max(0.0, seen.low - expected, expected - seen.high)
    largest = max(expected, seen.value)
    gap = beyond / largest if largest else 0.0
    text = (
        f"mean in-flight {seen.value:.3g} ({seen.low:.3g} to {seen.high:.3g}), "
        f"{little.rate:.4g}/s times {little.mean_latency_s * 1000:.3g} ms is {expected:.3g}"
    )
    return Proof("inconsistent", gap <= limits.little, gap, limits.little, text)


def unexplained_time(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove that the parts of a request sum to the whole, within the limit or what is noise on any machine.

    What is missing in bursts is the server's: while its process stands still, it times nothing. Requests that met it
    were slow all the same, and are judged.
    """
    split = evidence.parts
    if split is None or not split.parts_s or split.whole_s <= 0:
        return not_measured("unexplained-time")
    if evidence.over_saturated:
        return not_measured("unexplained-time", "the queue was not steady")
    total = sum(split.parts_s.values())
    usual_s = split.whole_s if split.usual_s is None else split.usual_s
    apart = max(0.0, total - split.whole_s, usual_s - total if split.is_all else 0.0)
    text = f"{len(split.parts_s)} parts sum to {total * 1000:.4g} ms of {split.whole_s * 1000:.4g} ms"
    if not split.is_all:
        text += "; what lies outside the server has nothing to be held against"
    elif split.whole_s - total > split.noise_s >= apart:
        text += "; what is missing came in bursts, as where the server's process stood still"
    # What is no more than noise is no share of anything: limits are derived from these values.
    share = apart / split.whole_s if apart > split.noise_s else 0.0
    return Proof("unexplained-time", share <= limits.component_sum, share, limits.component_sum, text)


def throttled(evidence: RunEvidence, limits: Thresholds) -> Proof:
    """Prove that the server was throttled in few of its CPU periods."""
    before, after = evidence.before, evidence.after
    if before is None or after is None:
        return not_measured("throttled")
    counters = (before.nr_periods, after.nr_periods, before.nr_throttled, after.nr_throttled)
    if any(counter is None for counter in counters):
        return not_measured("throttled", "its control group counts no periods")
    periods = (after.nr_periods or 0) - (before.nr_periods or 0)
    caught = (after.nr_throttled or 0) - (before.nr_throttled or 0)
    share = caught / periods if periods > 0 else 0.0
    text = f"throttled in {caught:,} of {periods:,} periods"
    if evidence.is_saturating:
        # Whoever takes all of a share is held to it: that is no fault, but the figure.
        return Proof("throttled", True, share, 1.0, f"{text}, under a load that takes all of its CPU share")
    return Proof("throttled", share <= limits.throttled, share, limits.throttled, text)


def thread_mismatch(evidence: RunEvidence) -> Proof:
    """Prove that the engine has as many threads as the server has cores."""
    state = evidence.after or evidence.before
    if state is None or state.threads is None:
        return not_measured("thread-mismatch")
    cpus = evidence.cpus if evidence.cpus is not None else state.cpu_limit
    if cpus is None:
        return not_measured("thread-mismatch", "the CPU limit is unknown")
    workers = max(1, state.workers)
    # Each worker has whole threads: of 3 cores two workers use one each.
    wanted = workers * max(1, int(cpus / workers))
    text = f"{state.threads} threads {f'of {workers} workers ' if workers > 1 else ''}on {cpus:g} cores"
    known = state.cpu_limit is None or max(1, int(state.cpu_limit)) == max(1, int(cpus))
    if not known:
        text += f", and the server takes its limit for {state.cpu_limit:g}"
    return Proof("thread-mismatch", known and state.threads == wanted, state.threads, wanted, text)


def restarted(evidence: RunEvidence) -> Proof:
    """Prove that the same process served from before the run to after it."""
    before, after = evidence.before, evidence.after
    is_seen = before is not None and after is not None
    if not is_seen and evidence.restarts is None and evidence.is_alive is None:
        return not_measured("restarted")
    restarts = evidence.restarts or 0
    moved = before is not None and after is not None and before.identity != after.identity
    text = f"{restarts} restarts"
    if moved:
        text += "; another process answered after the run"
    if evidence.is_alive is False:
        text += "; the server had ended after the run"
    faults = restarts + moved + (evidence.is_alive is False)
    return Proof("restarted", faults == 0, faults, 0, text)


def scaled(evidence: RunEvidence) -> Proof:
    """Prove that one server answered, and no other came or went."""
    seen = evidence.replicas
    if seen is None:
        return not_measured("scaled", "there can only be one server")
    most = max(len(seen.before), len(seen.after))
    text = f"{len(seen.before)} before the run, {len(seen.after)} after it"
    if come := sorted(seen.after - seen.before):
        text += f"; came: {', '.join(come)}"
    return Proof("scaled", most <= 1, most, 1, text)


def misplaced(evidence: RunEvidence) -> Proof:
    """Prove that the server ran where its node class says, and was given what the class asks for."""
    looks = evidence.placement
    if not looks:
        return not_measured("misplaced", "there is only one place")
    faults = dict.fromkeys(
        f"{what} is {look.found.get(what) or 'none'}, and {look.node_class} asks for {wanted}"
        for look in looks
        for what, wanted in look.asked.items()
        if look.found.get(what) != wanted
    )
    nodes = ", ".join(dict.fromkeys(look.node for look in looks))
    given = ", ".join(f"{what} {amount}" for what, amount in looks[-1].found.items())
    text = "; ".join([f"on {nodes}: {given}", *faults])
    if any(look.is_exclusive is False for look in looks):
        text += "; noisy: it has no cores of its own"
    return Proof("misplaced", not faults, len(faults), 0, text)


def wrong_artifact(evidence: RunEvidence) -> Proof:
    """Prove that the planned artifact was served from the planned image, and that it is not another variant's file."""
    wanted, states = evidence.artifact, [one for one in (evidence.before, evidence.after) if one is not None]
    if wanted is None or not states:
        return not_measured("wrong-artifact")
    served = next((one.address for one in states if one.address != wanted.address), states[-1].address)
    text = f"served {served[:12]}, planned {wanted.address[:12]}"
    images = dict.fromkeys(one.image for one in states if one.image is not None)
    planned = wanted.image or next(iter(images), None)
    others = [image for image in images if not _is_same_image(image, planned or "")]
    text += f", from the image {', '.join(others or [planned])}" if planned else ""
    if others:
        text += f" and not from {planned}"
    same = [name for name, digest in wanted.unlike.items() if digest == wanted.file_digest]
    if same:
        text += f"; its model file is that of {', '.join(same)}"
    if wanted.strangers:
        text += f"; requests also went to {', '.join(sorted(wanted.strangers))}"
    ok = served == wanted.address and not others and not same and not wanted.strangers
    return Proof("wrong-artifact", ok, served[:12], wanted.address[:12], text)


def _is_same_image(one: str, other: str) -> bool:
    """Return whether two references name one image.

    Two digests decide; a digest may stand for any tag of its name, and without one both must be written alike.
    """
    names, digests = zip(*(reference.partition("@")[::2] for reference in (one, other)), strict=True)
    if all(digests):
        return bool(digests[0] == digests[1])
    return _untagged(names[0]) == _untagged(names[1]) if any(digests) else one == other


def _untagged(name: str) -> str:
    """Return a name without its tag; the colon of a port stands before a slash."""
    path, _, tag = name.rpartition(":")
    return path if path and "/" not in tag else name


def preprocessing_skew(evidence: RunEvidence) -> Proof:
    """Prove that the server prepares inputs as the artifact was made with."""
    wanted, state = evidence.artifact, evidence.after or evidence.before
    if wanted is None or state is None or (wanted.preprocessing_hash is None and state.preprocessing_hash is None):
        return not_measured("preprocessing-skew")
    made, served = (wanted.preprocessing_hash or "none")[:12], (state.preprocessing_hash or "none")[:12]
    ok = wanted.preprocessing_hash == state.preprocessing_hash
    return Proof("preprocessing-skew", ok, served, made, f"the server has {served}, the artifact was made with {made}")


def provider_fallback(evidence: RunEvidence) -> Proof:
    """Prove that the engine runs on the provider that the variant was made for, and that an int8 one is quantized.

    How many operators are elsewhere says nothing of the time that they take, so that none may be unless the variant
    says on which providers: some engines leave operators of shapes on the CPU on purpose.
    """
    wanted, state = evidence.artifact, evidence.after or evidence.before
    if wanted is None or wanted.provider is None or state is None or not state.provider_nodes:
        return not_measured("provider-fallback", "which provider runs which operator is not known")
    total = sum(state.provider_nodes.values())
    others = {name: count for name, count in state.provider_nodes.items() if name != wanted.provider and count}
    off = sum(count for name, count in others.items() if name not in wanted.beside)
    share = off / total if total else 0.0
    text = f"{total - sum(others.values()):,} of {total:,} operators run on {wanted.provider}"
    for name, count in sorted(others.items()):
        text += f", {count:,} on {name}{', as it says they may' if name in wanted.beside else ''}"
    if wanted.quantized is not None:
        text += f"; its manifest counts {wanted.quantized:,} that compute in 8 bits"
    if wanted.quantized == 0 and not off:
        return Proof("provider-fallback", False, 0, "one in 8 bits", text)
    return Proof("provider-fallback", not off, share, 0.0, text)


def unbatched(evidence: RunEvidence) -> Proof:
    """Prove that requests were batched where that is claimed, and that each was in exactly one batch."""
    claim, before, after = evidence.batches, evidence.before, evidence.after
    if claim is None or before is None or after is None or not after.batches:
        return not_measured("unbatched")
    ran = {size: count - before.batches.get(size, 0) for size, count in after.batches.items()}
    items = sum(size * count for size, count in ran.items())
    batches = sum(ran.values())
    largest = max((size for size, count in ran.items() if count > 0), default=0)
    mean = items / batches if batches else 0.0
    text = f"{items:,} items in {batches:,} batches, mean {mean:.2f}, largest {largest}"
    text += f", for {claim.answered:,} answers to {claim.sent:,} requests"
    single = claim.is_concurrent and claim.max_batch > 1 and largest <= 1
    ok = claim.answered <= items <= claim.sent and not single and largest <= max(1, claim.max_batch)
    return Proof("unbatched", ok, mean, claim.max_batch, text)


def wrong_answers(evidence: RunEvidence) -> Proof:
    """Prove that answers under load are those of the variant, one output for each input."""
    answers = evidence.answers
    if answers is None or answers.checked + answers.counted == 0:
        return not_measured("wrong-answers")
    share = answers.wrong / answers.checked if answers.checked else 0.0
    text = f"{answers.wrong:,} of {answers.checked:,} checked answers differ"
    if not answers.checked:
        text = f"of {answers.counted:,} answers the outputs are counted; what is right is not known"
    if answers.miscounted:
        text += f"; {answers.miscounted:,} answers have the wrong number of outputs"
    ok = share <= answers.allowed_share and answers.miscounted == 0
    return Proof("wrong-answers", ok, share, answers.allowed_share, text)


def errors_hidden(evidence: RunEvidence) -> Proof:
    """Prove that every error counts as a miss and that nothing was sent twice."""
    errors = evidence.errors
    if errors is None:
        return not_measured("errors-hidden")
    seen = sum(errors.seen.values())
    hidden = max(0, seen - errors.counted) + errors.retries + max(0, errors.server_requests)
    text = f"{seen:,} errors seen, {errors.counted:,} misses counted, {errors.retries:,} retries"
    if errors.server_requests > 0:
        text += f"; the server saw {errors.server_requests:,} requests more than were sent"
    return Proof("errors-hidden", hidden == 0, hidden, 0, text)
