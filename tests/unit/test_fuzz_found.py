"""What the searches of tests/fuzz begin with, in a short form, and every input that one of them has found."""

import random

import pytest
from google.protobuf.message import DecodeError

from predictors.server.model import ServedModel
from tests.fuzz.targets import REFUSALS, SEEDS, mutated, targets

# Nothing was found so far; an input goes here with its target's name.
FOUND: tuple[tuple[str, bytes], ...] = ()


@pytest.mark.parametrize("name", SEEDS)
def test_a_few_hundred_mutations_are_refused_or_answered(vectors: ServedModel, name: str) -> None:
    target, chance = targets(vectors)[name], random.Random(31)
    inputs = [*SEEDS[name], *(mutated(chance.choice(SEEDS[name]), chance) for _ in range(200))]
    accepted = 0
    for data in inputs + [found for kind, found in FOUND if kind == name]:
        try:
            target(data)
            accepted += 1
        except (*REFUSALS, DecodeError):
            continue
    assert len(SEEDS[name]) <= accepted < len(inputs)
