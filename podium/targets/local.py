"""The local target: each candidate is a server process on a core of its own, the generator on another.

Nothing but processes and files: no container, no cluster. Placement is by CPU affinity, which is what a static CPU
policy gives a pod; the CPU share is the node class's. Ports count up from one base so that a person can look at a
variant while it races.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from pydantic import JsonValue

from loadtest.k6 import find_k6
from loadtest.payloads import PayloadSet
from loadtest.play import Endpoint, Outcome, Shot, play
from loadtest.process import prefer
from loadtest.vegeta import attack, find_vegeta
from podium import processes
from podium.errors import MachineError
from podium.targets.target import Candidate, Deployment, ServerFacts
from predictors.fingerprint import environment

READY_DEADLINE_S = 120.0
GRACE_S = 10.0
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Manner:
    """How a candidate is served: flags of `podium serve`, threads, the model's name, and how it is asked.

    `prefix` are words before the command, of a program that starts it.
    """

    flags: tuple[str, ...]
    threads: int
    model: str
    protocol: str
    prefix: tuple[str, ...] = ()


class LocalTarget:
    """Serves candidates as processes of this machine.

    `cpus` is the share of each server in whole cores; `first_port` the base of the ports; logs and generator files go
    below `folder`.
    """

    name = "local"

    def __init__(self, *, model: str, protocol: str, cpus: int, first_port: int, folder: Path, race_id: str) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self._model = model
        self._protocol = protocol
        self._cpus = cpus
        self._first_port = first_port
        self._folder = folder
        self._race_id = race_id
        self._servers: dict[str, tuple[subprocess.Popen[str], Deployment]] = {}
        self._slots: dict[str, int] = {}
        self._speaks_grpc = protocol == "grpc"
        # Data, metrics, and a third where the load is gRPC.
        self._ports_each = 3 if self._speaks_grpc else 2
        self.server_cores = frozenset(cores[-cpus:])
        self.generator_cores = frozenset(cores[:-cpus][:2])
        self.runners = 1

    def check(self, candidates: int) -> None:
        """Raise an error when the machine lacks the cores, the generators or the ports for that many candidates.

        Raises:
            MachineError: too few cores, or a port is in use.
            GeneratorError: k6 or vegeta is missing.
        """
        if not self.generator_cores:
            raise MachineError(
                f"This machine offers {len(self.server_cores)} cores, and a server of {self._cpus} leaves none for "
                "the load generator.",
                hint="Give at least one core more, or lower the CPU limit of the node class 'local'.",
            )
        # What is missing at the last phase would cost all that was measured before it.
        find_k6()
        find_vegeta()
        for port in range(self._first_port, self._first_port + self._ports_each * candidates):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((_HOST, port))
                except OSError as error:
                    raise MachineError(
                        f"Port {port} on {_HOST} cannot be used: {error.strerror}.",
                        hint=f"End what listens there, or choose another base: --port {self._first_port + 100}. "
                        "Two races at once share their cores, and their figures are worth nothing.",
                    ) from error

    def room(self, node_class: str) -> int | None:
        """Return None: servers that wait take no core."""
        del node_class
        return None

    def environment(self, node_class: str) -> Mapping[str, str | int | float | list[str]]:
        """Return the facts of this machine."""
        return environment(node_class, self._cpus)

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
        """Run vegeta on the generator's cores against the deployment."""
        return attack(
            deployment.endpoint,
            rate=rate,
            seconds=seconds,
            payloads=payloads,
            workdir=workdir,
            cores=self.generator_cores,
            timeout_s=timeout_s,
        )

    def deploy(self, candidate: Candidate) -> Deployment:
        """Start the server and wait for its ready line; return the running one if it already serves."""
        running = self._servers.get(candidate.variant_id)
        if running is not None and running[0].poll() is None:
            return running[1]
        slot = self._slots.setdefault(candidate.variant_id, len(self._slots))
        port = self._first_port + self._ports_each * slot
        log = self._log(candidate)
        manner = self._manner(candidate)
        command = [*manner.prefix, sys.executable, "-m", "podium", "serve", str(candidate.folder), "--host", _HOST]
        command += ["--http-port", str(port), "--metrics-port", str(port + 1), *manner.flags]
        command += ["--grpc", "--grpc-port", str(port + 2)] if self._speaks_grpc else ["--no-grpc"]
        began = time.monotonic()
        process = processes.start(
            command,
            log=log,
            cores=self.server_cores,
            environment={"PODIUM_RACE": self._race_id, "OMP_NUM_THREADS": str(manner.threads)},
            # Settings of a person's own servers would change what is measured.
            without="PREDICTOR_",
        )
        endpoint = Endpoint(
            url=f"http://{_HOST}:{port + 2 if self._speaks_grpc else port}",
            protocol=manner.protocol,
            model=manner.model,
            state_url=f"http://{_HOST}:{port + 1}/debug/state",
        )
        deployment = Deployment(candidate, endpoint, 0.0, f"pid {process.pid}")
        self._servers[candidate.variant_id] = (process, deployment)
        prefer(process.pid)
        self._wait_ready(process, f"http://{_HOST}:{port + 1}/healthz/ready", log, candidate)
        deployment = Deployment(candidate, endpoint, time.monotonic() - began, f"pid {process.pid}")
        self._servers[candidate.variant_id] = (process, deployment)
        return deployment

    def load(self, deployment: Deployment, shot: Shot, payloads: PayloadSet, workdir: Path) -> Outcome:
        """Run the generator on its own cores against the deployment."""
        return play(
            deployment.endpoint,
            shot,
            payloads,
            workdir=workdir,
            cores=set(self.generator_cores),
            k6=find_k6(),
        )

    def observe(self, deployment: Deployment) -> ServerFacts:
        """Read the server's state page and its process entry."""
        process, _ = self._servers[deployment.candidate.variant_id]
        ending = processes.ending(process)
        if ending:
            tail = processes.last_lines(self._log(deployment.candidate))
            ended = f"{ending}; its log ends: {tail}"
            return ServerFacts(False, deployment.identity, frozenset(), ending=ended, replicas=frozenset())
        state: dict[str, JsonValue] = {}
        try:
            with _opened(deployment.endpoint.state_url or "", timeout_s=5) as answer:
                # It is loaded at its own port.
                state = {**json.load(answer), "sidecars": []}
        except (OSError, HTTPException, ValueError, TypeError):
            state = {}
        identity, cores = f"pid {process.pid}", frozenset(os.sched_getaffinity(process.pid))
        return ServerFacts(True, identity, cores, state, replicas=frozenset({identity}))

    def remove(self, candidate: Candidate) -> None:
        """Drain and end the candidate's server."""
        running = self._servers.pop(candidate.variant_id, None)
        if running is not None:
            processes.stop(running[0], grace_s=GRACE_S)

    def cleanup(self) -> Sequence[str]:
        """End every server that this race still has."""
        left = list(self._servers)
        for process, _ in self._servers.values():
            if process.poll() is None:
                process.terminate()
        for variant_id in left:
            process, _ = self._servers.pop(variant_id)
            processes.stop(process, grace_s=GRACE_S)
        return left

    def _manner(self, candidate: Candidate) -> Manner:
        """Return how a candidate is served: in a race all are served alike."""
        del candidate
        return Manner(("--cpus", str(self._cpus)), self._cpus, self._model, self._protocol)

    def _log(self, candidate: Candidate) -> Path:
        return self._folder / candidate.variant_id / candidate.node_class / "server.log"

    def _wait_ready(self, process: subprocess.Popen[str], url: str, log: Path, candidate: Candidate) -> None:
        deadline = time.monotonic() + READY_DEADLINE_S
        while time.monotonic() < deadline:
            if ending := processes.ending(process):
                raise MachineError(
                    f"{candidate.variant_id} did not start: {ending}; its log ends: {processes.last_lines(log)}",
                    hint=f"Read {log}, or start it alone: podium serve {candidate.folder}",
                )
            try:
                with _opened(url, timeout_s=2) as answer:
                    if answer.status == 200:
                        return
            except (OSError, HTTPException):
                time.sleep(0.05)
        self.remove(candidate)
        raise MachineError(
            f"{candidate.variant_id} was not ready within {READY_DEADLINE_S:.0f} s; its log ends: "
            f"{processes.last_lines(log)}",
            hint=f"Read {log}, or start it alone: podium serve {candidate.folder}",
        )


def _opened(url: str, *, timeout_s: float) -> HTTPResponse:
    # No proxy of the environment reaches a server of this machine; one that is asked answers in its place.
    opened: HTTPResponse = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout_s)
    return opened
