"""The server's side of the decoder: hand an image over, wait for its pixels, and see to it that there is a decoder.

An image that ends its decoder, or has had it compute for too long, is refused; the others wait for the next one. A
thread waits for the end of each decoder and starts the next, not more often than a machine can bear. The first is
forked off a server that has only begun; later ones are started anew, because a process with an engine's threads must
not be forked.
"""

import contextlib
import gc
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import predictors
from predictors.errors import InputError, NotReadyError, WorkerError
from predictors.imaging import FORMATS, Preprocessing
from predictors.server.decoder.child import Cropping, live
from predictors.server.decoder.header import check_header
from predictors.server.decoder.region import Region
from predictors.server.decoder.wire import READY, REQUEST, Outcome, Reply
from predictors.server.memory import resident_bytes

__all__ = ["CPU_S", "ENDS", "LOST_S", "Decoder"]

_log = logging.getLogger(__name__)

CPU_S: Final = 2.0
# A decoder never waits; one that comes no further for so long has no processor, which is not its image's fault.
_WALL_S: Final = 10.0
_LOOK_MS: Final = 50
_START_S: Final = 20.0
# From one start of a decoder to the next; where none comes up, twice as long each time, for each takes processor time.
_PACE_S: Final = 0.25
_LONGEST_PACE_S: Final = 5.0
_LOGGED: Final = 10
# Where one thread decodes and computes, it waits for the next decoder with the image, and tensors wait behind it.
# So that is not for as long as a deadline may allow, and no longer than a server without a decoder is ready.
LOST_S: Final = 5.0
_PATIENCE_S: Final = LOST_S
_CLOSE_S: Final = 2.0
_LONGEST: Final = 64
# One decoder may end of itself just when it is asked; two in a row do not.
_ATTEMPTS: Final = 2
# Why a decoder ended: an image took it too long, an image broke it, or neither.
ENDS: Final = ("time", "image", "idle")
_START: Final = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from predictors.server.decoder.child import main; "
    "from {0.__module__} import {0.__name__} as kind; main(sys.argv[1:], kind)"
)


class _Child:
    """A decoder's process and this end of its channel, which is closed when nobody has it in hand any more.

    Attributes:
        is_busy: Whether an image was handed over and no answer has come back.
        is_over: Whether it has ended and its number may be another process's.
    """

    def __init__(self, pid: int, ours: socket.socket) -> None:
        self.pid = pid
        self.channel = ours.detach()
        self.is_filtered = self.is_busy = self.is_over = False

    def __del__(self) -> None:
        os.close(self.channel)

    def cpu_s(self) -> float | None:
        """Tell its processor time so far; None where the kernel does not."""
        try:
            # The clock of another process, as clock_getcpuclockid(3) names it.
            return time.clock_gettime(~self.pid << 3 | 2)
        except OSError:
            return None


