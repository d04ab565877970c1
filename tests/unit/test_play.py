"""Playing a shot: what is handed to the generator, what is read back, and what is left behind when it fails.

The program in k6's place answers nothing and sends nothing; `tests/truth` plays with the real one.
"""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loadtest import interrupt
from loadtest.errors import GeneratorError, ScheduleError
from loadtest.k6 import find_k6
from loadtest.play import Endpoint, Shot, play
from loadtest.schedule import poisson, read_schedule
from tests.eventually import eventually
from tests.generators import PLAYS
from tests.loads import payloads, program

ENDPOINT = Endpoint("http://127.0.0.1:9", "v1-image", "pie", headers={"x-word": "pie"})


def open_shot() -> Shot:
    return Shot("open", users=5, timeout_s=2.0, schedule=poisson(40, 2, 3), seconds=2.0, tags={"variant": "a"})


def test_a_shot_is_handed_over_and_its_outcome_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP", str(tmp_path / "kept"))
    shot = open_shot()
    found = play(
        ENDPOINT,
        shot,
        payloads(tmp_path / "payloads"),
        workdir=tmp_path / "work",
        cores={0},
        k6=program(tmp_path, PLAYS),
    )
    assert shot.schedule is not None
    assert np.array_equal(found.samples.intended_ns, shot.schedule)
    assert (found.planned, found.dropped, found.stopped) == (len(shot.schedule), 1, None)
    assert (found.started, found.seconds, found.shot) == ("2026-01-02T03:04:05Z", 2.5, shot)
    assert found.generator.tool == "k6"
    assert found.generator.cores == (0,)
    assert found.generator.cpu_seconds > 0
    assert list((tmp_path / "work").iterdir()) == []
    handed = json.loads((tmp_path / "kept/0/shot.json").read_text())
    assert handed["url"] == "http://127.0.0.1:9/v1/models/pie:predict"
    assert handed["tags"] == {"variant": "a"}
    first = json.loads((tmp_path / "kept/0" / handed["payloads"]).read_text())[0]
    assert first["headers"] == {"x-word": "pie", "content-type": "image/jpeg"}
    assert np.array_equal(read_schedule(tmp_path / "kept/0/schedule.bin"), shot.schedule)
    assert "open-loop.js" in (tmp_path / "kept/0/argv").read_text()


def test_runners_share_the_arrivals_and_the_users_and_agree_on_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP", str(tmp_path / "kept"))
    shot = open_shot()
    k6 = program(tmp_path, PLAYS)
    found = play(ENDPOINT, shot, payloads(tmp_path / "p"), workdir=tmp_path / "work", k6=k6, runners=2)
    assert shot.schedule is not None
    assert np.array_equal(found.samples.n, np.arange(len(shot.schedule)))
    assert (found.dropped, found.generator.runners, found.generator.start_spread_ns) == (2, 2, 1)
    handed = [json.loads((tmp_path / f"kept/{index}/shot.json").read_text()) for index in range(2)]
    assert [part["users"] for part in handed] == [3, 2]
    assert handed[0]["start_unix_ns"] == handed[1]["start_unix_ns"] > 0


