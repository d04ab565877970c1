"""vegeta's raw points as samples; the program in its place writes points that are known."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from loadtest.errors import GeneratorError, ScheduleError
from loadtest.payloads import PayloadSet
from loadtest.samples import NOT_SENT
from loadtest.schedule import constant, poisson
from loadtest.shot import Endpoint, Shot
from loadtest.vegeta import attack, find_vegeta, play
from loadtest.waits import waits_of
from tests.loads import MS, payloads, program

ENDPOINT = Endpoint("http://127.0.0.1:9", "v1-image", "pie", headers={"x-word": "pie"})

# 20 requests at 10/s: the third left 30 ms late, the fifth was refused, the seventh had no answer for a reason.
ATTACKS = """
import os, pathlib, shutil, sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[2:] if "=" in word)
if sys.argv[1] == "--version":
    print(os.environ.get("VERSION_TEXT", "Version: v12.13.0\\nCommit: "))
elif sys.argv[1] == "attack":
    shutil.copy(words["targets"], os.environ["KEEP"])
    pathlib.Path(os.environ["KEEP"] + ".argv").write_text(" ".join(sys.argv))
    pathlib.Path(words["output"]).write_text("points")
else:
    rows = []
    for n in range(int(os.environ.get("POINTS", "20"))):
        at = 1_700_000_000_000_000_000 + n * 100_000_000 + (30_000_000 if n == 2 else 0)
        code = {4: 503, 6: 0}.get(n, 200)
        why = os.environ.get("WHY", "") if n == 6 else ""
        rows.append(f"{at},{code},{5_000_000 + n},10,20,{why},,,{n},POST,http://x,")
    rows += [os.environ["LAST"]] if "LAST" in os.environ else []
    pathlib.Path(sys.argv[5]).write_text("".join(row + "\\n" for row in reversed(rows)))
