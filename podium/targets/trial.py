"""The target of a trial: the local one, with each side served in its own way, held to a CPU quota where it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from podium.cpugroup import CpuGroup, cpu_group
from podium.serving import Serving
from podium.targets.local import LocalTarget, Manner
from podium.targets.target import Candidate

__all__ = ["TrialTarget"]


class TrialTarget(LocalTarget):
    """Serves the sides of a trial as processes of this machine, all on the same cores.

    `sides` are the ways to serve by the name of their candidate.
    """

    def __init__(self, sides: Mapping[str, Serving], *, first_port: int, folder: Path, race_id: str) -> None:
        one = next(iter(sides.values()))
        super().__init__(
            model=one.model,
            protocol=one.protocol,
            cpus=max(side.cores for side in sides.values()),
            first_port=first_port,
            folder=folder,
            race_id=race_id,
        )
        self._sides = dict(sides)
        self._groups: dict[str, CpuGroup] = {}

    def remove(self, candidate: Candidate) -> None:
        """Drain and end the candidate's server, and remove its control group."""
        super().remove(candidate)
        group = self._groups.pop(candidate.variant_id, None)
        if group is not None:
            group.remove()

    def cleanup(self) -> Sequence[str]:
        """End every server of the trial, and remove the control groups."""
        left = super().cleanup()
        while self._groups:
            self._groups.popitem()[1].remove()
        return left

    def _manner(self, candidate: Candidate) -> Manner:
        side = self._sides[candidate.variant_id]
        prefix: tuple[str, ...] = ()
        if side.quota is not None:
            group = self._groups.get(candidate.variant_id)
            if group is None:
                group = self._groups[candidate.variant_id] = cpu_group(side.quota)
            prefix = group.prefix
        return Manner(side.flags, side.threads, side.model, side.protocol, prefix)
