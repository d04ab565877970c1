"""The runs of an entry on disk: their order, their numbers, and which of them counts."""

from pathlib import Path

import pytest

from loadtest.errors import RecordError
from podium.measure import Course, Measurement
from podium.runbook import RunBook, StoredRun
from tests.simulated import HOLD, OFFLINE, SEARCH, SINGLE, SimulatedTarget, candidate, measurement, profile


@pytest.fixture
def shared(tmp_path: Path) -> Measurement:
    return measurement(SimulatedTarget({"a": 5}), tmp_path, profile(SINGLE, OFFLINE, HOLD, SEARCH))


@pytest.fixture
def course(shared: Measurement, tmp_path: Path) -> Course:
    return Course(shared.target.deploy(candidate("a", tmp_path)), RunBook(tmp_path, "a", "local"))


def test_a_folder_that_is_not_there_holds_no_runs(tmp_path: Path) -> None:
    book = RunBook(tmp_path, "a", "local")
    assert (book.runs, book.paths()) == ([], ())
    assert book.next_path("hold") == tmp_path / "a" / "local" / "01-hold.json"
    assert not book.folder.exists()


def test_what_was_played_is_found_again_by_phase_seed_rate_and_artifact(
    shared: Measurement, course: Course, tmp_path: Path
) -> None:
    first = shared.hold_block(course, rate=40, block=0)
    second = shared.hold_block(course, rate=40, block=1)
    single = shared.single_stream(course)
    assert single is not None
    book = RunBook(tmp_path, "a", "local")
    address = course.deployment.candidate.address
    found = book.find("hold", 12, 40, address)
    assert found is not None
    assert (found.path, found.record) == (second.path, second.record)
    found = book.find("hold", 11, 40, address)
    assert found is not None
    assert found.path == first.path
    found = book.find("single-stream", 11, None, address)
    assert found is not None
    assert found.path == single.path
    for other in (("search", 11, 40.0, address), ("hold", 13, 40.0, address), ("hold", 11, 41.0, address)):
        assert book.find(*other) is None
    assert book.find("hold", 11, 40, "0" * 64) is None
    assert RunBook(tmp_path, "a", "other").runs == []
    assert RunBook(tmp_path, "b", "local").runs == []


def test_the_last_of_several_tries_is_the_one_that_is_found(shared: Measurement, course: Course) -> None:
    run = shared.hold_block(course, rate=40, block=0)
    again = StoredRun(course.book.next_path("hold"), run.record)
    course.book.add(again)
    assert course.book.find("hold", 11, 40, run.record.address) is again


def test_runs_are_in_the_order_of_their_numbers_beyond_ninety_nine(
    shared: Measurement, course: Course, tmp_path: Path
) -> None:
    run = shared.single_stream(course)
    assert run is not None
    for number in (99, 100, 9):
        (run.path.parent / f"{number:02d}-search.json").write_bytes(run.path.read_bytes())
    book = RunBook(tmp_path, "a", "local")
    assert [path.rsplit("/", 1)[1].partition("-")[0] for path in book.paths()] == ["01", "09", "99", "100"]
    assert book.next_path("hold").name == "101-hold.json"


def test_paths_name_the_runs_inside_the_race_folder(shared: Measurement, course: Course) -> None:
    shared.single_stream(course)
    shared.hold_block(course, rate=40, block=0)
    assert course.book.paths() == ("a/local/01-single-stream.json", "a/local/02-hold.json")


def test_other_files_in_the_folder_are_no_runs(shared: Measurement, course: Course, tmp_path: Path) -> None:
    run = shared.single_stream(course)
    assert run is not None
    for name in ("notes.json", "7.json", "x8-hold.json", "08-Hold.json", "08-hold.json.bak"):
        (run.path.parent / name).write_text("{}")
    book = RunBook(tmp_path, "a", "local")
    assert [one.path for one in book.runs] == [run.path]
    assert book.next_path("hold").name == "02-hold.json"


def test_a_half_written_record_is_refused_with_its_path(shared: Measurement, course: Course, tmp_path: Path) -> None:
    run = shared.single_stream(course)
    assert run is not None
    run.path.write_bytes(run.path.read_bytes()[:200])
    with pytest.raises(RecordError, match=r"01-single-stream\.json is not a run record"):
        RunBook(tmp_path, "a", "local")


def test_a_run_that_was_cut_before_its_record_leaves_its_number_free(
    shared: Measurement, course: Course, tmp_path: Path
) -> None:
    run = shared.single_stream(course)
    assert run is not None
    run.path.unlink()
    book = RunBook(tmp_path, "a", "local")
    assert book.runs == []
    assert book.next_path("single-stream") == run.path


def test_the_samples_of_a_stored_run_are_those_that_were_measured(shared: Measurement, course: Course) -> None:
    run = shared.single_stream(course)
    assert run is not None
    assert len(run.samples) == 60
    assert set(run.samples.latency_actual_ns.tolist()) == {5_000_000}
