"""Files of one secret: written once, for their owner alone; read without a word of what is in them."""

import stat
from pathlib import Path

import pytest

from podium.errors import ConfigError, MachineError, UsageError
from podium.secretfile import read_secret, write_secret

pytestmark = pytest.mark.unit


def test_what_is_written_is_read_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, "podium_x")
    assert read_secret(path) == "podium_x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_secret(path, "other")
    assert path.read_text() == "mine"
    with pytest.raises(MachineError, match="cannot be written"):
        write_secret(tmp_path / "none" / "key", "x")


@pytest.mark.parametrize(
    "content", [b"", b"zwei Silben", b"zwei\nZeilen", b"zweif\xc3\xa9", b"zwei" * 1250, b"zwei\x00b"]
)
def test_what_is_no_word_is_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold one word") as caught:
        read_secret(path)
    assert "zwei" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(tmp_path / "none")


def test_a_line_break_behind_it_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("podium_x\r\n")
    assert read_secret(path) == "podium_x"
