"""The one change that a finding names, made to how a variant was served; or why it cannot be made on this machine.

Pure but for reading manifests of the store. What a change brings is not promised here: it is played.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from podium.serving import Serving
from podium.slowness import Finding, Symptoms, diagnose, slow_first_run
from predictors.errors import ArtifactError
from predictors.manifest import Variant, read_variant
from predictors.store import Store

__all__ = ["HERE", "Change", "Elsewhere", "change_for"]

# Node classes of runs that were played against a server of one's own choice, or of this machine.
HERE: Final = frozenset({"local", "url"})
_BINARY: Final = "v2-binary"
_IDLE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and both ways to serve.

    Attributes:
        number: of the check.
        words: what is changed, as a person would do it.
        figure: of a comparison, by which it is told whether the change helps; fixed before anything is played.
        before: how it was served.
        after: how it is served with the change.
        is_fresh: it shows in the first requests of a server only, so that each block needs a new one.
        items: of each request.
        most_rate: the largest rate at which requests do not wait for each other.
    """

    number: int
    words: str
    figure: Literal["p50", "p99"]
    before: Serving
    after: Serving
    is_fresh: bool = False
    items: int = 1
    most_rate: float = math.inf

    @property
    def under_test(self) -> frozenset[str]:
        """Return what of a comparison's conditions differs because of the change."""
        return frozenset({"protocol", "payloads"}) if self.before.protocol != self.after.protocol else frozenset()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A change that cannot be made on this machine, and why."""

    number: int
    sentence: str


def change_for(finding: Finding, seen: Symptoms, was: Serving, *, cores: int, store: Store) -> Change | Elsewhere:
    """Return the change that a finding names.

    Args:
        finding: a cause.
        seen: what was known of the variant.
        was: how it was served.
        cores: cores of this machine that a server may have.
        store: where other variants of the model are.
    """
    found = _MAKERS[finding.number](finding, seen, was, store)
    if isinstance(found, Change) and max(found.before.cores, found.after.cores) > cores:
        needed = max(found.before.cores, found.after.cores)
        sentence = f"it takes {needed} cores for the server, and this machine has {cores} beside the load generator"
        return Elsewhere(finding.number, sentence)
    return found


def _other_artifact(finding: Finding, seen: Symptoms, was: Serving, store: Store) -> Change | Elsewhere:
    """Serve another variant of the model: the one that lacks the cause, or else the unquantized one."""
    try:
        mine = read_variant(was.folder)
    except ArtifactError:
        return Elsewhere(finding.number, "its artifact is not in the store")
    siblings: list[tuple[Serving, Variant]] = []
    for folder in store.folders():
        try:
            other = read_variant(folder)
        except ArtifactError:
            continue
        is_same = (other.model.source_digest, other.runtime.name) == (mine.model.source_digest, mine.runtime.name)
        if is_same and folder.name != was.address:
            siblings.append((replace(was, folder=folder, address=folder.name), other))
    for wanted in _WANTED[finding.number]:
        for serving, other in siblings:
            fits = wanted(other, mine, seen)
            if fits and all(one.outcome != "cause" for one in diagnose(_graph_of(other)) if one.number == 2):
                return Change(finding.number, f"podium serve {other.id}", "p50", was, serving)
    recipe = "podium build --recipes full builds others" if finding.number != 3 else finding.change
    return Elsewhere(finding.number, f"the store holds no variant of the model without this cause: {recipe}")


def _graph_of(variant: Variant) -> Symptoms:
    return Symptoms(variant.id, ops=variant.ops.after)


_WANTED: Final[dict[int, tuple[Callable[[Variant, Variant, Symptoms], bool], ...]]] = {
    1: (lambda other, _mine, _seen: other.precision == "fp32",),
    2: (
        lambda other, mine, _seen: other.precision == mine.precision,
        lambda other, _mine, _seen: other.precision == "fp32",
    ),
    3: (lambda other, mine, seen: other.precision == mine.precision and other.runtime.provider in seen.providers[-1:],),
}


def _fewer_threads(finding: Finding, seen: Symptoms, was: Serving, _store: Store) -> Change | Elsewhere:
    share = max(1, int(seen.cpus or 1))
    return Change(finding.number, f"podium serve --cpus {share}", "p50", was, replace(was, cpus=float(share)))


def _whole_cpus(finding: Finding, _seen: Symptoms, was: Serving, _store: Store) -> Change | Elsewhere:
    if was.quota is None:
        return Elsewhere(finding.number, "the quota that it was throttled by is not on record")
    whole = math.ceil(was.quota)
    after = replace(was, quota=None, cores=whole, cpus=float(whole))
    return Change(finding.number, f"{whole} whole CPU{'s' * (whole > 1)}, and as many threads", "p99", was, after)


def _sidecar(finding: Finding, seen: Symptoms, _was: Serving, _store: Store) -> Change | Elsewhere:
    names = ", ".join(one.name for one in seen.sidecars or ())
    return Elsewhere(finding.number, f"{names} is none of this machine's to start: change it where it is deployed")


def _binary(finding: Finding, _seen: Symptoms, was: Serving, _store: Store) -> Change | Elsewhere:
    # The same tensors in both encodings.
    before = replace(was, protocol="v2-json")
    return Change(finding.number, "V2 binary tensors", "p50", before, replace(before, protocol=_BINARY))


def _near_memory(finding: Finding, _seen: Symptoms, _was: Serving, _store: Store) -> Change | Elsewhere:
    return Elsewhere(
        finding.number, "processes are bound to a socket where they are deployed: numactl, or its policies"
    )


def _no_delay(finding: Finding, _seen: Symptoms, was: Serving, _store: Store) -> Change | Elsewhere:
    return Change(finding.number, "podium serve --max-delay 0s", "p50", was, replace(was, max_delay_s=0.0))


def _warm(finding: Finding, seen: Symptoms, was: Serving, _store: Store) -> Change | Elsewhere:
    found = slow_first_run(seen)
    size, _, later_ms = found or (was.max_batch, 0.0, 0.0)
    rate = _IDLE * 1000 / later_ms if later_ms else math.inf
    # Alone in its batch, so that the size is met and no other.
    before = replace(was, max_delay_s=0.0)
    after = replace(before, warm="every")
    words = "podium serve --warm every"
    return Change(finding.number, words, "p99", before, after, is_fresh=True, items=size, most_rate=rate)


_MAKERS: Final[dict[int, Callable[[Finding, Symptoms, Serving, Store], Change | Elsewhere]]] = {
    1: _other_artifact,
    2: _other_artifact,
    3: _other_artifact,
    4: _fewer_threads,
    5: _whole_cpus,
    6: _sidecar,
    7: _binary,
    8: _near_memory,
    9: _no_delay,
    10: _warm,
}
