"""Log lines on stderr: JSON in containers, text on a terminal; one event a line, no field above 2 KiB.

What belongs to an event is handed over as `extra={"fields": {...}}`.
"""

import json
import logging
import sys
import time
from typing import Any

__all__ = ["configure"]

_MAX_CHARACTERS = 2048


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value!r}" for name, value in getattr(record, "fields", {}).items())
        text = f"{record.levelname.lower()}: {record.getMessage()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:_MAX_CHARACTERS],
        }
        for name, value in getattr(record, "fields", {}).items():
            event[name] = value[:_MAX_CHARACTERS] if isinstance(value, str) else value
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)[-_MAX_CHARACTERS:]
        return json.dumps(event)


def configure(level: int = logging.INFO) -> None:
    """Send this package's log to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Text() if sys.stderr.isatty() else _JsonLines())
    logger = logging.getLogger("predictors")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
