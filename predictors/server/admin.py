"""The metrics port: Prometheus' text, the state that a run's passport reads, and probes that know no model.

It is not for the public: a network policy limits it, and nothing on it changes anything.
"""

import asyncio
import functools
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson

from predictors.fingerprint import cpu_facts
from predictors.runtimes import Assigned
from predictors.server import cgroup
from predictors.server.connection import Exchange
from predictors.server.core import Predictor
from predictors.server.door import Door
from predictors.server.front import Answer, answer_of
from predictors.server.head import HttpError, WireLimits
from predictors.server.http import Port
from predictors.server.memory import memory_place, resident_bytes
from predictors.server.metrics import Gauges, Metrics
from predictors.server.replies import JSON, TEXT, error_body, request_id

__all__ = ["Admin", "fetch_exposition", "side_port"]

_CONNECTIONS = 64
# What only a scrape needs.
_LATER = "predictors.server.exposition"
_LATER_S = 1.0
# The kernel writes a page for each core, and each look at the state would read them all.
_cpu = functools.cache(cpu_facts)


class Admin:
    """Answers the requests of the metrics port."""

    def __init__(self, predictor: Predictor, metrics: Metrics, door: Door | None = None) -> None:
        self._predictor = predictor
        self._metrics = metrics
        self._door = door
        get: dict[str, Answer] = {
            "/metrics": self._tell_metrics,
            "/debug/state": self._tell_state,
            "/healthz/live": self._tell_liveness,
            "/healthz/ready": self._tell_readiness,
        }
        self._routes = {path: {"GET": answer, "HEAD": answer} for path, answer in get.items()}

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            answer_of(self._routes, exchange.head.method, exchange.head.path)(exchange)
        except HttpError as error:
            exchange.reply(error.status, error_body(error.code, str(error), request_id()))

    def gauges(self) -> Gauges:
        """Give what is true at this moment."""
        predictor = self._predictor
        variant = predictor.model.variant
        batcher = predictor.batcher
        return Gauges(
            in_flight=predictor.in_flight,
            queue_length=batcher.waiting if batcher else 0,
            batches=batcher.batches if batcher else {},
            info={
                "variant": variant.id,
                "address": predictor.model.address,
                "runtime": variant.runtime.name,
                "provider": variant.runtime.provider,
                "precision": variant.precision,
                "node_class": predictor.settings.node_class,
            },
            ready_s=predictor.ready_s,
            decoder_ends=dict(predictor.images.decoder.ends) if predictor.images else {},
        )

    def state(self) -> dict[str, Any]:
        """Give what `/debug/state` shows."""
        predictor = self._predictor
        settings, model, batcher = predictor.settings, predictor.model, predictor.batcher
        engine = predictor.engine
        decoder = predictor.images.decoder if predictor.images else None
        throttled = cgroup.throttling()
        place = memory_place()
        assigned = engine.runtime.nodes if engine is not None and isinstance(engine.runtime, Assigned) else {}
        return {
            "variant": model.variant.id,
            "address": model.address,
            "verification": model.verification,
            "image": settings.image or None,
            "preprocessing_hash": model.variant.preprocessing.hash if model.variant.preprocessing else None,
            "state": predictor.state.value,
            "threads": settings.threads,
            "cpu_limit": settings.cpus,
            "cpu_quota": cgroup.cpu_limit(),
            "cores": sorted(os.sched_getaffinity(0)),
            **_cpu(),
            "workers": settings.workers,
            "providers": list(engine.runtime.providers) if engine else [],
            "provider_nodes": dict(assigned),
            "max_batch": settings.max_batch,
            "max_delay_s": settings.max_delay_s,
            "warm": settings.warm,
            "gather": engine.gather if engine else None,
            "is_batched": model.is_batched,
            "queue": settings.queue,
            "in_flight": predictor.in_flight,
            "computing_s": round(batcher.computing_s(), 3) if batcher else 0.0,
            "batches": dict(sorted(batcher.batches.items())) if batcher else {},
            "keys": self._door.document() if self._door else None,
            "first_runs": batcher.first_runs.document() if batcher else {},
            "requests": self._metrics.requests(),
            "stages": self._metrics.stages(),
            "cgroup": throttled.document() if throttled else None,
            "cpu_s": round(time.process_time() + (decoder.cpu_s() if decoder else 0.0), 3),
            "decoder": decoder.document() if decoder else None,
            "memory": place.document() if place else None,
            "rss_bytes": resident_bytes(),
            "ready_parts": predictor.ready_s,
            "pid": os.getpid(),
        }

    def _tell_metrics(self, exchange: Exchange) -> None:
        body = self._metrics.exposition(self.gauges())
        if self._door is not None:
            # Here and not above, for the reason that `exposition` has.
            from predictors.server.tenantexposition import written

            body += written(self._predictor.model.variant.id, self._door)
        exchange.reply(200, body, TEXT)

    def _tell_state(self, exchange: Exchange) -> None:
        exchange.reply(200, orjson.dumps(self.state(), option=orjson.OPT_NON_STR_KEYS), JSON)

    def _tell_liveness(self, exchange: Exchange) -> None:
        is_live = self._predictor.is_live
        exchange.reply(200 if is_live else 503, b'{"live":true}' if is_live else b'{"live":false}')

    def _tell_readiness(self, exchange: Exchange) -> None:
        is_ready = self._predictor.is_ready
        exchange.reply(200 if is_ready else 503, b'{"ready":true}' if is_ready else b'{"ready":false}')


def side_port(handler: Callable[[Exchange], None]) -> Port:
    """Make the metrics port, which takes no bodies."""
    return Port(handler, limits=WireLimits(body_bytes=0), connections=_CONNECTIONS)


def fetch_exposition() -> None:
    """Import soon what a scrape needs, in a thread of its own, so that no request waits for all of it."""
    fetching = threading.Thread(target=importlib.import_module, args=(_LATER,), name=_LATER, daemon=True)
    asyncio.get_running_loop().call_later(_LATER_S, fetching.start)
