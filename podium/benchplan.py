"""The plan of a bench: where to send, what and how often, checked before anything is sent.

A bench needs no race and no model of ours: a URL that speaks one of the protocols, a profile, and a folder of
request bodies. Nothing is started and nobody is asked here.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from loadtest.errors import ScheduleError
from loadtest.estimate import Estimate, PhaseEstimate, estimate
from loadtest.keyfile import read_key
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile, load_profile
from loadtest.protocols import PROTOCOLS
from loadtest.reach import require_provable, require_reachable, why_never
from loadtest.shot import Endpoint
from loadtest.slo import MAX_RATE, Slo, parse_slo
from podium.benchtool import Tool, chosen_tool, labels_of
from podium.document import nearest
from podium.elastic import WINDOW_S, schedule_of
from podium.errors import ConfigError, UsageError
from podium.redaction import shown_url

__all__ = ["BenchPlan", "plan_bench"]

Integers = npt.NDArray[np.int64]

_NS = 1_000_000_000
_PATHS = (
    re.compile(r"(?P<prefix>.*)/(?P<version>v1)/models/(?P<model>[^/:]+):predict"),
    re.compile(r"(?P<prefix>.*)/(?P<version>v2)/models/(?P<model>[^/]+)/infer"),
)
_SCHEMES = ("http", "https", "grpc")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,28}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """A bench that may start.

    Attributes:
        endpoint: where to send.
        profile: the effective profile.
        payloads: what is sent.
        rate: asked rate per second; None where the profile asks for none.
        slo: the clauses, with the asked rate among them; None for figures alone.
        name: what the runs call the thing under test.
        runners: generator processes that share the schedule.
        seed: of the first block; two benches that ask the same have the same.
        runs: folder of all races and benches.
        labels: warnings that belong beside every figure.
        schedule: the arrivals of an elastic profile, in ns; None for a steady rate.
        tool: the generator that sends.
    """

    endpoint: Endpoint
    profile: Profile
    payloads: PayloadSet
    rate: float | None
    slo: Slo | None
    name: str
    runners: int
    seed: int
    runs: Path
    labels: tuple[str, ...]
    schedule: Integers | None = None
    tool: Tool = "k6"

    @property
    def estimate(self) -> Estimate:
        """Return what it will cost."""
        found = estimate(self.profile, rate=self.rate or 1.0, variants=1, start_s=0.0)
        if self.schedule is None:
            return found
        elastic = PhaseEstimate("elastic", 1, float(self.schedule[-1]) / _NS, self.schedule.size)
        return replace(found, phases=(*found.phases, elastic))


def plan_bench(
    url: str,
    *,
    profile: str,
    payloads: Path,
    model: str | None = None,
    protocol: str | None = None,
    rate: float | None = None,
    slo: str | None = None,
    name: str | None = None,
    state: str | None = None,
    key_file: Path | None = None,
    runners: int = 1,
    seed: int | None = None,
    runs: Path = Path("runs"),
    tool: str = "k6",
) -> BenchPlan:
    """Check everything that a bench needs.

    Raises:
        UsageError: the URL or an option cannot be read, two of them contradict each other, or the tool cannot play the
            profile.
        ProfileError, SloError, ScheduleError: profile, SLO or payloads are refused; so is an SLO that the profile can
            never prove.
        ConfigError: the SLO asks for what a bench cannot measure.
        PlanError: the file of the key cannot be read.
    """
    chosen = load_profile(profile)
    if protocol is not None:
        if protocol not in PROTOCOLS:
            raise UsageError(f"--protocol {protocol!r} is not played", nearest(protocol, PROTOCOLS))
        chosen = Profile.model_validate({**chosen.model_dump(by_alias=True), "protocol": protocol})
    sender = chosen_tool(tool, chosen, runners=runners)
    endpoint = _endpoint(url, chosen.protocol, model, state)
    if key_file is not None:
        endpoint = replace(endpoint, headers={"authorization": f"Bearer {read_key(key_file)}"})
    clauses = None if slo is None else parse_slo(slo)
    asked = _rate(chosen, clauses, rate)
    if clauses is not None:
        if clauses.clause("ready") is not None:
            raise ConfigError("--slo: a start cannot be timed of a server that runs already", "leave out ready")
        if clauses.rate is None and asked is not None:
            clauses = parse_slo(f"{clauses}, rate>={asked!r}/s")
        if chosen.hold is None and chosen.search is None and not chosen.is_elastic:
            raise ConfigError(
                f"the profile {chosen.name} has no hold, and a verdict comes from there",
                "choose a profile with a hold, or leave out --slo",
            )
        _check_reach(clauses, chosen, asked)
    folder = payloads / chosen.payload.dir
    if not folder.is_dir():
        raise UsageError(f"there is no folder of payloads at {folder}", "name a folder of request bodies: --payloads")
    sent = PayloadSet.from_profile(chosen.payload, folder)
    sent.requests_as(chosen.protocol)
    own = name or endpoint.model.lower()
    if not _NAME.fullmatch(own):
        raise UsageError(f"{own!r} cannot name a folder of runs", "give a short lower-case name: --name food11-v2")
    mark = f"{chosen.digest} {sent.sha256} {asked}"
    chosen_seed = int(hashlib.sha256(mark.encode()).hexdigest()[:6], 16) if seed is None else seed
    return BenchPlan(
        endpoint=endpoint,
        profile=chosen,
        payloads=sent,
        rate=asked,
        slo=clauses,
        name=own,
        runners=runners,
        seed=chosen_seed,
        runs=runs,
        labels=(*_labels(chosen, clauses, asked, state), *labels_of(sender)),
        schedule=schedule_of(chosen, rate=asked, seed=chosen_seed, folder=Path(profile).parent),
        tool=sender,
    )


def _endpoint(url: str, protocol: str, model: str | None, state: str | None) -> Endpoint:
    """Read a URL: that of a server, or the whole one of a model, which then names model and version."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UsageError(f"{shown_url(url)!r} is not a URL: {error}", "write http://HOST:PORT") from error
    if parts.scheme not in _SCHEMES or not host or parts.query or parts.fragment or parts.username:
        raise UsageError(
            f"{shown_url(url)!r} is not the URL of a server", "write http://HOST:PORT, or grpc://HOST:PORT"
        )
    if parts.scheme == "grpc" and protocol != "grpc":
        raise UsageError(f"{url} is a gRPC address, and the profile sends {protocol}", "add --protocol grpc")
    if protocol == "grpc" and port is None:
        raise UsageError(f"{url} names no port, and gRPC has no usual one", f"write grpc://{host}:8081")
    prefix, found = parts.path.rstrip("/"), model
    match = next((match for path in _PATHS if (match := path.fullmatch(prefix))), None)
    if match is not None:
        if not protocol.startswith(match["version"]):
            raise UsageError(
                f"{url} is a path of {match['version'].upper()}, and the profile sends {protocol}",
                f"add --protocol {match['version']}-json, or choose a profile of that protocol",
            )
        if model is not None and model != match["model"]:
            raise UsageError(f"--model is {model}, and the URL names {match['model']}", "leave out --model")
        prefix, found = match["prefix"], match["model"]
    if found is None:
        raise UsageError("which model to ask is not said", "add --model NAME, or give the model's whole URL")
    base = f"{'http' if parts.scheme == 'grpc' else parts.scheme}://{parts.netloc}{prefix}"
    return Endpoint(base, protocol, found, None if state is None else _state_url(state))


