"""A server that is told which key to trust serves what that vouches for, and else ends by name before it loads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from predictors.manifest import SIGNATURE
from predictors.signature import make_key, sign
from tests.contract.server import FREE, started


def refused(folder: Path, *options: str) -> str:
    """Return what a server says that does not come up."""
    command = [sys.executable, "-m", "predictors.server", str(folder), *FREE, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert done.stdout == "", "it never was ready"
    return done.stderr


def served(folder: Path, log: Path, *options: str) -> None:
    """Start a server, see a right answer, and end it."""
    server = started(folder, log, *options)
    try:
        assert server.is_good()
    finally:
        assert server.stop() == 0
        if server.process.stdout is not None:
            server.process.stdout.close()


@pytest.mark.row("S17", "given a key, what that does not vouch for, or an older version, is never ready")
def test_only_what_the_key_vouches_for_is_served(
    vector_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    folder = shutil.copytree(vector_folder, tmp_path / "artifact")
    public = make_key(tmp_path / "key.pem")
    assert "error: unsigned: " in refused(folder, "--verify-key", public)
    sign(folder, tmp_path / "key.pem", version=4)
    assert "error: rolled-back: " in refused(folder, "--verify-key", public, "--least-version", "5")
    # As the chart says it, in the environment.
    monkeypatch.setenv("PREDICTOR_VERIFY_KEY", public)
    monkeypatch.setenv("PREDICTOR_LEAST_VERSION", "4")
    served(folder, tmp_path / "server.log")
    content = (folder / SIGNATURE).read_text()
    (folder / SIGNATURE).write_text(content.replace('"version": 4', '"version": 5'))
    assert "error: foreign-key: " in refused(folder)
    record_property("S17", "unsigned, rolled-back, foreign-key: exit code 3 before it was ready; signed: served")


@pytest.mark.control("S17")
def test_without_a_key_or_a_least_version_the_same_is_served(vector_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(vector_folder, tmp_path / "artifact")
    served(folder, tmp_path / "unsigned.log")
    public = make_key(tmp_path / "key.pem")
    sign(folder, tmp_path / "key.pem", version=4)
    # An older version that was signed once comes back where nobody says what the least is.
    served(folder, tmp_path / "older.log", "--verify-key", public)
