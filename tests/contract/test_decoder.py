"""Images that break, take over or wear out the process that decodes them: one refusal, and nothing else happens.

The images are planted: the decoder of these servers does what an image says (`tests.contract.wild`), as one whose
memory was corrupted would. The controls are the same images where they are decoded in the server's own process.
"""

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from predictors.server.decoder.keeper import LOST_S
from tests.artifacts import jpeg
from tests.contract.conftest import Starter
from tests.contract.malformed.case import IMAGE_PATH
from tests.contract.procfs import Cost
from tests.contract.server import Answer, Server
from tests.contract.wild import told
from tests.eventually import eventually

MIB = 1 << 20
GOOD = jpeg(1)
BLACK = {"name": "x", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [0.0] * 784}
STUB = "tests.contract.stub"
# What the filter of system calls, or the machine, ends a decoder for.
DEADLY = ("connect", "crash", "end-parent", "fork", "map-code", "read-memory", "run")
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def wild(start: Starter, image_folder: Path) -> Server:
    return start(image_folder, "--wild", program=STUB)


def show(server: Server, image: bytes) -> Answer:
    return server.ask("POST", IMAGE_PATH, image, {"content-type": "image/jpeg"})


def decoder(server: Server) -> int:
    """Return the decoder's process, once there is one."""
    eventually(lambda: server.state()["decoder"]["pid"] is not None)
    pid: int = server.state()["decoder"]["pid"]
    return pid


def ends(server: Server, reason: str) -> int:
    count: int = server.state()["decoder"]["ends"][reason]
    return count


def is_counted(server: Server, reason: str, count: int) -> bool:
    return ends(server, reason) == count


def is_served(server: Server) -> bool:
    return show(server, GOOD).status == 200


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def works(server: Server, images: int = 20) -> bool:
    """Whether images are answered rightly, whoever decodes them, once somebody does."""
    eventually(partial(is_served, server))
    found = {(answer.status, answer.body) for answer in (show(server, GOOD) for _ in range(images))}
    return len(found) == 1 and next(iter(found))[0] == 200


@pytest.mark.row("S11", "a decoder killed over an image: one 4xx, the server lives, the next image is answered")
def test_a_decoder_killed_over_an_image_costs_this_image(wild: Server, record_property: Record) -> None:
    pid, before = decoder(wild), ends(wild, "image")
    spent = Cost(pid).cpu_s()
    with ThreadPoolExecutor(1) as pool:
        asked: Future[Answer] = pool.submit(show, wild, told(GOOD, "for-ever"))
        eventually(lambda: Cost(pid).cpu_s() > spent + 0.1)
        os.kill(pid, signal.SIGKILL)
        answer = asked.result()
    assert answer.status == 400, answer.body
    assert works(wild)
    assert decoder(wild) != pid
    assert ends(wild, "image") == before + 1
    record_property("S11", "killed over an image: 400, the next 20 answered by another process")


@pytest.mark.row(
    "S11", "a decoder that was taken over reaches nothing: no socket, file, process, code or memory of others"
)
def test_a_decoder_can_do_nothing_but_decode(wild: Server, record_property: Record) -> None:
    for deed in DEADLY:
        decoder(wild)
        count = ends(wild, "image") + 1
        assert show(wild, told(GOOD, deed)).status == 400, deed
        eventually(partial(is_counted, wild, "image", count))
        assert works(wild, 3), deed
    decoder(wild)
    assert show(wild, told(GOOD, "read-file")).status == 400
    status = Path(f"/proc/{decoder(wild)}/status").read_text()
    assert "\nSeccomp:\t2" in status
    assert "\nNoNewPrivs:\t1" in status
    assert "\nThreads:\t1" in status
    record_property("S11", f"{len(DEADLY)} ways out end it, a file stays shut; 400 each, the server lives")


def beside_endless(server: Server) -> tuple[Answer, Answer, Answer]:
    """Ask with an image that is decoded for ever, and while it is with another image and a tensor; give the answers."""
    there = Cost(decoder(server))
    spent = there.cpu_s()
    with ThreadPoolExecutor(3) as pool:
        endless = pool.submit(show, server, told(GOOD, "for-ever"))
        eventually(lambda: there.cpu_s() > spent + 0.1, pause_s=0.01)
        image = pool.submit(show, server, GOOD)
        tensor = pool.submit(server.post_json, "/v2/models/tinyimg/infer", {"inputs": [BLACK]})
        eventually(lambda: server.state()["in_flight"] == 3, pause_s=0.01)
        return endless.result(), image.result(), tensor.result()


