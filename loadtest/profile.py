"""A load profile: a load as data, so that two races with one profile ask the same of every variant.

The file says what is played and how sure the verdict must be; it says nothing of a model, a target or a
rate, which come with the submission. Reading is strict: an unknown key, a duration without a unit or two
phases of one kind are refused with the line and the remedy. No scipy here: a dry run needs none.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from loadtest.amounts import Duration, Share
from loadtest.document import Document, read_document, read_file
from loadtest.errors import ProfileError
from loadtest.fault import Fault, first_fault
from loadtest.phases import BATCH, Hold, Mix, Offline, Payload, Phase, Search, SingleStream, Warmup
from loadtest.stages import Stage, TraceOrFile
from loadtest.strict import StrictYaml

__all__ = [
    "BATCH",
    "Hold",
    "Level",
    "Mix",
    "Offline",
    "Payload",
    "Profile",
    "Protocol",
    "Search",
    "SingleStream",
    "Thresholds",
    "Warmup",
    "load_profile",
    "packaged_profiles",
    "parse_profile",
]

Level = Literal["standard", "quick"]
Protocol = Literal["v1-json", "v1-image", "v2-json", "v2-binary", "grpc"]

_LEAST_CONFIDENCE: Final[dict[Level, float]] = {"standard": 0.99, "quick": 0.95}
_EXAMPLE: Final = "a packaged profile: loadtest/profiles/quick.yaml"
_PHASE_KINDS: Final = ("warmup", "single-stream", "offline", "hold", "search")


class Thresholds(StrictYaml):
    """Limits of the passport's proofs; beyond one of them a run is void."""

    lateness_p99_s: Duration = Field(
        default="10ms",
        alias="latenessP99",
        validate_default=True,
        description="p99 of actual minus intended start.",
    )
    achieved: Share = Field(default=0.99, description="Least share of planned requests that left.")
    throttled: Share = Field(default=0.01, description="Largest share of CPU periods the server was throttled in.")
    generator_cpu: Share = Field(default=0.8, description="Largest share of its cores the generator may use.")
    little: Share = Field(default=0.10, description="Largest relative gap in Little's law.")
    component_sum: Share = Field(default=0.02, description="Largest relative gap between parts and whole.")


class Profile(StrictYaml):
    """A whole profile; `contracts.md` section 5."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$", description="Lower-case name, at most 30 characters.")
    level: Level = Field(description="What a verdict of it is worth.")
    payload: Payload = Field(default_factory=Payload, description="What is sent.")
    protocol: Protocol = Field(default="v1-image", description="How it is sent.")
    timeout_s: Duration = Field(alias="timeout", description="A later answer is a miss and an error.")
    budget_s: Duration = Field(alias="budget", description="Wall time for measuring, over all variants.")
    phases: Annotated[tuple[Phase, ...], Field(strict=False, min_length=1)] = Field(
        description="What is played, in this order."
    )
    stages: Annotated[tuple[Stage, ...], Field(strict=False, max_length=100)] = Field(
        default=(), description="An elastic test in the place of a hold: stages whose rates differ."
    )
    trace: TraceOrFile | None = Field(default=None, description="A recorded trace in the place of stages.")
    confidence: float = Field(ge=0.5, lt=1, description="Confidence of the verdict, each side.")
    utilization: Share = Field(default=0.7, gt=0, description="Planned share of server_max_rps, for cost.")
    thresholds: Thresholds = Field(default_factory=Thresholds, description="Limits of the passport.")

    @model_validator(mode="after")
    def _phases_are_told_apart(self) -> Self:
        kinds = [phase.kind for phase in self.phases]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise ValueError(f"phases holds {kind} {kinds.count(kind)} times; keep one of them")
        return self

    @model_validator(mode="after")
    def _elastic_is_another_test(self) -> Self:
        if self.stages and self.trace is not None:
            raise ValueError("stages and trace both say when requests leave; keep one of them")
        steady = next((phase.kind for phase in self.phases if isinstance(phase, Hold | Search)), None)
        if self.is_elastic and steady is not None:
            raise ValueError(f"stages or a trace change the rate, and {steady} needs a steady one; keep one of them")
        return self

    @model_validator(mode="after")
    def _level_is_deserved(self) -> Self:
        least = _LEAST_CONFIDENCE[self.level]
        if self.confidence < least:
            raise ValueError(
                f"level {self.level} needs confidence of at least {least:g}, and confidence is "
                f"{self.confidence:g}; raise confidence"
                + (" or write level: quick" if self.level == "standard" else "")
            )
        return self

    @property
    def warmup(self) -> Warmup | None:
        """Return the warm-up, if the profile has one."""
        return next((phase for phase in self.phases if isinstance(phase, Warmup)), None)

    @property
    def single_stream(self) -> SingleStream | None:
        """Return the single-stream phase, if the profile has one."""
        return next((phase for phase in self.phases if isinstance(phase, SingleStream)), None)

    @property
    def offline(self) -> Offline | None:
        """Return the offline phase, if the profile has one."""
        return next((phase for phase in self.phases if isinstance(phase, Offline)), None)

    @property
    def hold(self) -> Hold | None:
        """Return the hold, if the profile has one."""
        return next((phase for phase in self.phases if isinstance(phase, Hold)), None)

    @property
    def search(self) -> Search | None:
        """Return the search, if the profile has one."""
        return next((phase for phase in self.phases if isinstance(phase, Search)), None)

    @property
    def is_elastic(self) -> bool:
        """Return whether its rate changes."""
        return bool(self.stages) or self.trace is not None

    @property
    def digest(self) -> str:
        """Return the sha256 of the effective profile; a default written out does not change it."""
        # Profiles of a steady rate are called as they were before there were others.
        unused = set() if self.is_elastic else {"stages", "trace"}
        return hashlib.sha256(self.model_dump_json(by_alias=True, exclude=unused).encode()).hexdigest()


def packaged_profiles() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package."""
    folder = resources.files("loadtest") / "profiles"
    return tuple(sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile by its name (`quick`, `standard`) or from a file.

    Raises:
        ProfileError: naming file, line, key and remedy.
    """
    origin = str(name_or_path)
    names = packaged_profiles()
    if origin in names:
        file = resources.files("loadtest") / "profiles" / f"{origin}.yaml"
        return parse_profile(file.read_text(encoding="utf-8"), f"{origin}.yaml")
    path = Path(name_or_path)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):
        is_file = False
    if not is_file:
        raise ProfileError(origin, "there is no such profile", f"name a file, or one of {', '.join(names)}")
    return _checked(read_file(path, ProfileError, example=_EXAMPLE))


def parse_profile(text: str, origin: str) -> Profile:
    """Read a profile from YAML text; `origin` is what errors call the file.

    Raises:
        ProfileError: naming file, line, key and remedy.
    """
    return _checked(read_document(text.encode(), origin, ProfileError, example=_EXAMPLE))


def _checked(document: Document) -> Profile:
    try:
        return Profile.model_validate(document.content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _refusal(document, first_fault(error, Profile)) from error


def _refusal(document: Document, fault: Fault) -> ProfileError:
    problem, hint = str(fault), fault.hint or f"compare it with {_EXAMPLE}"
    if fault.kind in {"union_tag_invalid", "union_tag_not_found"}:
        place = ".".join(str(key) for key in fault.keys)
        problem = f"{place}: a phase needs a kind, one of {', '.join(_PHASE_KINDS)}"
        hint = "write for example {kind: hold, blocks: 5, block: 10s}"
    return ProfileError(document.place(fault.keys), problem, hint)
