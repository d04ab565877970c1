"""What races need: the generators, two cores, and a model of one's own that is built once a session."""

import os

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.vegeta import find_vegeta
from tests.contract.race.racing import Workshop
from tests.needs import lack


@pytest.fixture(autouse=True, scope="session")
def _generators() -> None:
    for find in (find_k6, find_vegeta):
        try:
            find()
        except GeneratorError as error:
            lack("truth", f"{error}; {error.hint}")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a race needs a core for the server and one for the generator")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The model, shared by all races of the session."""
    return Workshop(tmp_path_factory.mktemp("workshop"))
