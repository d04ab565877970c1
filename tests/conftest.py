"""Settings that every tier shares."""

import signal

import pytest
from hypothesis import settings

# No deadline for property tests: the machine is shared.
settings.register_profile("podium", deadline=None, print_blob=True)
settings.load_profile("podium")

# What a shell starts in the background ignores Ctrl-C, and so would all programs that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(id, limit): shows a row of tests/robustness.md (see tests/robustness.py)")
    config.addinivalue_line("markers", "control(id): the run of that row that must fail")
