"""The file of a key: one word, of which no error repeats a letter."""

from pathlib import Path

import pytest

from loadtest.errors import PlanError
from loadtest.keyfile import read_key

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "content", [b"", b"zwei Silben", b"zwei\nZeilen", b"zweif\xc3\xa9", b"zwei" * 1250, b"zwei\x00b"]
)
def test_what_is_no_word_is_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(PlanError, match="does not hold one word") as caught:
        read_key(path)
    assert "zwei" not in str(caught.value)
    with pytest.raises(PlanError, match="cannot be read"):
        read_key(tmp_path / "none")


def test_a_line_break_behind_it_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("podium_x\r\n")
    assert read_key(path) == "podium_x"
