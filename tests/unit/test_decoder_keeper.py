"""What the keeper of decoders tells and does when they end, or do not come up."""

import itertools
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest

from predictors.errors import NotReadyError
from predictors.server import cgroup
from predictors.server.decoder import keeper, room
from predictors.server.decoder.keeper import Decoder
from predictors.server.decoder.room import warn_of_little_room
from tests.eventually import eventually
from tests.unit.test_decoder import BODY_BYTES, FOOD, SEED, reading, seeds


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with closing(Decoder(FOOD, BODY_BYTES)) as found:
        found.open()
        found.wait()
        yield found


def is_replaced(decoder: Decoder, pid: int) -> bool:
    return decoder.document()["pid"] not in (None, pid)


def test_the_processor_time_of_decoders_never_falls(decoder: Decoder) -> None:
    reading(decoder, FOOD)(seeds(random.Random(SEED))[0])
    told, is_over = [decoder.cpu_s()], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            told.append(decoder.cpu_s())

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(3):
        pid = decoder.document()["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(partial(is_replaced, decoder, pid))
    is_over.set()
    looking.join()
    # What the kernel says of a process that is over has whole microseconds.
    assert all(later > earlier - 2e-6 for earlier, later in itertools.pairwise(told))


def test_what_a_decoder_holds_is_told(decoder: Decoder) -> None:
    assert decoder.document()["rss_bytes"] > 4 << 20


def test_an_image_waits_no_longer_for_a_decoder_than_the_server_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOST_S", 0.2)
    monkeypatch.setattr(keeper, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(Decoder, "_started", _refused)
    with closing(Decoder(FOOD, BODY_BYTES)) as lost:
        lost.open()
        began = time.monotonic()
        with pytest.raises(NotReadyError):
            reading(lost, FOOD)(seeds(random.Random(SEED))[0])
        assert lost.is_lost
        assert time.monotonic() - began < 30


def _refused(_decoder: Decoder) -> None:
    raise OSError("no room")


@pytest.mark.parametrize(
    ("limit", "workers", "warned"),
    [(None, 8, 0), (1 << 40, 8, 0), (700 << 20, 1, 0), (600 << 20, 1, 1), (1 << 30, 2, 1)],
)
def test_a_container_without_room_for_its_decoders_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: int | None, workers: int, warned: int
) -> None:
    monkeypatch.setattr(cgroup, "memory_limit", lambda: limit)
    monkeypatch.setattr(room, "resident_bytes", lambda: 100 << 20)
    with caplog.at_level(logging.WARNING):
        warn_of_little_room(workers)
    assert len(caplog.records) == warned


@pytest.mark.parametrize("longest_s", [0.004, 0.001])
def test_the_next_try_comes_later_each_time_and_few_of_many_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, longest_s: float
) -> None:
    tries: list[int] = []
    waits: list[float] = []

    def refused(self: Decoder) -> None:
        tries.append(len(waits))
        raise OSError("no room")

    monkeypatch.setattr(Decoder, "_started", refused)
    monkeypatch.setattr(keeper, "_PACE_S", 0.001)
    monkeypatch.setattr(keeper, "_LONGEST_PACE_S", longest_s)
    lost = Decoder(FOOD, BODY_BYTES)
    wait_for = lost._changed.wait_for

    def waited(holds: Callable[[], bool], left_s: float) -> bool:
        waits.append(left_s)
        return wait_for(holds, left_s)

    monkeypatch.setattr(lost._changed, "wait_for", waited)
    with caplog.at_level(logging.ERROR), closing(lost):
        lost.open()
        eventually(lambda: len(tries) > 2 * keeper._LOGGED)
    logged = [one for one in caplog.records if one.message == "no decoder can be started"]
    assert len(tries) // keeper._LOGGED <= len(logged) <= len(tries) // keeper._LOGGED + 1
    assert max(waits) <= longest_s
    # Without a longer pace, as in the control, no wait is longer than the first may be.
    assert (max(waits) > 0.001) is (longest_s > 0.001)
