"""The metrics port of several workers: one page for all of them, asked of each when somebody wants it.

A sum that lacks a worker would be a wrong one, so there is none where a worker does not answer, and the probes say no.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import orjson

from predictors.errors import WorkerError
from predictors.server import cgroup
from predictors.server.connection import Exchange
from predictors.server.front import Answer, answer_of
from predictors.server.head import HttpError
from predictors.server.memory import resident_bytes
from predictors.server.replies import JSON, TEXT, error_body, request_id
from predictors.server.settings import Settings
from predictors.server.workers.crew import Crew, Question
from predictors.server.workers.totals import joint_metrics, joint_state

__all__ = ["SidePages"]


class _Reply(NamedTuple):
    status: int
    body: bytes
    kind: bytes = JSON


class SidePages:
    """Answers the requests of the metrics port.

    Attributes:
        ready_s: Seconds until all workers were ready, once they are.
    """

    def __init__(self, crew: Crew, settings: Settings) -> None:
        self.ready_s: float | None = None
        self._crew = crew
        self._settings = settings
        self._answering: set[asyncio.Task[None]] = set()
        get: dict[str, Callable[[], Awaitable[_Reply]]] = {
            "/metrics": self._metrics,
            "/debug/state": self._state,
            "/healthz/live": partial(self._probe, "live"),
            "/healthz/ready": partial(self._probe, "ready"),
        }
        self._routes: dict[str, dict[str, Answer]] = {
            path: dict.fromkeys(("GET", "HEAD"), partial(self._begin, page=page)) for path, page in get.items()
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            answer_of(self._routes, exchange.head.method, exchange.head.path)(exchange)
        except HttpError as error:
            exchange.reply(error.status, error_body(error.code, str(error), request_id()))

    def _begin(self, exchange: Exchange, *, page: Callable[[], Awaitable[_Reply]]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(exchange, page))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, exchange: Exchange, page: Callable[[], Awaitable[_Reply]]) -> None:
        try:
            reply = await page()
        except WorkerError as error:
            reply = _Reply(503, error_body("worker", str(error), request_id()))
        exchange.reply(reply.status, reply.body, reply.kind)

    async def _probe(self, what: str) -> _Reply:
        is_so = getattr(await self._crew.health(), f"is_{what}")
        return _Reply(200 if is_so else 503, orjson.dumps({what: is_so}))

    async def _metrics(self) -> _Reply:
        found = await self._crew.ask(Question.METRICS)
        metrics, gauges = joint_metrics(found, self._settings.objective)
        if self.ready_s is not None:
            gauges = replace(gauges, ready_s={**gauges.ready_s, "total": self.ready_s})
        return _Reply(200, metrics.exposition(gauges), TEXT)

    async def _state(self) -> _Reply:
        found = await self._crew.ask(Question.STATE)
        state = joint_state(found)
        throttled = cgroup.throttling()
        each = ("state", "in_flight", "batches", "requests", "gather", "cpu_s", "rss_bytes", "decoder")
        state |= {
            "cpu_limit": self._settings.cpus,
            "workers": self._settings.workers,
            "cgroup": throttled.document() if throttled else None,
            "cores": sorted(os.sched_getaffinity(0)),
            "cpu_s": round(state["cpu_s"] + time.process_time(), 3),
            "rss_bytes": state["rss_bytes"] + resident_bytes(),
            "pid": os.getpid(),
            "processes": [
                process | {key: one[key] for key in each}
                for process, one in zip(self._crew.processes(), found, strict=True)
            ],
        }
        if self.ready_s is not None:
            state["ready_parts"] |= {"total": self.ready_s}
        return _Reply(200, orjson.dumps(state), JSON)
