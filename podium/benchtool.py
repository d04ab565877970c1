"""Which load generator sends a bench, and what of a profile it cannot play: that is told before anything is sent.

k6 plays every profile. vegeta is the second opinion: constant rates over HTTP from one process, and closed loops for a
warm-up alone, as nothing of that is kept.
"""

from typing import Final, Literal

from loadtest.phases import Hold, Phase, Search, Warmup
from loadtest.profile import Profile
from podium.document import nearest
from podium.errors import UsageError

__all__ = ["TOOLS", "Tool", "chosen_tool", "labels_of"]

Tool = Literal["k6", "vegeta"]

TOOLS: Final[dict[str, Tool]] = {"k6": "k6", "vegeta": "vegeta"}
_OF_VEGETA: Final = (
    "vegeta: answers are counted by their status and not looked into, and its sends are late against the most punctual "
    "of them"
)
_ALL: Final = "leave out --tool vegeta: k6 plays it"


def chosen_tool(name: str, profile: Profile, *, runners: int) -> Tool:
    """Return the generator of a name.

    Raises:
        UsageError: there is none, or it cannot play the profile; every phase that it cannot play is named.
    """
    if name not in TOOLS:
        raise UsageError(f"--tool {name!r} is not known", nearest(name, TOOLS))
    if name == "k6":
        return "k6"
    phases = ", ".join(phase.kind for phase in profile.phases)
    if profile.protocol == "grpc":
        raise UsageError(
            f"vegeta speaks HTTP, and the profile {profile.name} sends gRPC in its phases ({phases})",
            f"add --protocol v2-binary with payloads of it, or {_ALL}",
        )
    if runners > 1:
        raise UsageError(
            f"vegeta is one process, and --runners {runners} would divide the phases of profile {profile.name} "
            f"({phases}) among more",
            f"leave out --runners, or {_ALL}",
        )
    if profile.is_elastic:
        what = "trace" if profile.trace is not None else "stages"
        raise UsageError(
            f"vegeta sends at a constant rate, and the {what} of profile {profile.name} may change it",
            f"choose --profile constant, or {_ALL}",
        )
    foreign = [f"{phase.kind} ({why})" for phase in profile.phases if (why := _obstacle(phase))]
    if foreign:
        raise UsageError(
            f"vegeta sends at a constant rate, and cannot play of profile {profile.name}: {', '.join(foreign)}",
            f"choose --profile constant, write arrivals: constant and drop what waits for answers, or {_ALL}",
        )
    return "vegeta"


def labels_of(tool: Tool) -> tuple[str, ...]:
    """Return what must be known beside figures that came from this generator."""
    if tool == "k6":
        return ()
    return (_OF_VEGETA,)


def _obstacle(phase: Phase) -> str:
    """Say why a phase is not of a constant rate; empty where it is, and for a warm-up, of which nothing is kept."""
    if isinstance(phase, Hold | Search):
        return "" if phase.arrivals == "constant" else "Poisson arrivals"
    return "" if isinstance(phase, Warmup) else "users wait for their answers"
