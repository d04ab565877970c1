"""One runner of a fleet: asks the results server for the next order, plays its share, brings what came of it.

`python -m loadtest.cluster_runner --results http://HOST:8090 --folder /work`, with `JOB_COMPLETION_INDEX` as its
number. It ends with 0 when the server says that no order will come, and with 1 when the server stays away. A key that
what is loaded asks for is a file of its own (`--key-file`), so that no order and no record has it.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from loadtest import interrupt
from loadtest.archive import pack, unpack
from loadtest.bounds import Bounds
from loadtest.cures import cure_of
from loadtest.errors import LoadtestError, PlanError
from loadtest.fleet import CHECKSUM, Order, Report, RunnerFacts, payloads_of, shot_of
from loadtest.k6 import Runner, command, find_k6, read_outcome, shot_environment, write_shot
from loadtest.keyfile import read_key
from loadtest.payloads import PayloadSet
from loadtest.process import cpu_quota, last_lines, scratch, start, throttled_periods, wait_all
from loadtest.samples import write_samples
from loadtest.shot import START_S, Endpoint
from loadtest.turns import Told, Way, ask_by_turns
from loadtest.vegeta import attack

__all__ = ["Played", "main", "play_order"]

_POLL_S = 20.0
_AWAY_S = 120.0
_CLOCK_LOOKS = 9

Played = tuple[Report, Mapping[str, bytes]]


class _Server:
    """The results server, whose absence is borne for a while."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def ask(self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = 30.0) -> tuple[int, bytes]:
        """Return status and body, whatever the status; waits for a server that is away.

        Raises:
            OSError: it stays away.
        """
        deadline = time.monotonic() + _AWAY_S
        while True:
            request = urllib.request.Request(self._url + path, data=body, method=method)  # noqa: S310
            if body is not None:
                request.add_header(CHECKSUM, hashlib.sha256(body).hexdigest())
            try:
                with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    raise OSError(f"the results server {self._url} does not answer: {error}") from error
                time.sleep(0.3)

    def clock_ns(self) -> int:
        """Return by how much this machine's clock is ahead of the server's, from the quickest of a few looks."""
        looks = []
        for _ in range(_CLOCK_LOOKS):
            began = time.time_ns()
            told = int(self.ask("GET", "/time")[1])
            ended = time.time_ns()
            looks.append((ended - began, (began + ended) // 2 - told))
        return min(looks)[1]


def play_order(
    order: Order,
    number: int,
    payloads: PayloadSet,
    folder: Path,
    clock_ns: int,
    facts: RunnerFacts,
    *,
    key: str = "",
) -> Played:
    """Play a runner's share of an order and return its report and files; a generator that fails is a report too."""
    before = throttled_periods()
    headers = {**order.headers, "authorization": f"Bearer {key}"} if key else order.headers
    endpoint = Endpoint(order.url, order.protocol, order.model, headers=headers)
    try:
        report, files = _TOOLS[order.tool](order, number, endpoint, payloads, folder, clock_ns, facts)
    except LoadtestError as error:
        return Report(facts=facts, error=str(error), log=error.hint, clock_ns=clock_ns), {}
    after = throttled_periods()
    throttled = None if before is None or after is None else after - before
    return report.model_copy(update={"throttled": throttled}), files


def _k6(
    order: Order, number: int, endpoint: Endpoint, payloads: PayloadSet, folder: Path, clock_ns: int, facts: RunnerFacts
) -> Played:
    shot = shot_of(order)
    with scratch(folder) as place:
        log = place / "k6.log"
        begin = order.start_unix_ns + clock_ns if order.start_unix_ns else 0
        write_shot(place, endpoint, shot, payloads, Runner(number, order.runners, begin))
        with start(
            command(find_k6(), kind=shot.kind, folder=place),
            log=log,
            environment=shot_environment(place),
            cores=None,
            without="K6_",
        ) as child:
            usage = wait_all([child], shot.longest_s + START_S)[0]
        if usage.code != 0:
            return Report(facts=facts, error=f"k6 ended with code {usage.code}", log=last_lines(log, 20)), {}
        _, result = read_outcome(place)
        report = Report(
            facts=facts,
            cpu_seconds=usage.cpu_seconds,
            wall_s=usage.wall_s,
            rss_bytes=usage.rss_bytes,
            clock_ns=clock_ns,
            version=result.version,
            stolen=usage.stolen,
        )
        return report, {name: (place / name).read_bytes() for name in ("samples.bin", "result.json")}


def _vegeta(
    order: Order,
    _number: int,
    endpoint: Endpoint,
    payloads: PayloadSet,
    folder: Path,
    clock_ns: int,
    facts: RunnerFacts,
) -> Played:
    outcome = attack(
        endpoint,
        rate=order.rate or 0.0,
        seconds=order.seconds or 0.0,
        payloads=payloads,
        workdir=folder,
        timeout_s=order.timeout_s,
    )
    used = outcome.generator
    report = Report(
        facts=facts,
        cpu_seconds=used.cpu_seconds,
        wall_s=used.wall_s,
        rss_bytes=used.rss_bytes,
        clock_ns=clock_ns,
        version=used.version,
        stolen=used.stolen,
        started=outcome.started,
    )
    with scratch(folder) as place:
        write_samples(place / "samples.bin", outcome.samples)
        return report, {"samples.bin": (place / "samples.bin").read_bytes()}


def _turns(
    order: Order,
    _number: int,
    endpoint: Endpoint,
    payloads: PayloadSet,
    _folder: Path,
    _clock_ns: int,
    facts: RunnerFacts,
) -> Played:
    began = time.monotonic()
    found = ask_by_turns(
        order.ways,
        endpoint,
        payloads,
        rate=order.rate or 0.0,
        seconds=order.seconds or 0.0,
        timeout_s=order.timeout_s,
    )
    report = Report(facts=facts, wall_s=time.monotonic() - began)
    return report, {"ways.json": Told(ways=found).model_dump_json().encode()}


_TOOLS = {"k6": _k6, "vegeta": _vegeta, "turns": _turns}


def _allowed(order: Order, bounds: Bounds) -> Order:
    """Return an order within the bounds; of several ways only those beyond are left out, each with its refusal.

    Raises:
        PlanError: the order as a whole goes beyond.
    """
    if order.tool == "turns":
        rate = (order.rate or 0.0) * len(order.ways)
        return order.model_copy(update={"ways": tuple(_allowed_way(way, rate, bounds) for way in order.ways)})
    if order.tool == "vegeta":
        bounds.check(order.url, rate=order.rate, players=1)
    else:
        bounds.check(order.url, schedule=shot_of(order).schedule, seconds=order.seconds, players=order.runners)
    return order


def _allowed_way(way: Way, rate: float, bounds: Bounds) -> Way:
    try:
        bounds.check(way.url, rate=rate, players=1)
    except PlanError as error:
        return way.model_copy(update={"refused": error.sentence})
    return way


def _payloads(server: _Server, order: Order, folder: Path) -> PayloadSet:
    """Return the payloads of an order; copies that are not what was planned are brought anew.

    Raises:
        LoadtestError: the results server does not have what was planned.
    """
    place = folder / "payloads" / order.payload.sha256
    found = payloads_of(order, place)
    if found.reread().sha256 == found.sha256:
        return found
    status, archive = server.ask("GET", f"/payloads/{found.sha256}", timeout_s=60.0)
    if status != 200:
        raise LoadtestError(f"the payloads {found.sha256[:12]} are not there")
    shutil.rmtree(place, ignore_errors=True)
    draft = place.with_suffix(".draft")
    draft.mkdir(parents=True, exist_ok=True)
    for name, content in unpack(archive).items():
        (draft / name).write_bytes(content)
    draft.replace(place)
    if (brought := found.reread().sha256) != found.sha256:
        raise LoadtestError(
            f"the payloads are {brought[:12]}, and {found.sha256[:12]} was planned", cure_of("payload-drift")
        )
    return found


def run(server: _Server, facts: RunnerFacts, folder: Path, bounds: Bounds, key_file: Path | None = None) -> int:
    """Play orders until none will come; one beyond the bounds is answered by its refusal."""
    number = facts.runner
    status, _ = server.ask("PUT", "/runners", facts.model_dump_json().encode())
    if status != 200:
        return 1
    done: list[str] = []
    while True:
        known = ",".join(done[-20:])
        query = f"runner={number}&wait={_POLL_S:g}&done={known}"
        status, body = server.ask("GET", f"/orders/next?{query}", timeout_s=_POLL_S + 10)
        if status == 410:
            return 0
        if status != 200:
            if status != 204:
                time.sleep(0.3)
            continue
        order = Order.model_validate_json(body)
        clock_ns = server.clock_ns() if order.runners > 1 else 0
        try:
            order = _allowed(order, bounds)
            payloads = _payloads(server, order, folder)
            key = "" if key_file is None else read_key(key_file)
            report, files = play_order(order, number, payloads, folder, clock_ns, facts, key=key)
            # A clock that was set meanwhile would go unseen by the one look that the start was derived from.
            clock_after_ns = server.clock_ns() if order.runners > 1 else 0
            sent = payloads.reread().sha256
            report = report.model_copy(update={"clock_after_ns": clock_after_ns, "payload_sha256": sent})
        except LoadtestError as error:
            report, files = Report(facts=facts, error=str(error), log=error.hint), {}
        done.append(order.id)
        archive = pack({"report.json": report.model_dump_json().encode(), **files})
        server.ask("PUT", f"/orders/{order.id}/results/{number}", archive, timeout_s=60.0)


def main(arguments: list[str] | None = None) -> int:
    """Run until the results server says that it is over."""
    parser = argparse.ArgumentParser(prog="loadtest.cluster_runner", description="One load generator of a fleet.")
    parser.add_argument("--results", required=True, help="URL of the results server.")
    parser.add_argument("--folder", type=Path, default=Path("/work"))
    parser.add_argument("--key-file", type=Path, help="File with the key that every request is sent with.")
    parser.add_argument("--index", type=int, default=int(os.environ.get("JOB_COMPLETION_INDEX", "0")))
    options = parser.parse_args(arguments)
    # As a KeyboardInterrupt the kubelet's SIGTERM unwinds through the block that ends a running generator.
    interrupt.as_exception()
    facts = RunnerFacts(
        runner=options.index,
        pod=os.environ.get("POD_NAME", ""),
        node=os.environ.get("NODE_NAME", ""),
        cores=tuple(sorted(os.sched_getaffinity(0))),
        cpus=cpu_quota(),
    )
    try:
        return run(_Server(options.results), facts, options.folder, Bounds.from_environment(), options.key_file)
    except KeyboardInterrupt:
        return 0
    except PlanError as error:
        print(json.dumps({"event": "ended", "error": error.sentence}), file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        print(json.dumps({"event": "ended", "error": str(error)}), file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
