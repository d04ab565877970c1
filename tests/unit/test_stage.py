"""What fails beside others is run once more by itself; what fails again, or too many, fails."""

import re
from pathlib import Path

import pytest

from tests.stage import MOST, RESTLESS, run

FIRST_TIME = "    assert Path(__file__ + str({number})).exists() or Path(__file__ + str({number})).touch()\n"


def written(folder: Path, *bodies: str) -> Path:
    """Write a test for each body."""
    tests = [f"def test_{number}():\n{body.format(number=number)}" for number, body in enumerate(bodies)]
    (folder / "test_some.py").write_text("from pathlib import Path\n" + "".join(tests))
    return folder


@pytest.fixture(autouse=True)
def _in_a_project_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PODIUM_CI_LOG", raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    # Only what a stage asks for: the other plugins take seconds to be imported, each time.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pytest_cov.plugin")


def test_what_passes_by_itself_is_named_and_the_stage_passes(tmp_path: Path) -> None:
    assert run([str(written(tmp_path, FIRST_TIME, "    pass\n"))]) == 0
    assert RESTLESS.read_text() == "test_some.py::test_0\n"


def test_what_fails_again_fails_the_stage(tmp_path: Path) -> None:
    assert run([str(written(tmp_path, "    assert 0\n", FIRST_TIME))]) == 1
    assert not RESTLESS.exists()


def test_more_than_a_few_are_no_accident(tmp_path: Path) -> None:
    assert run([str(written(tmp_path, *[FIRST_TIME] * (MOST + 1)))]) == 1
    assert not RESTLESS.exists()


def test_what_passes_is_run_once(tmp_path: Path) -> None:
    assert run([str(written(tmp_path, "    pass\n"))]) == 0
    assert not RESTLESS.exists()


def test_how_long_it_took_is_told_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "ci.log"
    place = str(written(tmp_path, "    pass\n"))
    assert run([place]) == 0
    assert not log.exists()
    monkeypatch.setenv("PODIUM_CI_LOG", str(log))
    assert run(["-q", place]) == 0
    assert re.fullmatch(rf"\S+\+00:00 \d+ s, exit 0: {re.escape(place)}\n", log.read_text())
