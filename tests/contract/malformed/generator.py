"""All cases of all groups, in a fixed order."""

from functools import cache

from tests.contract.malformed.calls import calls
from tests.contract.malformed.case import Case, RpcCase
from tests.contract.malformed.framing import forms, framing, headers
from tests.contract.malformed.meanings import meanings
from tests.contract.malformed.pictures import pictures
from tests.contract.malformed.texts import binaries, bombs, syntax

__all__ = ["GROUPS", "cases_of", "rpc_cases"]

GROUPS = {"A": framing, "B": headers, "C": syntax, "D": bombs, "E": meanings, "F": binaries, "H": pictures, "I": forms}


@cache
def cases_of(group: str) -> tuple[Case, ...]:
    """Make the cases of a group that speak to the data port."""
    return tuple(GROUPS[group]())


@cache
def rpc_cases() -> tuple[RpcCase, ...]:
    """Make the cases of group G."""
    return tuple(calls())
