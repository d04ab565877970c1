"""The log of faults: what it keeps, what is unfinished in it, and what a kill in the middle of a line leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.chaos.faultlog import Begin, End, FaultLog, Over, Skip, Undo, Whole, read_log
from podium.errors import ConfigError, MachineError
from tests.chaosworld import AT, header, spec


def begin(number: int) -> Begin:
    return Begin(
        n=number,
        kind="drain",
        fault={"kind": "drain", "for": "45s"},
        service="pie",
        pause_s=1.5,
        pick=0.25,
        where="node worker",
        undo=(Undo(do="uncordon", name="worker"),),
        since_s=10.0 * number,
        at=AT,
    )


def end(number: int) -> End:
    return End(n=number, outcome="", since_s=10.0 * number + 5, at=AT)


def test_what_was_written_is_read_and_can_be_made_again(tmp_path: Path) -> None:
    log = FaultLog(tmp_path / "faults.jsonl")
    events = (
        begin(1),
        end(1),
        Whole(n=1, missing="", since_s=20, at=AT),
        Skip(n=2, kind="memory", why="no pod", since_s=21, at=AT),
        begin(3),
    )
    log.write(header())
    for one in events:
        log.write(one)
    past = read_log(log.path)
    assert (past.header, past.events, past.is_over) == (header(), events, False)
    assert past.spec == spec()
    assert [one.n for one in past.unfinished()] == [3]
    assert [(one.number, one.fault.kind, one.pick, one.pause_s) for one in past.planned()] == [
        (1, "drain", 0.25, 1.5),
        (3, "drain", 0.25, 1.5),
    ]
    log.write(end(3))
    log.write(Over(at=AT))
    assert (read_log(log.path).unfinished(), read_log(log.path).is_over) == ((), True)


@pytest.mark.parametrize("kept", [1, 20, 200])
def test_a_line_that_a_kill_cut_counts_as_not_written_and_the_next_one_does(tmp_path: Path, kept: int) -> None:
    log = FaultLog(tmp_path / "faults.jsonl")
    log.write(header())
    log.write(begin(1))
    log.write(begin(2))
    whole = log.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    assert [one.n for one in read_log(log.path).unfinished()] == [1]
    log.write(end(1))
    assert read_log(log.path).unfinished() == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "cannot be read: no UTF-8"),
        (b"", "does not begin as a log"),
        (b'{"event": "end"}\n', "does not begin as a log"),
        (b'HEADER{"event": "begin", "n": 1}\n', ":2: "),
        (b'HEADER{"event": "explosion"}\n', ":2: "),
    ],
)
def test_what_is_no_log_is_refused_with_its_line(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "faults.jsonl"
    FaultLog(path).write(header())
    first = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content.replace(b"HEADER", first))
    with pytest.raises(ConfigError, match=said) as caught:
        read_log(path)
    assert caught.value.hint


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        FaultLog(tmp_path / "none" / "faults.jsonl").write(header())