@pytest.mark.parametrize(
    ("service_ms", "stops", "runners", "stopped"),
    [("25", True, 2, "over-saturated"), ("5", True, 2, None), ("25", False, 2, None), ("25", True, 1, None)],
)
def test_several_runners_stop_none_alone_and_are_over_saturated_together(
    service_ms: str, stops: bool, runners: int, stopped: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is alone says itself whether it stopped; the program in its place never does."""
    monkeypatch.setenv("KEEP", str(tmp_path / "kept"))
    monkeypatch.setenv("SERVICE_MS", service_ms)
    schedule = poisson(60, 6, 3)
    shot = Shot("open", users=600, timeout_s=9.0, schedule=schedule, seconds=6.0, stop_when_oversaturated=stops)
    k6 = program(tmp_path, PLAYS)
    found = play(ENDPOINT, shot, payloads(tmp_path / "p"), workdir=tmp_path / "work", k6=k6, runners=runners)
    # Whatever was sent stays on record.
    assert (found.stopped, len(found.samples)) == (stopped, len(schedule))
    handed = [json.loads((tmp_path / f"kept/{index}/shot.json").read_text()) for index in range(runners)]
    assert [part["stop_when_oversaturated"] for part in handed] == [stops and runners == 1] * runners


def test_a_closed_loop_is_played_by_its_own_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP", str(tmp_path / "kept"))
    monkeypatch.setenv("STOPPED", "over-saturated")
    shot = Shot("closed", users=1, timeout_s=2.0, requests=5)
    k6 = program(tmp_path, PLAYS)
    found = play(ENDPOINT, shot, payloads(tmp_path / "p"), workdir=tmp_path / "work", k6=k6)
    assert (len(found.samples), found.stopped, found.generator.cores) == (5, "over-saturated", ())
    assert json.loads((tmp_path / "kept/0/shot.json").read_text())["start_unix_ns"] == 0
    assert "closed-loop.js" in (tmp_path / "kept/0/argv").read_text()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys\nprint('no such option')\nsys.exit(108)\n", "k6 ended with code 108"),
        ("print('fine')\n", "k6 left no result"),
    ],
)
def test_a_generator_that_fails_leaves_its_log_and_nothing_else(tmp_path: Path, code: str, sentence: str) -> None:
    work = tmp_path / "work"
    with pytest.raises(GeneratorError, match=sentence) as error:
        play(ENDPOINT, open_shot(), payloads(tmp_path / "p"), workdir=work, k6=program(tmp_path, code))
    logs = list(work.iterdir())
    assert [path.suffix for path in logs] == [".log"]
    assert str(logs[0]) in error.value.hint
    assert logs[0].read_text().strip() in error.value.hint
    assert "./scripts/build-k6" in error.value.hint


def test_a_generator_that_fails_without_a_word_leaves_no_empty_log(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(GeneratorError, match="k6 ended with code 3") as error:
        play(ENDPOINT, open_shot(), payloads(tmp_path / "p"), workdir=work, k6=program(tmp_path, "raise SystemExit(3)"))
    assert list(work.iterdir()) == []
    assert error.value.hint == "make k6 anew with ./scripts/build-k6: its extension must be of this version"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sent": 1}, "says that it sent 1 requests and lists"),
        ({"surprise": 1}, "cannot be read: unknown key 'surprise'"),
    ],
)
def test_a_result_that_contradicts_itself_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], sentence: str
) -> None:
    monkeypatch.setenv("RESULT", json.dumps(change))
    with pytest.raises(GeneratorError, match=sentence):
        play(ENDPOINT, open_shot(), payloads(tmp_path / "p"), workdir=tmp_path, k6=program(tmp_path, PLAYS))


@pytest.fixture
def as_in_the_program() -> Iterator[None]:
    """Have interruptions as the program has them: late by a moment while a process is being started."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupt.as_exception()
    yield
    for number, former in before.items():
        signal.signal(number, former)


@pytest.mark.usefixtures("as_in_the_program")
def test_an_interrupt_ends_the_generator_and_leaves_no_file(tmp_path: Path) -> None:
    work = tmp_path / "work"
    pid_file = tmp_path / "pid"
    code = f"import os, time\nopen({str(pid_file)!r}, 'w').write(f'{{os.getpid()}}\\n')\ntime.sleep(60)\n"
    k6 = program(tmp_path, code)

    def ask_to_end() -> None:
        eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=ask_to_end)
    found = payloads(tmp_path / "p")
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        play(ENDPOINT, open_shot(), found, workdir=work, k6=k6)
    thread.join()
    assert list(work.iterdir()) == []
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_a_disk_that_refuses_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file in the folder's place")
    k6 = program(tmp_path, PLAYS)
    with pytest.raises(GeneratorError, match=r"cannot be used: .*work: File exists") as error:
        play(ENDPOINT, open_shot(), payloads(tmp_path / "p"), workdir=tmp_path / "work", k6=k6)
    assert "make room" in error.value.hint


def test_more_runners_than_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match="5 users cannot be divided among 6"):
        play(ENDPOINT, open_shot(), payloads(tmp_path / "p"), workdir=tmp_path, runners=6)


def test_k6_is_found_where_the_environment_says_or_missed_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_K6", str(tmp_path / "k6"))
    with pytest.raises(GeneratorError, match="there is no k6") as error:
        find_k6()
    assert "./scripts/build-k6" in error.value.hint
    k6 = program(tmp_path, "", "k6")
    assert find_k6() == k6
    monkeypatch.delenv("PODIUM_K6")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GeneratorError, match=r"\.podium/bin/k6"):
        find_k6()
