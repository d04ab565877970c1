import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podium.document import MAX_BYTES, MAX_DEPTH, Value, nearest, read_document
from podium.errors import FileError, SubmissionError


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(FileError) as refused:
        read_document(path)
    return str(refused.value).removeprefix(str(path))


def test_every_key_knows_its_line(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "# a comment\na: 1\nb:\n  c:\n    - x\n    - d: 2\n"))
    assert document.content == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert document.lines["a",] == 2
    assert document.lines["b", "c", 1, "d"] == 6


def test_an_error_at_a_missing_key_names_the_line_of_what_holds_it(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "\na:\n  b: 1\n"), SubmissionError)
    error = document.error(("a", "missing", "deeper"), "is missing", "add it")
    assert str(error) == f"{document.path}:2: is missing"
    assert isinstance(error, SubmissionError)
    assert error.hint == "add it"


def test_plain_scalars_keep_their_kind(tmp_path: Path) -> None:
    text = 'a: 1\nb: 1.5\nc: true\nd: null\ne: "1"\nf: 2026-01-02\ng: ~\nh: on\n'
    assert read_document(write(tmp_path, text)).content == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": None,
        "e": "1",
        "f": "2026-01-02",
        "g": None,
        "h": True,
    }


def test_a_byte_order_mark_and_an_empty_second_document_are_harmless(tmp_path: Path) -> None:
    assert read_document(write(tmp_path, b"\xef\xbb\xbfa: 1\n---\n")).content == {"a": 1}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n---\n", "null\n"])
def test_an_empty_file_says_so(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == ": is empty"


def test_a_second_document_is_refused_where_it_starts(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a: 1\n---\nb: 1\n").startswith(":3: a second document starts here")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("- a\n- b\n", "a list"),
        ("just text\n", "text"),
        ("5\n", "the number 5"),
        ("true\n", "the truth value true"),
    ],
)
def test_a_file_that_is_no_mapping_says_what_it_is(tmp_path: Path, text: str, kind: str) -> None:
    assert refusal(tmp_path, text) == f": must be one mapping of keys to values, and is {kind}"


def test_aliases_and_anchors_are_refused_before_they_expand(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{last}'] * 9)}]\n" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert refusal(tmp_path, bomb).startswith(":1: anchors and aliases")
    assert refusal(tmp_path, "a: 1\nb: *a\n").startswith(":2: anchors and aliases")


def test_nesting_has_a_bound(tmp_path: Path) -> None:
    assert "deeper than" in refusal(tmp_path, "[" * 20_000)
    assert "deeper than" in refusal(tmp_path, "a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH)
    fits = MAX_DEPTH - 1
    assert read_document(write(tmp_path, "a: " + "[" * fits + "]" * fits)).content


def test_size_has_a_bound(tmp_path: Path) -> None:
    line = b"a: 1 #"
    assert read_document(write(tmp_path, line + b"x" * (MAX_BYTES - len(line)))).content == {"a": 1}
    assert "larger than 64 KiB" in refusal(tmp_path, line + b"x" * (MAX_BYTES - len(line) + 1))


def test_text_that_is_not_utf_8_names_the_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"\na: 1\nb: \xff\n") == ":3: is not UTF-8 text"
    assert "is not UTF-8 text" in refusal(tmp_path, "a: ä\n".encode("utf-16"))


def test_a_control_character_names_its_code_and_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"a: 1\nb: x\0y\n") == ":2: holds the control character U+0000"


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a: 1\n\tb: 2\n", ":2", "spaces, not with tabs"),
        ("a: b: c\n", ":1", "in quotes"),
        ("a: 1\nb: [1, 2\n", ":3", "indentation"),
        ("a: 'x\n", ":2", "quotes"),
    ],
)
def test_broken_yaml_names_the_line_and_the_likely_cause(tmp_path: Path, text: str, place: str, hint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FileError) as refused:
        read_document(path)
    assert str(refused.value).startswith(f"{path}{place}: is not valid YAML: ")
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\na: 2\n", ":2: the key 'a' stands twice"),
        ("1: a\n", ":1: a key must be text, and is '1'"),
        ("on: a\n", ":1: a key must be text, and is 'on'"),
        ("? [a, b]\n: c\n", ":1: a key must be text, and is a list or mapping"),
        ("<<: {a: 1}\n", ":1: a key must be text, and is '<<'"),
        ("a: !!python/object:os.system {}\n", ":1: the tag !!python/object:os.system is not accepted"),
        ("a: !!binary aGk=\n", ":1: the tag !!binary is not accepted"),
        ("a: !secret x\n", ":1: the tag !secret is not accepted"),
        (f"a: {'9' * 5000}\n", f":1: the number '{'9' * 40}' cannot be read"),
        ("a: !!int x\n", ":1: the number 'x' cannot be read"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    assert refusal(tmp_path, text) == fault


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(FileError, match="is not a file"):
        read_document(tmp_path)
    with pytest.raises(FileError, match="is not a file"):
        read_document(Path("/dev/zero"))
    with pytest.raises(FileError, match=r"is not a path|does not exist"):
        read_document(Path("a\0b"))


def test_a_mapping_or_text_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a: []\nb:\nc: 5\nd: {e: ' '}\nf: {g: {}}\n"))
    for keys, fault in (
        (("a",), ":1: a must hold keys with values, and is a list"),
        (("b",), ":2: b must hold keys with values, and is empty"),
        (("f", "g"), ":5: f.g must hold keys with values, and is empty"),
        (("d", "x", "y"), ":4: d.x is missing"),
    ):
        with pytest.raises(FileError) as refused:
            document.mapping(*keys)
        assert str(refused.value) == f"{document.path}{fault}"
    for keys, fault in (
        (("c",), ":3: c must be text, and is the number 5"),
        (("d", "e"), ":4: d.e must be text, and is empty"),
        (("d", "x"), ":4: d.x is missing"),
    ):
        with pytest.raises(FileError) as refused:
            document.text(*keys)
        assert str(refused.value) == f"{document.path}{fault}"


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a:\n  storageURI: x\n"))
    with pytest.raises(FileError, match=r":2: unknown key 'storageURI' in a") as refused:
        document.refuse_unknown(("a",), ["storageUri", "runtime"])
    assert refused.value.hint == "did you mean storageUri?"
    document.refuse_unknown((), ["a", "b"])


def test_without_a_near_word_all_known_ones_are_listed() -> None:
    assert nearest("zzz", ["b", "a"]) == "known: a, b"


_WORDS = st.text("abcxyz-/.", min_size=1, max_size=8).filter(lambda word: word[0].isalpha())
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9999, 9999), _WORDS)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_WORDS, _TREES, min_size=1, max_size=4))
def test_every_plain_tree_is_read_back_and_every_key_has_a_line(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Value]
) -> None:
    document = read_document(write(tmp_path_factory.mktemp("tree"), yaml.safe_dump(tree)))
    assert document.content == tree
    assert all((key,) in document.lines for key in tree)


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_document_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("bytes"), data)
    with contextlib.suppress(FileError):
        assert isinstance(read_document(path).content, dict)