@pytest.mark.row(
    "R13", "an image that is decoded for ever: refused after 2 s of processor time; who asks meanwhile is answered 200"
)
def test_an_endless_image_is_refused_in_time(wild: Server, record_property: Record) -> None:
    pid, before = decoder(wild), ends(wild, "time")
    spent = Cost(wild.process.pid).cpu_s()
    endless, image, tensor = beside_endless(wild)
    assert (endless.status, tensor.status) == (400, 200)
    eventually(lambda: ends(wild, "time") == before + 1 and is_gone(pid))
    assert works(wild)
    gap_s = wild.state()["decoder"]["gap_s"]
    # Only where a machine starts no decoder for so long that the server is not ready either: then who asks is to go on.
    assert image.status == 200 or (image.status == 503 and gap_s > LOST_S)
    used = Cost(wild.process.pid).cpu_s() - spent
    assert used < 1
    others = f"an image and a tensor beside it {image.status} and {tensor.status}, another decoder after {gap_s:.1f} s"
    record_property("R13", f"given up after 2 s of processor time; {used:.2f} s of the server's own; {others}")


@pytest.mark.control("R13")
def test_who_waits_for_no_decoder_refuses_the_image_beside_it(start: Starter, image_folder: Path) -> None:
    server = start(image_folder, "--wild", "--without", "patience", program=STUB)
    assert [answer.status for answer in beside_endless(server)] == [400, 503, 200]


@pytest.mark.row(
    "R13", "an image that takes all memory: refused at 512 MiB beyond what the decoder has, no server grows"
)
def test_an_image_that_wants_all_memory_is_refused(wild: Server, record_property: Record) -> None:
    pid = decoder(wild)
    cost, decoding = Cost(wild.process.pid), Cost(pid)
    before = cost.resident()
    cost.forget_peak()
    assert show(wild, told(GOOD, "hog")).status == 400
    grown, peak = cost.peak() - before, decoding.peak()
    assert grown < 8 * MIB
    assert peak < 640 * MIB
    assert works(wild)
    record_property("R13", f"refused at {peak >> 20} MiB of the decoder's, +{grown >> 10} KiB of the server's")


def test_an_answer_that_is_none_ends_the_decoder(wild: Server) -> None:
    decoder(wild)
    assert show(wild, told(GOOD, "lie")).status == 400
    assert works(wild)


@pytest.mark.control("S11")
@pytest.mark.control("R13")
def test_in_the_servers_process_the_same_image_takes_the_server(start: Starter, image_folder: Path) -> None:
    server = start(image_folder, "--wild", "--without", "decoder", program=STUB)
    assert works(server)
    with pytest.raises(ConnectionError):
        show(server, told(GOOD, "crash"))
    assert server.process.wait(20) == -signal.SIGSEGV


def test_a_decoder_that_ends_between_images_costs_none(wild: Server) -> None:
    before = ends(wild, "idle")
    pid = decoder(wild)
    os.kill(pid, signal.SIGKILL)
    assert works(wild)
    assert ends(wild, "idle") == before + 1
    metrics = wild.ask("GET", "/metrics", port=wild.metrics_port).body.decode()
    assert f'podium_decoder_ends_total{{reason="idle",variant="tinyimg-ort-fp32"}} {before + 1}.0' in metrics


def test_without_a_decoder_a_server_is_not_ready(start: Starter, image_folder: Path) -> None:
    server = start(image_folder, "--without", "replacements", program=STUB)
    assert server.ask("GET", "/healthz/ready", port=server.metrics_port).status == 200
    os.kill(decoder(server), signal.SIGKILL)
    eventually(lambda: server.ask("GET", "/healthz/ready", port=server.metrics_port).status == 503)
    assert server.ask("GET", "/healthz/live", port=server.metrics_port).status == 200
    assert show(server, GOOD).status == 503


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_decoder_does_not_outlive_its_server(start: Starter, image_folder: Path, number: signal.Signals) -> None:
    server = start(image_folder)
    pid = decoder(server)
    assert server.stop(number) == (0 if number is signal.SIGTERM else -number)
    eventually(lambda: is_gone(pid))


def test_every_worker_has_a_decoder_of_its_own(start: Starter, image_folder: Path) -> None:
    server = start(image_folder, "--workers", "2", cpus="2")
    workers = [one["pid"] for one in server.state()["processes"]]
    pids = [
        int(pid) for worker in workers for pid in Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    ]
    assert len(pids) == 2
    assert works(server)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert works(server)
    assert server.stop() == 0


def test_worker_and_decoder_fit_their_share_of_memory(start: Starter, image_folder: Path) -> None:
    server = start(image_folder)
    assert works(server)
    pids = (server.process.pid, decoder(server))
    assert sum(proportional(pid) for pid in pids) <= 130 * MIB


def proportional(pid: int) -> int:
    """Return the memory of a process, of what is shared its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(rollup.partition("\nPss:")[2].split()[0]) << 10
