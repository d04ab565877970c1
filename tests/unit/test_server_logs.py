"""A log line is one line of JSON in a container and text on a terminal, whatever is logged."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from predictors.server import logs


class Stream(io.StringIO):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("predictors")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


def test_a_container_gets_json(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(False))
    logs.configure()
    logger.info("line\nbreak \x1b[31m", extra={"fields": {"id": "a" * 5000, "n": 7}})
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("failed")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["event"] == "line\nbreak \x1b[31m"
    assert (len(first["id"]), first["n"], first["level"]) == (2048, 7, "info")
    assert "ValueError: inner" in second["trace"]


def test_a_terminal_gets_text(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Stream(True))
    logs.configure()
    logger.warning("drained", extra={"fields": {"in_flight": 0}})
    try:
        raise ValueError("inner")
    except ValueError:
        logger.exception("failed")
    assert stream.getvalue().startswith("warning: drained in_flight=0\nerror: failed\nTraceback")
