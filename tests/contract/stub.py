"""The server with an engine of a known speed, or without one of its guards: for load tests and negative controls.

`python -m tests.contract.stub FOLDER [--pace MS] [--late FILE] [--wild] [--without GUARD]... [flags of the server]`.
With `--pace` the engine computes the vector model by hand and every batch takes that long; a first value x of 100 or
more makes its batch take x milliseconds instead, or until the process gets SIGUSR1. With `--late FILE` the worker that
makes the file loads when it is gone again. With `--wild` images are decoded by `tests.contract.wild`, which does what
an image says. The guards are named in `GUARDS`; what is taken out is taken out of the real server, so that a control
differs from its test in nothing else.
"""

import argparse
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from predictors import imaging
from predictors.imaging import Preprocessing
from predictors.runtimes import Array
from predictors.server import core, document, images, loading, logs, origin, ports, process, receiver, tensors
from predictors.server.batcher import Batcher
from predictors.server.core import Predictor, State
from predictors.server.decoder import keeper
from predictors.server.decoder.header import format_of
from predictors.server.front import FrontEnd
from predictors.server.head import HeadReader, WireLimits
from predictors.server.http import Port
from predictors.server.images import InProcess
from predictors.server.job import Job
from predictors.server.keyfile import KeyFile
from predictors.server.loading import Engine
from predictors.server.metrics import Metrics
from predictors.server.rpc import connection
from predictors.server.rpc.listener import RpcPort
from predictors.server.settings import Settings, effective, flag_of
from predictors.server.workers import crew, parent, worker
from predictors.server.workers.crew import Crew
from tests.artifacts import WEIGHTS
from tests.contract.wild import Wild
from tests.eventually import eventually

__all__ = ["GUARDS", "main"]

_OWN_PACE_MS = 100.0
_NEVER = threading.Event()
_RELEASED = threading.Event()


class Paced:
    """The vector model, computed by hand at a known pace."""

    providers = ("CPUExecutionProvider",)

    def __init__(self, pace_ms: float) -> None:
        self._pace_ms = pace_ms

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        x = batch["x"]
        first = float(x.flat[0])
        if first >= _OWN_PACE_MS:
            _RELEASED.wait(first / 1000)
        else:
            _NEVER.wait(self._pace_ms / 1000)
        return {"logits": x @ WEIGHTS}

    def close(self) -> None:
        return


def _paced(pace_ms: float) -> None:
    def load(self: origin.ArtifactOrigin) -> Engine:
        return Engine(Paced(pace_ms), 1, pace_ms / 1000, {"load": 0.0})

    origin.ArtifactOrigin.load = load  # type: ignore[method-assign]


def _late(file: Path) -> None:
    load = origin.ArtifactOrigin.load

    def wait(self: origin.ArtifactOrigin) -> Engine:
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            return load(self)
        eventually(lambda: not file.exists(), deadline_s=200)
        return load(self)

    origin.ArtifactOrigin.load = wait  # type: ignore[method-assign]


def _wild() -> None:
    plain = keeper.Decoder
    core.Decoder = lambda *words: plain(*words, kind=Wild)  # type: ignore[assignment,attr-defined]
    images.Cropping = Wild  # type: ignore[attr-defined]


def _without_cancel() -> None:
    def ignore(self: Predictor, job: Job) -> None:
        return

    Predictor.cancel = Predictor.expire = ignore  # type: ignore[method-assign]
    Job.is_late = lambda self, now: False  # type: ignore[method-assign]


def _without_decoder() -> None:
    def decode_here(preprocessing: Preprocessing, body_bytes: int) -> InProcess:
        del body_bytes
        return InProcess(preprocessing)

    core.Decoder = decode_here  # type: ignore[assignment,attr-defined]


def _without_digests() -> None:
    loading.verify_files = lambda folder, variant: None  # type: ignore[attr-defined]


def _without_fields() -> None:
    def believe(self: Any, shape: Any, *, field: str) -> tuple[int, ...]:
        return tuple(shape)

    tensors.TensorReader.shape_of = believe  # type: ignore[method-assign]


def _without_header_check() -> None:
    imaging._check_header = lambda image: None
    keeper.check_header = lambda body: str(format_of(body))  # type: ignore[attr-defined]
    Image.MAX_IMAGE_PIXELS = None


