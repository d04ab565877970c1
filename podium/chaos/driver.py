"""Makes the faults one after the other: quiet time, fault, undone, whole again; each step is logged before it is taken.

Whatever ends it, what was done is undone first: the end of the plan, an error, Ctrl-C or a polite kill. What a kill
without warning leaves is undone from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from podium.chaos.aim import Aim, Fault
from podium.chaos.faultlog import Begin, End, FaultLog, Over, Skip, Whole
from podium.chaos.judging import Seen
from podium.chaos.plan import Planned
from podium.chaos.prober import Prober
from podium.chaos.registry import FAULTS, HOLDS
from podium.chaos.site import NoTargetError, Site
from podium.chaos.spec import Faults
from podium.chaos.undoing import undo_all
from podium.cluster.errors import ClusterError, DeadlineError

__all__ = ["Driver", "Made", "stamp"]

_CALM_S = 3.0
_FIRST_S = 30.0
_TOLD_S = 90.0
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Made:
    """A fault that was made; times in seconds of the run.

    Attributes:
        whole_s: when the services were as before; None where they were not in time.
        outcome: empty where it did what it says.
        missing: what was missing to the end of the wait.
    """

    number: int
    kind: str
    service: str
    where: str
    may_lose: bool
    began_s: float
    ended_s: float
    whole_s: float | None
    outcome: str
    missing: str


class Driver:
    """One run; `began` is the wall time that its log counts from, `say` gets what a person may want to know."""

    def __init__(
        self, site: Site, prober: Prober, log: FaultLog, spec: Faults, *, began: float, say: Callable[[str], None]
    ) -> None:
        self._site = site
        self._prober = prober
        self._log = log
        self._spec = spec
        self._say = say
        self._began = began
        self._zero = site.clock.now() - (site.clock.wall() - began)
        self.made: list[Made] = []
        self.skipped: list[str] = []

    def run(self, planned: Iterable[Planned]) -> Seen:
        """Make the faults of a plan, and return what the prober saw.

        Raises:
            ClusterError: the services were not whole at the begin, nobody could ask them, or a fault could not be made.
        """
        self._site.until_whole(self._spec.recovery_s)
        self._say("starting the prober")
        try:
            self._site.spared.add(self._prober.start())
            self._hear()
            for one in planned:
                if self._spec.for_s is not None and self._since() > self._spec.for_s:
                    break
                self._site.clock.pause(one.pause_s)
                if not self._make(one):
                    break
            self._site.clock.pause(self._spec.grace_s + _CALM_S)
            seen = self._told(self._began + self._since())
        finally:
            self._prober.stop()
        self._log.write(Over(at=stamp()))
        return seen

    def _hear(self) -> None:
        """Wait until a first answer has come: where none can, a run would blame the services."""
        deadline = self._site.clock.now() + _FIRST_S
        while True:
            seen = self._prober.read()
            if seen.right or any(one.is_wrong for one in seen.bad):
                return
            if self._site.clock.now() > deadline:
                last = seen.bad[-1].verdict if seen.bad else "nothing was asked"
                raise ClusterError(
                    f"The prober got no answer within {_FIRST_S:.0f} s: {last}",
                    "look at NetworkPolicies, and at the golden requests: would the services take them?",
                )
            self._site.clock.pause(_LOOK_S)

    def _make(self, planned: Planned) -> bool:
        """Make one fault, and return whether all was whole again in time."""
        kind, fault = planned.fault.kind, FAULTS[planned.fault.kind]
        try:
            aim = fault.aim(self._site, planned)
        except NoTargetError as error:
            self._say(f"{planned.number} {kind}: skipped, {error}")
            self.skipped.append(f"{kind}: {error}")
            skip = Skip(n=planned.number, kind=kind, why=str(error), since_s=self._since(), at=stamp())
            self._log.write(skip)
            return True
        self._say(f"{planned.number} {kind}: {aim.where}")
        began_s = self._since()
        self._log.write(_begin(planned, aim, began_s))
        outcome, missing = self._carry_out(planned, fault, aim)
        ended_s = self._since()
        self._log.write(End(n=planned.number, outcome=outcome, since_s=ended_s, at=stamp()))
        whole_s: float | None = None
        if not missing:
            try:
                whole_s = self._site.until_whole(self._spec.recovery_s) - self._zero
            except DeadlineError as error:
                missing = error.last_seen
        self._log.write(Whole(n=planned.number, missing=missing, since_s=self._since(), at=stamp()))
        self.made.append(
            Made(
                planned.number,
                kind,
                planned.service,
                aim.where,
                planned.fault.may_lose,
                began_s,
                ended_s,
                None if whole_s is None else round(max(whole_s, ended_s), 3),
                outcome,
                missing,
            )
        )
        return whole_s is not None

    def _carry_out(self, planned: Planned, fault: Fault, aim: Aim) -> tuple[str, str]:
        """Do it, hold it and undo it; return what came out otherwise, and what did not come back."""
        outcome, is_undone, is_settled = "interrupted", False, False
        try:
            try:
                outcome = self._strike(planned, fault, aim)
            finally:
                undo_all(self._site, aim.undo)
                is_undone = True
            try:
                fault.settle(self._site, aim)
            except DeadlineError as error:
                is_settled = True
                return outcome, error.last_seen
            is_settled = True
        finally:
            if is_undone and not is_settled:
                self._log.write(End(n=planned.number, outcome=outcome, since_s=self._since(), at=stamp()))
        return outcome, ""

    def _strike(self, planned: Planned, fault: Fault, aim: Aim) -> str:
        try:
            outcome = fault.strike(self._site, aim)
        except DeadlineError as error:
            return str(error)
        if planned.fault.kind in HOLDS:
            self._site.clock.pause(getattr(planned.fault, "for_s", 0.0))
        return outcome

    def _told(self, until: float) -> Seen:
        """Return what the prober saw, once it has told of all up to a wall time."""
        deadline = self._site.clock.now() + _TOLD_S
        while True:
            seen = self._prober.read()
            if seen.until >= until or self._site.clock.now() > deadline:
                return seen
            self._site.clock.pause(_LOOK_S)

    def _since(self) -> float:
        return round(self._site.clock.now() - self._zero, 3)


def stamp() -> str:
    """Return the wall time as people read it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _begin(planned: Planned, aim: Aim, since_s: float) -> Begin:
    return Begin(
        n=planned.number,
        kind=planned.fault.kind,
        fault=planned.fault.model_dump(mode="json", by_alias=True, exclude_none=True),
        service=planned.service,
        pause_s=planned.pause_s,
        pick=planned.pick,
        where=aim.where,
        undo=aim.undo,
        since_s=since_s,
        at=stamp(),
    )
