"""The decoder's process gives what decoding in place gives, to the bit, and refuses what that refuses."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from predictors.errors import DeadlineError, InputError, NotReadyError, WorkerError
from predictors.imaging import MAX_SIDE, Preprocessing, preprocessing
from predictors.server.decoder import child, keeper
from predictors.server.decoder.child import Cropping
from predictors.server.decoder.keeper import Decoder
from predictors.server.decoder.region import Region
from predictors.server.decoder.wire import REQUEST, Reply
from predictors.server.images import ImageReader
from predictors.server.job import Job
from predictors.server.timing import DECODE, PREPROCESS, Stopwatch
from tests.contract import wild
from tests.eventually import eventually

FOOD = preprocessing("imagenet-center-crop", {"resize": 256})
DIGITS = preprocessing("mnist-28")
BODY_BYTES = 10 << 20
CORPUS = 1060
SEED = 20261122
Record = Callable[[str, object], None]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode != "I;16":
        return image.convert(mode)
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def seeds(draw: random.Random) -> list[bytes]:
    """Good images of all formats, in many modes, sizes and orientations, some of them animated."""
    found = []
    for kind, modes in (("JPEG", "RGB L CMYK"), ("PNG", "RGB RGBA L LA P 1 I;16"), ("WEBP", "RGB RGBA")):
        for mode in modes.split():
            for orientation in (1, 6, 8):
                width, height = draw.randint(1, 300), draw.randint(1, 300)
                noise = np.frombuffer(draw.randbytes(width * height * 3), np.uint8).reshape(height, width, 3)
                image = Image.fromarray(noise).resize((width * 2, height * 2))
                exif = Image.Exif()
                exif[0x0112] = orientation
                found.append(encoded(in_mode(image, mode), kind, exif=exif))
    still, moved = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")
    found += [encoded(still, kind, save_all=True, append_images=[moved]) for kind in ("PNG", "WEBP", "MPO", "GIF")]
    return found


def mutants(count: int, seed: int) -> Iterator[bytes]:
    """Images of the seeds: a tenth as they are, the others cut, with bytes changed, or a piece of another in them."""
    draw = random.Random(seed)
    good = seeds(draw)
    for number in range(count):
        body = bytearray(good[number % len(good)])
        kind = number % 10
        if kind in (1, 2):
            del body[draw.randrange(len(body)) :]
        elif 3 <= kind <= 8:
            # Most of what decides is said in the first bytes.
            reach = len(body) if kind > 5 else min(len(body), 200)
            for _ in range(draw.choice((1, 1, 2, 8, 64))):
                body[draw.randrange(reach)] = draw.randrange(256)
        elif kind == 9:
            other, at = draw.choice(good), draw.randrange(len(body))
            start = draw.randrange(len(other))
            body[at : at + 50] = other[start : start + 50]
        yield bytes(body)


def outcome(read: Callable[[bytes], Any], body: bytes) -> tuple[str, bytes]:
    with warnings.catch_warnings():
        # Pillow warns of odd metadata; a server logs that and goes on.
        warnings.simplefilter("ignore")
        try:
            return "", read(body).tobytes()
        except InputError as error:
            return str(error), b""


def opened(whole: Preprocessing, kind: type[Cropping] = Cropping) -> Decoder:
    decoder = Decoder(whole, BODY_BYTES, kind=kind)
    decoder.open()
    decoder.wait()
    return decoder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with closing(opened(FOOD)) as made:
        yield made


def waiting(**options: Any) -> Job:
    return Job(1, lambda _: None, Stopwatch(time.monotonic_ns()), **options)


def reading(decoder: Decoder, whole: Preprocessing) -> Callable[[bytes], Any]:
    reader = ImageReader(whole, "x", decoder)
    return lambda body: reader.read([body], waiting())["x"][0]


@pytest.mark.row(
    "S11", "1,060 images, most of them damaged: pixels or a refusal as without the process, no decoder ends"
)
@pytest.mark.parametrize("whole", [FOOD, DIGITS], ids=["food", "digits"])
def test_every_image_gives_what_it_gives_in_place(whole: Preprocessing, record_property: Record) -> None:
    decoded = 0
    with closing(opened(whole)) as decoder:
        there = reading(decoder, whole)
        for body in mutants(CORPUS, SEED):
            told, tensor = outcome(there, body)
            expected, same = outcome(whole.decode, body)
            assert tensor == same
            # A size that cannot be is refused for that, before anybody finds what else is wrong.
            assert told == expected or (expected and "larger" in told)
            decoded += not told
        assert decoder.ends == dict.fromkeys(keeper.ENDS, 0)
    assert CORPUS // 10 < decoded < CORPUS * 9 // 10
    record_property("S11", f"{CORPUS} images: {decoded} decoded, to the bit; {CORPUS - decoded} refused here as there")


def test_several_images_are_one_tensor_and_their_time_is_told_apart(decoder: Decoder) -> None:
    bodies = seeds(random.Random(SEED))[:3]
    job = waiting()
    watch = job.watch
    tensor = ImageReader(FOOD, "x", decoder).read(bodies, job)["x"]
    assert np.array_equal(tensor, np.stack([FOOD.decode(body) for body in bodies]))
    assert tensor.dtype == np.float32
    assert watch.spent_ns[DECODE] > 0
    assert watch.spent_ns[PREPROCESS] > 0
    assert sum(watch.spent_ns) == watch.total_ns


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [("JPEG", "CMYK", {}), ("PNG", "RGBA", {"compress_level": 1}), ("WEBP", "RGBA", {"method": 0, "quality": 1})],
)
def test_the_largest_images_fit_the_decoders_memory(
    decoder: Decoder, kind: str, mode: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new(mode, (MAX_SIDE, 20_000_000 // MAX_SIDE), 7)
    body = encoded(image, kind, exif=exif, **options)
    there = reading(decoder, FOOD)
    assert np.array_equal(there(body), FOOD.decode(body))


def test_an_image_beyond_the_bound_of_bytes_is_not_handed_over(decoder: Decoder) -> None:
    body = seeds(random.Random(SEED))[0]
    with pytest.raises(InputError, match="too many bytes"):
        reading(decoder, FOOD)(body + bytes(BODY_BYTES))


def test_the_image_of_a_decoder_without_a_processor_may_come_again(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = seeds(random.Random(SEED))[0]
    there = reading(decoder, FOOD)
    monkeypatch.setattr(keeper, "_WALL_S", 0.2)
    pid, before = decoder.document()["pid"], dict(decoder.ends)
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(NotReadyError, match="cannot be decoded now"):
        there(body)
    monkeypatch.undo()
    assert decoder.ends == before | {"idle": before["idle"] + 1}
    assert np.array_equal(there(body), FOOD.decode(body))
    assert decoder.document()["pid"] != pid
    assert 0 < decoder.document()["gap_s"] < time.monotonic() - began


def test_an_image_that_takes_the_processor_is_refused_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "CPU_S", 0.1)
    body = seeds(random.Random(SEED))[0]
    with closing(opened(FOOD, wild.Wild)) as decoder:
        with pytest.raises(InputError, match="too long"):
            reading(decoder, FOOD)(wild.told(body, "for-ever"))
        assert decoder.ends == {"time": 1, "image": 0, "idle": 0}


class Counted:
    """A decoder that says how much it has spent, `each_s` for an image."""

    is_lost = False

    def __init__(self, each_s: float, then: Callable[[], None] = lambda: None) -> None:
        self.ends: dict[str, int] = {}
        self.decoded = 0
        self._each_s = each_s
        self._then = then

    def fork(self) -> None: ...

    def open(self) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...

    def decode(self, body: bytes, pixels: npt.NDArray[np.uint8]) -> int:
        self.decoded += 1
        pixels[...] = len(body)
        self._then()
        return time.monotonic_ns()

    def cpu_s(self) -> float:
        return 7.0 + self.decoded * self._each_s

    def document(self) -> dict[str, Any]:
        return {}


def test_the_images_of_one_request_have_a_bound_together() -> None:
    slow, usual = Counted(1.9), Counted(0.4)
    with pytest.raises(InputError, match="the images take too long to decode"):
        ImageReader(DIGITS, "x", slow).read([b"x"] * 8, waiting())
    assert slow.decoded == 3
    assert len(ImageReader(DIGITS, "x", usual).read([b"x"] * 8, waiting())["x"]) == 8


@pytest.mark.parametrize("why", ["canceled", "late"])
def test_nothing_more_is_decoded_once_nobody_waits(why: str) -> None:
    job = waiting()

    def end() -> None:
        job.is_canceled, job.deadline_ns = (True, 0) if why == "canceled" else (False, 1)

    leaving, staying = Counted(0.1, end), Counted(0.1)
    with pytest.raises(DeadlineError):
        ImageReader(DIGITS, "x", leaving).read([b"x"] * 8, job)
    assert leaving.decoded == 1
    ImageReader(DIGITS, "x", staying).read([b"x"] * 8, waiting())
    assert staying.decoded == 8


@pytest.mark.parametrize("is_killed", [True, False], ids=["", "control"])
def test_closing_ends_the_decoder_that_is_being_started(monkeypatch: pytest.MonkeyPatch, is_killed: bool) -> None:
    monkeypatch.setattr(keeper, "_START", "import time; time.sleep(600)")
    monkeypatch.setattr(keeper, "_CLOSE_S", 20.0 if is_killed else 0.1)
    decoder = Decoder(DIGITS, BODY_BYTES)
    decoder.open()
    eventually(lambda: decoder._latest is not None)
    starting, thread = decoder._latest, decoder._thread
    assert starting is not None
    assert thread is not None
    kill = decoder._kill
    if not is_killed:
        monkeypatch.setattr(decoder, "_kill", lambda child: None)
    decoder.close()
    assert thread.is_alive() is not is_killed
    assert starting.is_over is is_killed
    kill(starting)
    thread.join(20)
    assert starting.is_over


@pytest.mark.parametrize("number", [signal.SIGKILL, 40])
def test_a_decoder_that_any_signal_ends_is_replaced(decoder: Decoder, number: int) -> None:
    body = seeds(random.Random(SEED))[0]
    there = reading(decoder, FOOD)
    there(body)
    pid = decoder.document()["pid"]
    os.kill(pid, number)
    eventually(lambda: decoder.document()["pid"] not in (None, pid))
    assert np.array_equal(there(body), FOOD.decode(body))


SHUT_IN = """
import os, sys
from pathlib import Path
from predictors.server.decoder import sandbox
def refused(path, text, **options):
    raise PermissionError(path)
