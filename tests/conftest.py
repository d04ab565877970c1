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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test whose name holds a set: two processes print it in two orders, and xdist then runs nothing."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None:
            continue
        for value in callspec.params.values():
            if isinstance(value, set | frozenset) and len(value) > 1 and str(value) in callspec.id:
                raise pytest.UsageError(f"{item.nodeid}: its name depends on the order of a set; give it an id")
