"""What Ray is given before it starts. That it starts and ends is tested with servers and builds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import predictors
from predictors.localray import _ENVIRONMENT, LocalRay, _end_children, _python_path, _write_shell


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


def test_what_was_begun_and_not_finished_is_ended() -> None:
    words = ("ray-abandoned/session", "ray-other/session")
    begun, other = (
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", word], stderr=subprocess.DEVNULL)
        for word in words
    )
    try:
        _end_children("ray-abandoned")
        assert not Path(f"/proc/{begun.pid}").exists()
        assert other.poll() is None
    finally:
        for process in (begun, other):
            process.kill()
            process.wait()


def test_a_ray_that_never_comes_up_is_tried_and_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(**options: object) -> None:
        tried.append(options["_temp_dir"])
        raise Exception("The current node timed out during startup")

    monkeypatch.setattr("predictors.localray.ray.init", fail)
    before = dict(os.environ)
    with pytest.raises(RuntimeError, match="3 tries: The current node timed out"):
        LocalRay.enter(1)
    assert len(set(tried)) == 3
    assert not any(Path(str(folder)).exists() for folder in tried)
    assert dict(os.environ) == before


def test_nothing_is_reported_to_anybody() -> None:
    assert _ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"


def test_who_leaves_twice_does_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    ended: list[None] = []
    monkeypatch.setattr(LocalRay, "_start", begun.append)
    monkeypatch.setattr(LocalRay, "_stop", lambda: ended.append(None))
    LocalRay.enter(1)
    LocalRay.leave()
    LocalRay.leave()
    LocalRay.enter(2)
    assert (begun, len(ended)) == ([1, 2], 1)
    LocalRay.leave()
    assert len(ended) == 2


def test_every_call_needs_the_token_while_it_runs_and_not_after(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        """As Ray does: what the environment says counts, and where it says nothing the token is needed."""
        os.environ.setdefault("RAY_AUTH_MODE", "token")

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr("predictors.localray.ray.init", init)
    LocalRay.enter(1)
    try:
        assert (os.environ["RAY_AUTH_MODE"], len(os.environ["RAY_AUTH_TOKEN"])) == ("token", 64)
    finally:
        LocalRay.leave()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"


def test_a_ray_that_asks_for_no_token_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictors.localray.ray.init", lambda **_: None)
    with pytest.raises(RuntimeError, match="does not ask for a token"):
        LocalRay.enter(1)
    assert "RAY_AUTH_TOKEN" not in os.environ
