"""The file of a key that requests are sent with: read without a word of what is in it."""

import re
from pathlib import Path

from loadtest.errors import PlanError

__all__ = ["read_key"]

_MOST_BYTES = 4096
# What a header may hold, so that no client has to ask what a line break would do there.
_KEY = re.compile(r"[!-~]{1,4000}")


def read_key(path: Path) -> str:
    """Read a key: one word, with or without a line break behind it.

    Raises:
        PlanError: the file cannot be read, or holds something else; its content is not repeated.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror or error}", "name the file of a key") from error
    text = content.decode("latin-1").strip()
    if not _KEY.fullmatch(text):
        raise PlanError(f"{path} does not hold one word, as the file of a key does", "podium keys new makes one")
    return text
