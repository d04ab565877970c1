"""Log lines on stderr: JSON in containers, text on a terminal; one event a line, no field above 2 KiB."""

import json
import logging
import sys
import time

__all__ = ["configure"]

_MAX_CHARACTERS = 2048


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:_MAX_CHARACTERS],
        }
        if record.exc_info:
            event["trace"] = self.formatException(record.exc_info)[-_MAX_CHARACTERS:]
        return json.dumps(event)


def configure(level: int = logging.INFO) -> None:
    """Send this package's log to stderr."""
    handler = logging.StreamHandler()
    if not sys.stderr.isatty():
        handler.setFormatter(_JsonLines())
    logger = logging.getLogger("predictors")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
