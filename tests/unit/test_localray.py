"""What Ray is given before it starts. That it starts and ends is tested with servers and builds."""

import os
import subprocess
from pathlib import Path

import pytest

import predictors
from predictors.localray import _ENVIRONMENT, _python_path, _write_shell


def test_a_worker_starts_where_there_is_no_shell(tmp_path: Path) -> None:
    folder = _write_shell(tmp_path)
    command = "exec env A=1 printf '%s|' 'a b' --c=d"
    done = subprocess.run(
        [folder / "bash", "-c", command], capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=True
    )
    assert done.stdout == "a b|--c=d|"


def test_workers_find_our_code_before_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    folders = _python_path().split(os.pathsep)
    assert folders[0] == str(Path(predictors.__file__).parents[1])
    assert folders[-1] == "/elsewhere"


def test_nothing_is_reported_to_anybody() -> None:
    assert _ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
