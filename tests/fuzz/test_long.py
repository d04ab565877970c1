"""The long forms of overload, slow clients and floods of frames: those of tests/contract, as long as the rows say.

`PODIUM_R6_S`, `PODIUM_R7_S`, `PODIUM_R11_S` and `PODIUM_S22_S` set the seconds. The controls are theirs.
"""

import os
from collections.abc import Mapping

import pytest

from tests.contract.conftest import server, start, vector_folder
from tests.contract.test_overload import (
    _priority,
    paced,
    rate,
    test_ten_times_too_much_leaves_health_alone,
    test_three_times_too_much_is_served_at_capacity,
)
from tests.contract.test_slow import test_a_flood_of_frames_harms_nobody, test_slow_clients_are_given_up

__all__ = [
    "_priority",
    "paced",
    "rate",
    "server",
    "start",
    "test_a_flood_of_frames_harms_nobody",
    "test_slow_clients_are_given_up",
    "test_ten_times_too_much_leaves_health_alone",
    "test_three_times_too_much_is_served_at_capacity",
    "vector_folder",
]

LONG_S = {"R6": 60.0, "R7": 30.0, "R11": 60.0, "S22": 30.0}

# What other work on the machine has spoiled is made again, five times at most.
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def lasting_s() -> Mapping[str, float]:
    """Seconds by row."""
    return {row: float(os.environ.get(f"PODIUM_{row}_S", str(seconds))) for row, seconds in LONG_S.items()}
