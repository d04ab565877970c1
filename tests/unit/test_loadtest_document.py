"""YAML on the load side: lines for every key, and nothing that reads otherwise than it looks."""

import pytest

from loadtest.document import read_document
from loadtest.errors import ProfileError

TEXT = """\
# a comment
name: quick
phases:
  - {kind: hold,
     blocks: 5}
  - kind: search
    on: yes
"""


def test_every_key_knows_its_line() -> None:
    document = read_document(TEXT, "my.yaml")
    assert document.content == {
        "name": "quick",
        "phases": [{"kind": "hold", "blocks": 5}, {"kind": "search", "on": True}],
    }
    assert document.place(("name",)) == "my.yaml:2"
    assert document.place(("phases", 0, "blocks")) == "my.yaml:5"
    assert document.place(("phases", 1)) == "my.yaml:6"
    assert document.place(("phases", 1, "kind")) == "my.yaml:6"


def test_a_missing_key_has_the_place_of_what_is_above_it() -> None:
    document = read_document(TEXT, "my.yaml")
    assert document.place(("phases", 0, "block")) == "my.yaml:4"
    assert document.place(("budget",)) == "my.yaml:2"
    assert read_document("", "empty.yaml").place(("name",)) == "empty.yaml:1"
    assert read_document("", "empty.yaml").content is None


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: 1\na: 2\n", 2, 'the key "a" stands twice'),
        ("a: {b: 1,\n    b: 2}\n", 2, 'the key "b" stands twice'),
        ("a: !!python/object:os.system x\n", 1, "is not accepted"),
        ("a: 2020-01-01\n", 1, "timestamp is not accepted"),
        ("a: [1\nb: 2\n", 2, "not one YAML document"),
        ("a: 1\n---\nb: 2\n", 2, "not one YAML document"),
        ("a: 1\n\tb: 2\n", 2, "not one YAML document"),
    ],
)
def test_what_could_mislead_is_refused_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        read_document(text, "my.yaml")
    assert caught.value.place == f"my.yaml:{line}"
    assert str(caught.value).startswith(f"my.yaml:{line}: ")
    assert problem in str(caught.value)
    assert caught.value.hint


def test_control_characters_are_refused() -> None:
    with pytest.raises(ProfileError, match="characters that YAML refuses"):
        read_document("a: \x00", "my.yaml")