def _without_limits() -> None:
    plain = WireLimits(head_bytes=1 << 30, target_bytes=1 << 30, headers=1 << 30, body_bytes=1 << 40)
    set_up = HeadReader.__init__

    def unlimited(self: HeadReader, limits: WireLimits) -> None:
        set_up(self, plain)

    HeadReader.__init__ = unlimited  # type: ignore[method-assign]
    ports.WireLimits = lambda **_: plain  # type: ignore[assignment,attr-defined]
    receiver._FREE_CHUNKS = 1 << 60


def _without_json_limits() -> None:
    document._check_size = lambda *_: None


def _without_sweep() -> None:
    Port._sweep = lambda self: None  # type: ignore[method-assign]


_KEPT: list[bytes] = []


def _without_memory() -> None:
    answered = Metrics.answered

    def leak(self: Metrics, *values: Any) -> None:
        _KEPT.append(os.urandom(1024))
        answered(self, *values)

    Metrics.answered = leak  # type: ignore[method-assign,assignment]


def _without_bounded_labels() -> None:
    answer = FrontEnd.__call__

    def count(self: FrontEnd, exchange: Any) -> None:
        self._responder._metrics.refused(exchange.head.path, 404)
        answer(self, exchange)

    FrontEnd.__call__ = count  # type: ignore[method-assign]


def _without_bound() -> None:
    submit = Batcher.submit

    def take(self: Batcher, job: Job) -> None:
        waiting, self.waiting = self.waiting, 0
        submit(self, job)
        self.waiting += waiting

    Batcher.submit = take  # type: ignore[method-assign]


def _without_pings() -> None:
    connection._MOST_STRIKES = 1 << 60  # type: ignore[misc]


def _without_handshake() -> None:
    RpcPort._sweep = lambda self: None  # type: ignore[method-assign]


def _without_replacements() -> None:
    def refuse(self: keeper.Decoder) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    keeper.Decoder._started = refuse  # type: ignore[method-assign,assignment]


def _without_patience() -> None:
    keeper._PATIENCE_S = 0.0  # type: ignore[misc]


def _without_rereading() -> None:
    KeyFile.follow = lambda self: None  # type: ignore[method-assign]


def _without_log_format() -> None:
    def plain(self: Any, record: logging.LogRecord) -> str:
        return f"{record.getMessage()} {getattr(record, 'fields', {}).get('id', '')}"

    logs._JsonLines.format = plain  # type: ignore[method-assign]


def _without_fairness() -> None:
    crew.by_room = lambda workers, door: list(range(len(workers)))  # type: ignore[attr-defined]


def _without_kinship() -> None:
    Crew.miss = lambda self, worker: None  # type: ignore[method-assign]


def _without_parent() -> None:
    parent._dying_with = lambda parent: lambda: None


def _without_consent() -> None:
    async def ignore(self: Any) -> None:
        return

    parent._Parent._follow = ignore  # type: ignore[method-assign]


def _without_company() -> None:
    alone = SimpleNamespace(READY=State.READY, LOADING=State.READY)
    worker.State = alone  # type: ignore[assignment,attr-defined]


GUARDS: Mapping[str, Callable[[], None]] = {
    "bound": _without_bound,
    "bounded-labels": _without_bounded_labels,
    "cancel": _without_cancel,
    "company": _without_company,
    "consent": _without_consent,
    "decoder": _without_decoder,
    "digests": _without_digests,
    "fairness": _without_fairness,
    "fields": _without_fields,
    "handshake": _without_handshake,
    "header-check": _without_header_check,
    "json-limits": _without_json_limits,
    "kinship": _without_kinship,
    "limits": _without_limits,
    "log-format": _without_log_format,
    "memory": _without_memory,
    "parent": _without_parent,
    "patience": _without_patience,
    "pings": _without_pings,
    "replacements": _without_replacements,
    "rereading": _without_rereading,
    "sweep": _without_sweep,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("variant")
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--late", type=Path)
    parser.add_argument("--wild", action="store_true")
    parser.add_argument("--without", action="append", choices=sorted(GUARDS), default=[])
    for name in Settings.model_fields:
        if name != "variant":
            parser.add_argument(f"--{flag_of(name)}", dest=name)
    flags = vars(parser.parse_args(arguments))
    if pace_ms := flags.pop("pace"):
        _paced(pace_ms)
    if file := flags.pop("late"):
        _late(file)
    if flags.pop("wild"):
        _wild()
    for name in flags.pop("without"):
        GUARDS[name]()
    signal.signal(signal.SIGUSR1, lambda *_: _RELEASED.set())
    logs.configure()
    return process.run(effective(flags, os.environ))


if __name__ == "__main__":
    sys.exit(main())
