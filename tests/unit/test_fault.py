"""Faults of documents: the key and the nearest right one, in every corner where a model can stand."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from loadtest.fault import first_fault
from loadtest.strict import StrictYaml


class Leaf(StrictYaml):
    size_bytes: int


class Short(StrictYaml):
    kind: Literal["short"]
    leaf: Leaf | None = None


class Long(StrictYaml):
    kind: Literal["long"]
    length_s: float = Field(alias="length")


class Root(StrictYaml):
    leaf: Leaf
    parts: Annotated[tuple[Annotated[Short | Long, Field(discriminator="kind")], ...], Field(strict=False)] = ()
    named: dict[str, Leaf] = Field(default_factory=dict)
    more: tuple[Annotated[Leaf, Field()], ...] = Field(default=(), strict=False)


GOOD: dict[str, Any] = {"leaf": {"sizeBytes": 1}}


@pytest.mark.parametrize(
    ("change", "sentence", "hint"),
    [
        ({"lead": 1}, "unknown key 'lead'", "did you mean leaf?"),
        ({"zzz": 1}, "unknown key 'zzz'", "known: leaf, more, named, parts"),
        ({"leaf": {"size_bytes": 1}}, "leaf: unknown key 'size_bytes'", "did you mean sizeBytes?"),
        ({"more": [{"sizeByte": 1}]}, "more.0: unknown key 'sizeByte'", "did you mean sizeBytes?"),
        ({"named": {"a": {"sizeByte": 1}}}, "named.a: unknown key 'sizeByte'", "did you mean sizeBytes?"),
        (
            {"parts": [{"kind": "long", "length": 1.0}, {"kind": "long", "lengthy": 1.0}]},
            "parts.1: unknown key 'lengthy'",
            "did you mean length?",
        ),
        ({"parts": [{"kind": "short", "length": 1.0}]}, "parts.0: unknown key 'length'", "known: kind, leaf"),
        (
            {"parts": [{"kind": "short", "leaf": {"sizebytes": 1}}]},
            "parts.0.leaf: unknown key 'sizebytes'",
            "did you mean sizeBytes?",
        ),
        ({"leaf": {}}, "leaf.sizeBytes: it is missing", "add the key sizeBytes"),
        ({"parts": [{"kind": "long"}]}, "parts.0.length: it is missing", "add the key length"),
        ({"leaf": 1}, "leaf: it must be a mapping of keys to values", ""),
        ({"leaf": {"sizeBytes": "1"}}, "leaf.sizeBytes: Input should be a valid integer", ""),
    ],
)
def test_a_fault_names_its_keys_and_its_remedy(change: dict[str, Any], sentence: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Root.model_validate(GOOD | change, by_alias=True, by_name=False)
    fault = first_fault(caught.value, Root)
    assert (str(fault), fault.hint) == (sentence, hint)


def test_a_misspelled_key_comes_before_the_one_that_is_missing_for_it() -> None:
    with pytest.raises(ValidationError) as caught:
        Root.model_validate({"leaves": {}})
    assert str(first_fault(caught.value, Root)) == "unknown key 'leaves'"


def test_what_is_no_mapping_at_all() -> None:
    with pytest.raises(ValidationError) as caught:
        Root.model_validate([])
    assert str(first_fault(caught.value, Root)) == "it must be a mapping of keys to values"
