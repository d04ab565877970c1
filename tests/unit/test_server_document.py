"""JSON is bounded before it is parsed, and means one thing."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.errors import InputError
from predictors.server.document import MAX_DEPTH, load, may_hold_booleans


def refused(body: bytes, max_containers: int = 10_000) -> str:
    with pytest.raises(InputError) as caught:
        load(body, max_containers=max_containers)
    return str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(VALUES)
def test_every_json_value_is_read_as_the_standard_library_reads_it(value: object) -> None:
    body = json.dumps(value).encode()
    try:
        found = load(body, max_containers=10_000)
    except InputError:
        assert b"\\ud" in body  # a lone surrogate is no text
    else:
        assert found == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1}{}',
        b'{"a":1} // x',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b"1e400",
        b"9" * 10_000,
        b'{"a":01}',
        b'"\x01"',
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert refused(body) == "the body is not JSON"


def test_depth_is_limited() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    load(deepest, max_containers=10_000)
    assert refused(b"[" + deepest + b"]") == "the body nests JSON deeper than 32"
    assert refused(b"[" * 250_000) == "the body has more than 10000 JSON objects and arrays"


def test_containers_are_limited_and_brackets_in_texts_are_none() -> None:
    body = b"[" + b"[]," * 98 + b"[]]"
    assert len(load(body, max_containers=100)) == 99
    assert refused(body, 99) == "the body has more than 99 JSON objects and arrays"
    assert load(b'["' + b"[{" * 5000 + b'"]', max_containers=100) == ["[{" * 5000]
    assert load(b'["' + b'\\"[' * 500 + b'"]', max_containers=100) == ['"[' * 500]


def test_values_are_limited_and_commas_in_texts_are_none() -> None:
    body = b"[" + b"1," * 98 + b"1]"
    assert len(load(body, max_containers=100, max_values=98)) == 99
    with pytest.raises(InputError, match="more than 97 JSON values"):
        load(body, max_containers=100, max_values=97)
    with pytest.raises(InputError, match="more than 97 JSON values"):
        load(b"{" + b",".join(b'"%d":1' % n for n in range(99)) + b"}", max_containers=100, max_values=97)
    text = b'["' + b"," * 500 + b'\\\\","' + b'\\",' * 500 + b'"]'
    assert load(text, max_containers=100, max_values=9) == ["," * 500 + "\\", '",' * 500]


def test_five_million_objects_are_refused_without_being_built() -> None:
    body = b"[" + b"{}," * 5_000_000 + b"{}]"
    began = time.monotonic()
    assert "more than" in refused(body)
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("body", [b'{"a":1,"a":1}', b'{"b":{"a":1,"a":2}}', b'[{"a":1},{"a":1,"\\u0061":2}]'])
def test_a_key_named_twice_is_refused(body: bytes) -> None:
    assert refused(body) == "the body names a JSON key twice"


def test_colons_in_texts_are_no_keys() -> None:
    assert load(b'{"a:b":"c:d","e":["::"]}', max_containers=10) == {"a:b": "c:d", "e": ["::"]}


def test_an_array_of_mixed_values_is_counted_whole() -> None:
    assert load(b'[null,{"a":1}]', max_containers=10) == [None, {"a": 1}]
    assert refused(b'[null,{"a":1,"a":1}]') == "the body names a JSON key twice"


def test_booleans_are_suspected_from_their_words() -> None:
    assert may_hold_booleans(b"[true]")
    assert may_hold_booleans(b'["false"]')
    assert not may_hold_booleans(b"[1]")