"""


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PODIUM_VEGETA", str(program(tmp_path, ATTACKS)))
    monkeypatch.setenv("KEEP", str(tmp_path / "kept"))
    return tmp_path / "kept"


def test_points_become_samples_with_the_intended_start_put_back(tmp_path: Path, kept: Path) -> None:
    found = attack(ENDPOINT, rate=10, seconds=2, payloads=payloads(tmp_path / "p"), workdir=tmp_path / "w", cores={0})
    samples = found.samples
    assert np.array_equal(samples.intended_ns, np.arange(20) * 100 * MS)
    assert samples.lateness_ns.tolist() == [30 * MS if n == 2 else 0 for n in range(20)]
    assert np.array_equal(samples.latency_actual_ns, 5 * MS + np.arange(20))
    assert [int(samples.status[n]) for n in (0, 4, 6)] == [200, 503, 0]
    assert int(samples.good.sum()) == 18
    assert (found.planned, found.stopped, found.shot.seconds) == (20, None, 2)
    assert (found.generator.tool, found.generator.version, found.generator.cores) == (
        "vegeta",
        "v12.13.0",
        (0,),
    )
    assert found.started.startswith("2023-11-14T22:13:20")
    assert list((tmp_path / "w").iterdir()) == []


def test_targets_carry_the_payloads_in_the_order_of_the_schedule(tmp_path: Path, kept: Path) -> None:
    found = payloads(tmp_path / "p")
    attack(ENDPOINT, rate=12.5, seconds=1.6, payloads=found, workdir=tmp_path / "w", timeout_s=0.5)
    targets = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [target["body"] for target in targets] == [bodies(found.files)[index] for index in found.order(20)]
    assert targets[0]["header"] == {"x-word": ["pie"], "content-type": ["image/jpeg"]}
    options = Path(f"{kept}.argv").read_text()
    assert "-rate=1/80000000ns" in options
    assert "-duration=1600000000ns" in options
    assert "-timeout=500ms" in options
    assert "max-workers" not in options


def bodies(files: tuple[Path, ...]) -> list[str]:
    return [base64.b64encode(path.read_bytes()).decode() for path in files]


def test_an_attack_that_fails_or_records_nothing_is_an_error(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = payloads(tmp_path / "p")
    monkeypatch.setenv("POINTS", "0")
    with pytest.raises(GeneratorError, match="recorded no request") as nothing:
        attack(ENDPOINT, rate=10, seconds=1, payloads=found, workdir=tmp_path / "w")
    assert "still answers" in nothing.value.hint
    monkeypatch.setenv("LAST", "1,2,3")
    with pytest.raises(GeneratorError, match="points cannot be read") as unreadable:
        attack(ENDPOINT, rate=10, seconds=1, payloads=found, workdir=tmp_path / "w")
    assert "./scripts/build-k6" in unreadable.value.hint
    failing = program(tmp_path, "import sys\nsys.exit('bad target')\n", "failing")
    with pytest.raises(GeneratorError, match="vegeta attack ended with code 1") as error:
        attack(ENDPOINT, rate=10, seconds=1, payloads=found, workdir=tmp_path / "w", vegeta=failing)
    assert "bad target" in error.value.hint
    assert list((tmp_path / "w").iterdir()) == []


def test_a_version_that_does_not_say_is_unknown(tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSION_TEXT", "Version:")
    found = attack(ENDPOINT, rate=10, seconds=2, payloads=payloads(tmp_path / "p"), workdir=tmp_path / "w")
    assert found.generator.version == "unknown"


def test_vegeta_that_is_missing_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_VEGETA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GeneratorError, match="there is no vegeta") as error:
        find_vegeta()
    assert "./scripts/build-k6" in error.value.hint


def test_what_is_still_owed_when_the_time_is_over_is_listed_as_never_sent(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = payloads(tmp_path / "p")
    monkeypatch.setenv("POINTS", "17")
    found = attack(ENDPOINT, rate=10, seconds=2, payloads=sent, workdir=tmp_path / "w")
    assert found.samples.n.tolist() == list(range(20))
    assert (found.samples.status == NOT_SENT).tolist() == [n >= 17 for n in range(20)]
    assert (found.planned, found.generator.http_requests) == (20, 17)
    assert bool(found.samples.misses(found.timeout_ns)[17:].all())
    monkeypatch.setenv("POINTS", "21")
    with pytest.raises(GeneratorError, match="vegeta sent 21 requests, and 20 were planned"):
        attack(ENDPOINT, rate=10, seconds=2, payloads=sent, workdir=tmp_path / "w")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "timed-out"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "refused"),
        ("read tcp 127.0.0.1:4->127.0.0.1:5: read: connection reset by peer", "reset"),
        ("EOF", "reset"),
        ("no such host", "unknown"),
    ],
)
def test_why_there_was_no_answer_is_told_as_k6_tells_it(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    monkeypatch.setenv("WHY", words)
    found = attack(ENDPOINT, rate=10, seconds=2, payloads=payloads(tmp_path / "p"), workdir=tmp_path / "w")
    assert found.samples.unanswered == {why: 1}


def test_arrivals_are_on_whole_nanoseconds_and_no_late_send_is_excused_by_users(tmp_path: Path, kept: Path) -> None:
    sent = payloads(tmp_path / "p")
    shot = Shot("open", users=1, timeout_s=2.0, schedule=constant(9.7, 2.0), seconds=2.0, seed=3)
    found = play(ENDPOINT, shot, sent, workdir=tmp_path / "w")
    assert set(np.diff(found.samples.intended_ns).tolist()) == {103_092_784}
    assert found.shot.schedule is not None
    assert np.array_equal(found.samples.intended_ns, found.shot.schedule)
    assert (found.shot.seed, found.generator.reads_answers) == (3, False)
    waits = waits_of(found)
    assert waits.held == 0
    assert np.array_equal(waits.own_ns, found.samples.lateness_ns)


def test_a_closed_loop_is_played_for_some_time_and_nothing_is_missing_from_it(tmp_path: Path, kept: Path) -> None:
    sent = payloads(tmp_path / "p")
    found = play(ENDPOINT, Shot("closed", users=2, timeout_s=2.0, seconds=1.5), sent, workdir=tmp_path / "w")
    options = Path(f"{kept}.argv").read_text()
    assert "-rate=0 -workers=2 -max-workers=2 -duration=1500000000ns" in options
    assert (found.planned, len(found.samples), found.stopped) == (0, 20, None)
    assert np.array_equal(found.samples.intended_ns, found.samples.start_ns)


@pytest.mark.parametrize(
    "shot",
    [
        Shot("open", users=1, timeout_s=2.0, schedule=poisson(10.0, 2.0, 1), seconds=2.0),
        Shot("closed", users=1, timeout_s=2.0, requests=20),
    ],
    ids=["poisson", "requests"],
)
def test_what_it_cannot_play_is_refused_before_anything_is_sent(tmp_path: Path, kept: Path, shot: Shot) -> None:
    with pytest.raises(ScheduleError, match="vegeta") as refused:
        play(ENDPOINT, shot, payloads(tmp_path / "p"), workdir=tmp_path / "w")
    assert "k6" in refused.value.hint
    assert not kept.exists()


def test_large_payloads_begin_anew_before_they_fill_the_memory(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: PayloadSet = payloads(tmp_path / "p")
    monkeypatch.setattr("loadtest.vegeta._MAX_TARGETS_BYTES", 1000)
    attack(ENDPOINT, rate=10, seconds=2, payloads=sent, workdir=tmp_path / "w")
    targets = [json.loads(line)["body"] for line in kept.read_text().splitlines()]
    assert 3 <= len(targets) < 10
    assert targets == [bodies(sent.files)[index] for index in sent.order(20)[: len(targets)]]