Path.write_text = refused
import mmap
held = mmap.mmap(-1, 1 << 30)
sandbox.shut_in(int(sys.argv[1]))
try:
    bytearray(64 << 20)
except MemoryError:
    os._exit(3)
os._exit(0)
"""


@pytest.mark.parametrize(("mebibytes", "code"), [(512, 0), (16, 3)], ids=["", "control"])
def test_memory_is_bounded_rightly_where_the_kernel_takes_no_word_on_its_end(mebibytes: int, code: int) -> None:
    # Coverage writes at the end of a process it traces, which is forbidden here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ended = subprocess.run([sys.executable, "-c", SHUT_IN, str(mebibytes)], env=environment, check=False)
    assert ended.returncode == code


def test_what_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    monkeypatch.setattr(keeper, "_START_S", 3.0)
    monkeypatch.setattr(keeper, "LOST_S", 0.0)
    with closing(Decoder(DIGITS, BODY_BYTES)) as lost:
        lost.open()
        eventually(lambda: lost.is_lost)
        with pytest.raises(WorkerError, match="images cannot be decoded"):
            lost.wait()
        with pytest.raises(NotReadyError):
            reading(lost, DIGITS)(seeds(random.Random(SEED))[0])


def test_a_decoder_is_no_busier_than_its_images(decoder: Decoder) -> None:
    before = decoder.cpu_s()
    reading(decoder, FOOD)(seeds(random.Random(SEED))[0])
    assert 0 < decoder.cpu_s() - before < 1


def test_the_region_keeps_sentences_plain_and_gives_large_bodies_back() -> None:
    region = Region.make(DIGITS, BODY_BYTES)
    try:
        size = region.put_text("an ä and a\nline")
        assert region.text(size) == "an ? and a line"
        assert len(region.text(1 << 30)) == 512
        region.put_body(b"\1" * (2 << 20))
        assert not region.is_begun
        region.forget_body(2 << 20)
        assert region.body(100) == bytes(100)
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(region.file, 0)
    finally:
        region.close()


def test_one_image_after_the_other_is_served_until_the_channel_closes() -> None:
    region = Region.make(DIGITS, BODY_BYTES)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    working = threading.Thread(target=child.serve, args=(theirs.fileno(), region, Cropping.of(DIGITS)))
    working.start()
    good = seeds(random.Random(SEED))[0]
    found = []
    for body in (good, good[:100]):
        region.put_body(body)
        ours.send(REQUEST.pack(len(body)))
        reply = Reply.read(ours.recv(64))
        assert reply is not None
        found.append(reply)
    ours.close()
    working.join(10)
    assert not working.is_alive()
    assert [reply.outcome for reply in found] == [0, 1]
    assert "readable" in region.text(found[1].text_bytes)
    theirs.close()
    region.close()
