"""The seam of all faults: first where and how it is undone, which is logged, then the deed, then what is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from podium.chaos.faultlog import Undo
from podium.chaos.plan import Planned
from podium.chaos.site import Site

__all__ = ["Aim", "Fault"]


@dataclass(frozen=True, slots=True)
class Aim:
    """What a fault will be made to.

    Attributes:
        planned: what was drawn.
        where: in words.
        targets: what the deed has to know, by names of its own.
        undo: what takes it back.
    """

    planned: Planned
    where: str
    targets: Mapping[str, str] = field(default_factory=dict)
    undo: tuple[Undo, ...] = ()


class Fault(Protocol):
    """One kind of fault."""

    def aim(self, site: Site, planned: Planned) -> Aim:
        """Choose the target; change nothing.

        Raises:
            NoTargetError: there is none.
        """
        ...

    def strike(self, site: Site, aim: Aim) -> str:
        """Do it, and return once it is done; say where it came out otherwise than it should, or nothing."""
        ...

    def settle(self, site: Site, aim: Aim) -> None:
        """Wait, after it was undone, for what belongs to the fault itself."""
        ...
