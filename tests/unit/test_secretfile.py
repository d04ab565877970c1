"""Files of one secret: written once, for their owner alone."""

import stat
from pathlib import Path

import pytest

from podium.errors import MachineError, UsageError
from podium.secretfile import write_secret

pytestmark = pytest.mark.unit


def test_what_is_written_is_read_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, "podium_x")
    assert path.read_text() == "podium_x\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_secret(path, "other")
    assert path.read_text() == "mine"
    with pytest.raises(MachineError, match="cannot be written"):
        write_secret(tmp_path / "none" / "key", "x")
