"""A profile's YAML on the load side: the place of every key, and errors of the caller's kind.

What is refused in general is tested with the tool's documents, which are read by the same reader.
"""

from pathlib import Path

import pytest

from loadtest.document import read_document, read_file
from loadtest.errors import ProfileError

TEXT = b"""\
# a comment
name: quick
phases:
  - {kind: hold,
     blocks: 5}
  - kind: search
    "on": yes
"""
EXAMPLE = "quick.yaml"


def test_every_key_has_its_place() -> None:
    document = read_document(TEXT, "my.yaml", ProfileError, example=EXAMPLE)
    assert document.content == {
        "name": "quick",
        "phases": [{"kind": "hold", "blocks": 5}, {"kind": "search", "on": True}],
    }
    assert document.place(("name",)) == "my.yaml:2"
    assert document.place(("phases", 0, "blocks")) == "my.yaml:5"
    assert document.place(("phases", 1)) == "my.yaml:6"
    assert document.place(("phases", 1, "kind")) == "my.yaml:6"


def test_a_missing_key_has_the_place_of_what_is_above_it() -> None:
    document = read_document(TEXT, "my.yaml", ProfileError, example=EXAMPLE)
    assert document.place(("phases", 0, "block")) == "my.yaml:4"
    assert document.place(("budget",)) == "my.yaml:2"


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        (b"", "my.yaml", "is empty"),
        (b"- 1\n", "my.yaml", "must be one mapping of keys to values, and is a list"),
        (b"a: 1\nb: &x 2\n", "my.yaml:2", "anchors and aliases"),
        (b"a: 1\na: 2\n", "my.yaml:2", "the key 'a' stands twice"),
        (b"a: [1\nb: 2\n", "my.yaml:2", "is not valid YAML"),
        (b"a: 1\n---\nb: 2\n", "my.yaml:3", "a second document starts here"),
        (b"a: " + b"[" * 20_000, "my.yaml:1", "is nested deeper than"),
        (b"#" * 70_000, "my.yaml", "is larger than 64 KiB"),
        (b"a: \xff", "my.yaml:1", "is not UTF-8 text"),
        (b"a: \0", "my.yaml:1", "holds the control character U+0000"),
    ],
)
def test_a_refusal_has_the_callers_class_a_place_and_a_remedy(text: bytes, place: str, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_document(text, "my.yaml", ProfileError, example=EXAMPLE)
    assert caught.value.place == place
    assert str(caught.value).startswith(f"{place}: {problem}")
    assert caught.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="does not exist"):
        read_file(tmp_path / "none.yaml", ProfileError, example=EXAMPLE)
