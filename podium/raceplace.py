"""Where a race runs, from the words of the command line: this machine, or a cluster that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podium.plan import RacePlan, RaceSite
from podium.racefile import Race
from podium.submission import Submission
from podium.targets.target import Target

if TYPE_CHECKING:
    from podium.cluster.access import Access
    from podium.cluster.adapter import Cluster
    from podium.cluster.helm import Helm

__all__ = ["ClusterPlace"]

# An API server that is being replaced is away for about a minute, which is no reason to end a race.
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A cluster as a place of races: what is there when a race is planned, and the target when it runs.

    With `keep` the race leaves what it made there, and `keep` is told what that is and how it is removed.
    """

    cluster: Cluster
    helm: Helm
    runners: int
    keep: Callable[[str], None] | None = None

    @classmethod
    def at(cls, access: Access, *, runners: int, keep: Callable[[str], None] | None = None) -> ClusterPlace:
        """Find the cluster and Helm.

        Raises:
            ClusterError: no cluster answers.
            MachineError: there is no Helm.
        """
        from podium.cluster.adapter import Cluster
        from podium.cluster.deployment import helm_on

        cluster = Cluster.connect(access, patience_s=_PATIENCE_S)
        return cls(cluster, helm_on(cluster), runners, keep)

    def site(self, submission: Submission) -> RaceSite:
        """Return what the cluster offers a submission."""
        from podium.cluster.racesite import race_site

        return race_site(self.cluster, submission)

    def check(self, plan: RacePlan) -> None:
        """Refuse a race that the cluster cannot take, with the list of all that is missing; makes nothing.

        Raises:
            ClusterError: something is missing, or would be refused.
        """
        from podium.cluster.rehearsal import Specimen, missing, refuse
        from podium.cluster.release import Served
        from podium.cluster.site import read_platform

        specimens = {
            (recipe.runtime, one.name): Specimen(
                Served(recipe.variant_id, plan.card.name, recipe.runtime, recipe.precision), one
            )
            for recipe, one in plan.entries
        }
        platform = read_platform(self.cluster)
        refuse(missing(self.cluster, self.helm, platform, tuple(specimens.values()), runners=self.runners))

    def check_apply(self, name: str) -> None:
        """Refuse a submission's name that is somebody else's service, before anything is measured."""
        from podium.cluster.promotion import check_name

        check_name(self.cluster, name)

    def apply(self, plan: RacePlan, folder: Path, race: Race, say: Callable[[str], None]) -> None:
        """Let the winner serve under the submission's name; a race without one changes nothing."""
        from podium.cluster.promotion import promote, tell
        from podium.cluster.site import read_platform

        name = plan.submission.name
        if race.winner is None:
            tell(self.cluster, name, race, "RaceUndecided", "no variant won, and what serves is left as it is")
            say(f"{name} is left as it is: no variant won")
            return
        url = promote(
            self.cluster,
            self.helm,
            read_platform(self.cluster),
            race=race,
            folder=folder,
            name=name,
            node_class=next(one for one in plan.classes if one.name == race.winner.node_class),
            store=plan.store,
            say=say,
        )
        say(f"{name}: {race.winner.variant} on {race.winner.node_class} serves at {url}")

    def target(self, plan: RacePlan, folder: Path, say: Callable[[str], None]) -> Target:
        """Return the target of a race."""
        from podium.cluster.site import read_platform
        from podium.targets.cluster import ClusterTarget

        return ClusterTarget(
            self.cluster,
            self.helm,
            read_platform(self.cluster),
            classes={one.name: one for one in plan.classes},
            protocol=plan.profile.protocol,
            race_id=folder.name,
            runners=self.runners,
            say=say,
            keep=self.keep,
        )