def _state_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise UsageError(f"--state {shown_url(text)!r} is not a URL", "write the metrics port's: http://HOST:8082")
    return text if parts.path.strip("/") else f"{text.rstrip('/')}/debug/state"


def _rate(profile: Profile, slo: Slo | None, rate: float | None) -> float | None:
    """Return the rate to hold: that of the option, of the SLO, or the one that both agree on."""
    if rate is not None and not 0 < rate <= MAX_RATE:
        raise UsageError(f"--rate {rate:g} cannot be played", f"ask for more than 0 and at most {MAX_RATE:,.0f}")
    asked = None if slo is None else slo.rate
    if rate is not None and asked is not None and rate != asked:
        raise UsageError(f"--rate asks for {rate:g}/s and --slo for {asked:g}/s", "leave out --rate")
    found = rate if rate is not None else asked
    if found is None and profile.hold is not None:
        raise UsageError(
            f"the profile {profile.name} holds a rate, and none is asked", "add --rate 40, or rate in --slo"
        )
    if found is not None and profile.hold is not None:
        try:
            profile.hold.block_seconds(found)
        except (OverflowError, ZeroDivisionError) as error:
            raise ScheduleError(f"a rate of {found:g}/s cannot be held", "ask for more") from error
    return found


def _check_reach(slo: Slo, profile: Profile, rate: float | None) -> None:
    """Refuse an SLO of which no load of this profile could show that it is held, as a race does."""
    require_provable(slo)
    is_judged = profile.hold is not None or profile.search is not None
    if is_judged and all(one.allowed_misses is None for one in slo.clauses):
        raise ConfigError(
            f"--slo {slo}: it says no latency and no error share that must hold at a rate",
            "add for example p99<=100ms or errors<=1%",
        )
    if profile.hold is not None and rate is not None:
        require_reachable(slo, profile, rate)


def _labels(profile: Profile, slo: Slo | None, rate: float | None, state: str | None) -> list[str]:
    labels = []
    if slo is not None and rate is not None and (never := why_never(profile, rate)):
        labels.append(never)
    if profile.hold is not None and profile.hold.restart:
        labels.append("one server all along: it is not ours to make anew between the blocks")
    if profile.search is not None and slo is None:
        labels.append("no search for the largest rate: it needs an SLO (--slo)")
    if profile.is_elastic:
        labels.append("the rate changes: no verdict, and no capacity can be read from it")
        if slo is not None:
            labels.append(f"slo-violation: seconds in which a clause fails over the last {WINDOW_S} s")
    if state is None:
        labels.append("the server's own state was not asked for (--state): what only it knows is not proven")
    return labels
