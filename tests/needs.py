"""What a test needs and this machine lacks: skipped with the reason, or failed where `PODIUM_REQUIRE` asks for it."""

import os
from typing import NoReturn

import pytest

__all__ = ["lack"]


def lack(need: str, reason: str) -> NoReturn:
    """Skip with the reason; fail where `PODIUM_REQUIRE`, names with spaces or commas between, holds the need."""
    if need in os.environ.get("PODIUM_REQUIRE", "").replace(",", " ").split():
        pytest.fail(reason)
    pytest.skip(reason)
