"""A server that somebody else runs: it is loaded where it answers, and never started, stopped or configured.

What is known of it is what this machine's kernel tells of a server here, and its `/debug/state` where it has one and
is told of; the proofs of everything else say that they were not measured.
"""

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import JsonValue

from loadtest import vegeta
from loadtest.k6 import find_k6
from loadtest.payloads import PayloadSet
from loadtest.play import Endpoint, Outcome, Shot, play
from podium.benchtool import Tool
from podium.errors import ConfigError, MachineError
from podium.targets.ahead import sidecars_ahead
from podium.targets.listener import cores_of, is_local, listeners
from podium.targets.target import Candidate, Deployment, ServerFacts
from predictors.fingerprint import environment

__all__ = ["UrlTarget"]

_LOOK_S = 5.0
_GENERATOR_CORES = 2
_REFUSALS = range(400, 500)
_TOO_MANY = 429
_UNKNOWN_CALLER = (401, 403)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Who serves, as far as it can be told from here."""

    pids: frozenset[int]
    cores: frozenset[int]
    state: dict[str, JsonValue]

    @property
    def identity(self) -> str:
        if self.pids:
            return f"pid {', '.join(str(pid) for pid in sorted(self.pids))}"
        pid = self.state.get("pid")
        return f"pid {pid}" if isinstance(pid, int) else ""


class UrlTarget:
    """Loads one endpoint with `runners` processes of k6, or with one of vegeta."""

    name = "local"

    def __init__(self, endpoint: Endpoint, payloads: PayloadSet, *, runners: int = 1, tool: Tool = "k6") -> None:
        parts = urlsplit(endpoint.url)
        self._endpoint = endpoint
        self._payloads = payloads
        self.runners = runners
        self._tool = tool
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._is_here = is_local(self._host)
        allowed = sorted(os.sched_getaffinity(0))
        free = [core for core in allowed if core not in self._look().cores]
        self.generator_cores = frozenset((free or allowed)[: max(_GENERATOR_CORES, runners)])

    def check(self, candidates: int) -> None:
        """Refuse an endpoint that does not answer, refuses a request, or would share its cores with the generator.

        Raises:
            MachineError: nobody answers, or generator and server share cores.
            ConfigError: the server knows no such model, or takes no such payload.
            GeneratorError: the generator is missing.
        """
        del candidates
        if self._tool == "vegeta":
            vegeta.find_vegeta()
        else:
            find_k6()
        try:
            socket.create_connection((self._host, self._port), timeout=_LOOK_S).close()
        except OSError as error:
            raise MachineError(
                f"nothing answers at {self._host}:{self._port}: {error.strerror or error}",
                "start the server first, or correct the URL",
            ) from error
        seen = self._look()
        if self._is_here and seen.cores & self.generator_cores:
            cores = sorted(os.sched_getaffinity(0))
            hint = f"taskset -acp {cores[-1]} {min(seen.pids)}" if seen.pids and len(cores) > 1 else ""
            raise MachineError(
                f"the server ({seen.identity}) may use every core of this machine, and a load generator beside it "
                "would measure itself",
                hint or "load it from another machine",
            )
        self._check_answer()

    def room(self, node_class: str) -> int | None:
        """Return None: there is one server."""
        del node_class
        return None

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        """Return the facts of this machine, and which one serves."""
        facts = environment(node_class, float(len(self.generator_cores)))
        return {**facts, "server": "this machine" if self._is_here else self._host}

    def deploy(self, candidate: Candidate) -> Deployment:
        """Return what serves."""
        return Deployment(candidate, self._endpoint, 0.0, self._look().identity)

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        """Run the generators on their own cores against the endpoint."""
        endpoint, cores = deployment.endpoint, set(self.generator_cores)
        if self._tool == "vegeta":
            outcome = vegeta.play(endpoint, shot, payloads, workdir=workdir, cores=cores)
        else:
            runners = min(self.runners, shot.users)
            outcome = play(endpoint, shot, payloads, workdir=workdir, cores=cores, runners=runners)
        if self._is_here:
            return outcome
        return replace(outcome, generator=replace(outcome.generator, nodes=(socket.gethostname(),)))

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
        """Run vegeta on the generators' cores against the endpoint."""
        cores = self.generator_cores
        return vegeta.attack(
            deployment.endpoint,
            rate=rate,
            seconds=seconds,
            payloads=payloads,
            workdir=workdir,
            cores=cores,
            timeout_s=timeout_s,
        )

    def observe(self, deployment: Deployment) -> ServerFacts:
        """Look at the server, as far as that can be done from here."""
        del deployment
        seen = self._look()
        node = "" if self._is_here else self._host
        replicas = frozenset({seen.identity}) if seen.identity else None
        ending = "" if seen.identity else "nobody listens there any more"
        return ServerFacts(bool(seen.identity), seen.identity, seen.cores, seen.state, ending, node, replicas=replicas)

    def remove(self, candidate: Candidate) -> None:
        """Do nothing: it is not ours to end."""

    def cleanup(self) -> Sequence[str]:
        """Leave everything as it was found."""
        return ()

    def _check_answer(self) -> None:
        """Send one request, for where it is refused thousands would be."""
        if self._endpoint.protocol == "grpc":
            return
        sent, first = self._payloads.requests_as(self._endpoint.protocol)[0], self._payloads.files[0]
        headers = {**self._endpoint.headers, **sent.headers}
        request = urllib.request.Request(  # noqa: S310
            self._endpoint.target, first.read_bytes(), headers, method="POST"
        )
        try:
            _opened(request).close()
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _UNKNOWN_CALLER:
                    raise ConfigError(
                        f"{self._endpoint.target} answers {error.code}: it does not serve who has no key of it",
                        "name the file of a key that it knows: --key-file FILE",
                    ) from error
                if error.code in _REFUSALS and error.code != _TOO_MANY:
                    raise ConfigError(
                        f"{self._endpoint.target} answers {error.code} to {first.name}: {_text(error.read(500))}",
                        "check --model, --protocol and --payloads",
                    ) from error
        except (OSError, http.client.HTTPException):
            return  # What it does under load is for the run to say.

    def _look(self) -> _Seen:
        state = self._state()
        if not self._is_here:
            return _Seen(frozenset(), frozenset(), state)
        pids = listeners(self._port)
        ahead = sidecars_ahead(pids, state.get("pid"))
        return _Seen(pids, cores_of(pids), state if ahead is None else {**state, "sidecars": ahead})

    def _state(self) -> dict[str, JsonValue]:
        if self._endpoint.state_url is None:
            return {}
        try:
            with _opened(urllib.request.Request(self._endpoint.state_url)) as answer:  # noqa: S310
                found = json.load(answer)
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _opened(request: urllib.request.Request) -> http.client.HTTPResponse:
    # A proxy of the environment would answer in the place of the server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: http.client.HTTPResponse = opener.open(request, timeout=_LOOK_S)
    return answer


def _text(body: bytes) -> str:
    return " ".join(body.decode("utf-8", errors="replace").split())[:200] or "no text"