class Decoder:
    """Decodes images for one preprocessing in a process of its own.

    What it does to an image is `kind`, which its process imports by name.

    Attributes:
        ends: how often one ended, by reason.
    """

    def __init__(self, preprocessing: Preprocessing, body_bytes: int, *, kind: type[Cropping] = Cropping) -> None:
        self.ends = dict.fromkeys(ENDS, 0)
        self._preprocessing = preprocessing
        self._kind = kind
        self._region = Region.make(preprocessing, body_bytes)
        self._turn = threading.Lock()
        self._reaping = threading.Lock()
        self._changed = threading.Condition()
        # The one that was made last, be it ready or not: `close` ends it either way.
        self._latest: _Child | None = None
        self._child: _Child | None = None
        self._fault = ""
        self._down_since: float | None = None
        self._gap_s = 0.0
        self._spent_s = 0.0
        self._is_closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_lost(self) -> bool:
        """Whether there has been none for longer than it takes to start one."""
        since = self._down_since
        return since is not None and time.monotonic() - since > LOST_S

    def fork(self) -> None:
        """Make the first decoder out of this process, which has one thread and no event loop yet.

        Raises:
            WorkerError: There is no room for it.
        """
        ours, theirs = _linked()
        parent = os.getpid()
        # What is alive is shared by both as long as no collection touches it.
        gc.freeze()
        try:
            pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            told = f"the decoder cannot be started: {error.strerror}"
            raise WorkerError(told, "give it room for one more process") from error
        if pid == 0:
            live(theirs.fileno(), self._region, self._kind.of(self._preprocessing), parent)
        theirs.close()
        self._latest = _Child(pid, ours)

    def open(self) -> None:
        """Begin to see to it that there is a decoder."""
        self._down_since = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="decoder", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until images can be decoded.

        Raises:
            WorkerError: They cannot.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._child is not None or self._is_closing, _START_S):
                raise WorkerError(f"images cannot be decoded: {self._fault}", "give it room for one more process")

    def decode(self, body: bytes, pixels: npt.NDArray[np.uint8]) -> int:
        """Decode an image into `pixels` [height, width, channels]; return the moment at which it was decoded, in ns.

        Raises:
            InputError: It is none that the preprocessing takes, or no decoder survives it.
            NotReadyError: There is no decoder now.
        """
        form = check_header(body)
        if len(body) > self._region.body_bytes:
            raise InputError("the image has too many bytes", "send a smaller image")
        with self._turn:
            self._region.put_body(body)
            try:
                reply = self._asked(len(body))
                if reply.outcome == Outcome.REFUSED:
                    raise InputError(self._region.text(reply.text_bytes), "send one whole image file as the body")
                if reply.form < len(FORMATS) and FORMATS[reply.form] != form:
                    raise InputError(f"the image says that it is {form}, and is none", "send a whole image file")
                pixels[...] = self._region.pixels
            finally:
                self._region.forget_body(len(body))
        return reply.decoded_ns

    def cpu_s(self) -> float:
        """Tell the processor time of all decoders so far, in seconds."""
        with self._changed:
            child = self._latest
            return self._spent_s + ((child.cpu_s() or 0.0) if child is not None else 0.0)

    def document(self) -> dict[str, Any]:
        """Give what `/debug/state` shows; `gap_s` is how long there was none before this one.

        `rss_bytes` counts pages that it shares with the server, as that's own does.
        """
        child = self._child
        return {
            "pid": child.pid if child is not None else None,
            "is_filtered": child is not None and child.is_filtered,
            "gap_s": round(self._gap_s, 3),
            "ends": self.ends,
            "cpu_s": round(self.cpu_s(), 3),
            "rss_bytes": 0 if child is None else resident_bytes(child.pid),
        }

    def close(self) -> None:
        """End the decoder; it has nothing to lose."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            latest = self._latest
        if latest is not None:
            self._kill(latest)
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        elif latest is not None:
            os.waitpid(latest.pid, 0)
        self._region.close()

    def _asked(self, size: int) -> Reply:
        """Have the decoder look at the region; only what it has begun with can have ended it.

        Raises:
            InputError: It has ended over this image, or takes too long.
            NotReadyError: There is none now.
        """
        for _ in range(_ATTEMPTS):
            child = self._present()
            child.is_busy = True
            overdue, reply = "", None
            with contextlib.suppress(OSError):
                spent_s, began = child.cpu_s(), time.monotonic()
                os.write(child.channel, REQUEST.pack(size))
                overdue = self._overdue(child, spent_s, began)
                reply = None if overdue else Reply.read(os.read(child.channel, _LONGEST))
            if reply is not None and reply.outcome in tuple(Outcome):
                child.is_busy = False
                return reply
            if self._is_closing:
                break
            reason = overdue or ("image" if self._region.is_begun else "idle")
            self.ends[reason] += 1
            self._forget(child)
            self._kill(child)
            if reason == "time":
                raise InputError("the image takes too long to decode", "send a smaller or simpler image")
            if reason == "image":
                raise InputError("the image cannot be decoded", "send one whole image file as the body")
            if overdue:
                break
        raise NotReadyError("images cannot be decoded now", "come again later")

    def _overdue(self, child: _Child, spent_s: float | None, began: float) -> str:
        """Wait for an answer, or the end; tell why there is none, if the image took too long or nobody saw to it."""
        poll = select.poll()
        poll.register(child.channel, select.POLLIN)
        while not poll.poll(_LOOK_MS):
            now_s, wall_s = child.cpu_s(), time.monotonic() - began
            used_s = wall_s if now_s is None or spent_s is None else now_s - spent_s
            if used_s > CPU_S:
                return "time"
            if wall_s > _WALL_S:
                return "idle"
        return ""

    def _present(self) -> _Child:
        with self._changed:
            since = self._down_since
            left_s = LOST_S if since is None else since + LOST_S - time.monotonic()
            # Never more than what is left; a test's control takes all of it away.
            patience_s = max(0.0, min(_PATIENCE_S, left_s))
            self._changed.wait_for(lambda: self._child is not None or self._is_closing, patience_s)
            if self._child is None or self._is_closing:
                raise NotReadyError("images cannot be decoded now", "come again later")
            return self._child

    def _forget(self, child: _Child) -> None:
        """Ask it nothing any more; the thread that waits for its end starts the next."""
        with self._changed:
            if self._child is child:
                self._child = None
                self._down_since = time.monotonic()

    def _kill(self, child: _Child) -> None:
        with self._reaping:
            if not child.is_over:
                os.kill(child.pid, signal.SIGKILL)

    def _keep(self) -> None:
        """In a thread: have a decoder, until closed."""
        failures = 0
        while not self._is_closing:
            began = time.monotonic()
            try:
                self._outlive(self._welcome(self._noted(self._latest or self._started())))
                failures = 0
            except (OSError, WorkerError) as error:
                self._fault = str(error)
                if not self._is_closing and failures % _LOGGED == 0:
                    _log.error("no decoder can be started", exc_info=error)
                failures += 1
            pace_s = min(_PACE_S * 2 ** min(max(0, failures - 1), _LOGGED), _LONGEST_PACE_S)
            with self._changed:
                self._latest = None
                left_s = began + pace_s - time.monotonic()
                self._changed.wait_for(lambda: self._is_closing, max(0.0, left_s))

    def _noted(self, child: _Child) -> _Child:
        """Let `close` know of a decoder, or end it where that has been and could not."""
        with self._changed:
            self._latest = child
            if self._is_closing:
                self._kill(child)
        return child

    def _started(self) -> _Child:
        """Start a decoder as a program of its own."""
        ours, theirs = _linked()
        params = json.dumps(dict(self._preprocessing.params), default=list)
        # None of the server's variables, which may hold secrets, but where libraries lie.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        places = [str(Path(predictors.__file__).parents[1]), *(str(Path(place).absolute()) for place in sys.path)]
        numbers = (theirs.fileno(), self._region.file)
        with theirs:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-IS", "-c", _START.format(self._kind), "\n".join(places)),
                    *(str(number) for number in (*numbers, self._region.body_bytes, os.getpid())),
                    *(self._preprocessing.name, params),
                ],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"OPENBLAS_NUM_THREADS": "1", **kept},
            )
        # Its end is waited for here, and by nobody else.
        process.returncode = 0
        return _Child(process.pid, ours)

    def _welcome(self, child: _Child) -> _Child:
        """Wait until a decoder has shut itself in.

        Raises:
            WorkerError: It does not come so far.
        """
        poll = select.poll()
        poll.register(child.channel, select.POLLIN)
        said = os.read(child.channel, _LONGEST) if poll.poll(_START_S * 1000) else b""
        if not said.startswith(READY):
            self._kill(child)
            self._outlive(child)
            raise WorkerError("the decoder ended before it could decode")
        child.is_filtered = said == READY + b"filtered"
        if not child.is_filtered:
            _log.warning("the decoder's system calls are not filtered on this machine")
        with self._changed:
            if self._down_since is not None:
                self._gap_s = time.monotonic() - self._down_since
            self._child = child
            self._down_since = None
            self._changed.notify_all()
        return child

    def _outlive(self, child: _Child) -> None:
        """Wait for the end of a decoder, and note it."""
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self._forget(child)
        with self._changed:
            with self._reaping:
                _, status, used = os.wait4(child.pid, 0)
                child.is_over = True
            # In one step: who asks meanwhile is told of this decoder's time once, as that of a child or as spent.
            self._spent_s += used.ru_utime + used.ru_stime
            self._latest = None
        if not self._is_closing:
            if not child.is_busy:
                self.ends["idle"] += 1
            code = os.waitstatus_to_exitcode(status)
            told = f"exit code {code}" if code >= 0 else f"signal {-code}"
            known = {"process": child.pid, "end": told, "had_an_image": child.is_busy}
            _log.warning("a decoder ended", extra={"fields": known})


def _linked() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
