"""What a race asks of the place it runs in.

The race knows variants, phases and verdicts; a target knows how to bring a variant up there, load it, look at it and
take it away. Every call may be repeated after a crash. The local target starts processes; the cluster target makes
InferenceServices and Jobs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import JsonValue

from loadtest.payloads import Answer, PayloadSet
from loadtest.play import Endpoint, Outcome, Shot
from loadtest.turns import WayTimes

if TYPE_CHECKING:
    # It brings what judges, which takes a while to import.
    from loadtest.evidence import PlacementEvidence


@dataclass(frozen=True, slots=True)
class Planned:
    """What is known of a planned artifact besides its address; a field without its value where nobody said.

    `provider` is the execution provider that it was made for, `beside` are others that some of its operators may run
    on, `quantized` is the number of operators of an int8 one that compute in 8 bits, `file_digest` that of its model
    files, `unlike` those of others, by name, that it must differ from. `answers` are place and label of what it finds
    in the payloads of the race; None where it is not sure.
    """

    provider: str | None = None
    quantized: int | None = None
    file_digest: str | None = None
    unlike: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[Answer | None, ...] = ()
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry of a race as a target sees it: an artifact folder to be served on one node class."""

    variant_id: str
    node_class: str
    address: str
    folder: Path
    preprocessing_hash: str | None = None
    planned: Planned = field(default_factory=Planned)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A candidate that serves: where it answers and how long it took to be ready."""

    candidate: Candidate
    endpoint: Endpoint
    ready_seconds: float
    identity: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a look at a deployment found, just before or after a run.

    `identity` changes when the process or pod was replaced, and is empty where nobody knows who serves; `state` is
    the predictor's `/debug/state`, empty when it did not answer; `cores` are the cores it may use. On a cluster
    `node` is where it runs, `neighbors` are the names of the nodes that are the same machine (itself too),
    `replicas` are its pods, `strangers` says what else its Service sends to, and `placement` is where it runs against
    what its node class asks for; elsewhere they are empty. `image` is what it was to be started from.
    """

    alive: bool
    identity: str
    cores: frozenset[int]
    state: dict[str, JsonValue] = field(default_factory=dict)
    ending: str = ""
    node: str = ""
    neighbors: frozenset[str] = frozenset()
    replicas: frozenset[str] | None = None
    strangers: frozenset[str] = frozenset()
    placement: "PlacementEvidence | None" = None
    image: str = ""


class Target(Protocol):
    """A place that serves candidates and loads them, with so many generators that share a schedule."""

    name: str
    generator_cores: frozenset[int]
    runners: int

    def check(self, candidates: int) -> None:
        """Raise MachineError or ClusterError when that many candidates cannot be served here now."""
        ...

    def room(self, node_class: str) -> int | None:
        """Return how many candidates of a class can be up at once; None where that is no question."""
        ...

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        """Return what figures of a node class depend on here."""
        ...

    def deploy(self, candidate: Candidate) -> Deployment:
        """Bring the candidate up and wait until it is ready; return the running one if it already serves."""
        ...

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        """Play one shot against the deployment and return what the generator recorded."""
        ...

    def attack(
        self,
        deployment: Deployment,
        payloads: PayloadSet,
        *,
        rate: float,
        seconds: float,
        timeout_s: float,
        workdir: Path,
    ) -> Outcome:
        """Send at a constant rate with a second generator and return what it recorded."""
        ...

    def observe(self, deployment: Deployment) -> ServerFacts:
        """Look at the deployment without disturbing it."""
        ...

    def remove(self, candidate: Candidate) -> None:
        """Take the candidate down; do nothing when it is not there."""
        ...

    def cleanup(self) -> Sequence[str]:
        """Remove everything of this race that is left, and say what it was."""
        ...


@runtime_checkable
class ManyWays(Protocol):
    """A place whose servers are reached along several ways: a cluster, and no machine alone."""

    def ask_by_turns(
        self, deployment: Deployment, payloads: PayloadSet, *, timeout_s: float, workdir: Path
    ) -> Sequence[WayTimes]:
        """Send the same requests along every way by turns and return how long each took, the shortest way first."""
        ...
