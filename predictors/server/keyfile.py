"""The file of keys while a server runs: looked at again and again, off the event loop, and taken when it is right.

It has a thread of its own, made once: keys that are taken away must go where a process may make no more of them too,
and a file that never comes back from being read holds up nobody's end.

Its content is compared and not its time: a mounted Secret changes by a link that is renamed, and a file may be written
twice within the same tick of a clock. A file that cannot be read any more, or has a line that is wrong, changes
nothing: the keys of before stay, one line of the log says why, and a counter tells.
"""

import asyncio
import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Final

from predictors.errors import KeysError
from predictors.server.door import Door
from predictors.server.keys import MAX_BYTES, Keyring, read_keys
from predictors.server.lane import Lane, Outcome
from predictors.server.settings import NO_KEYS

__all__ = ["KeyFile"]

_PERIOD_S: Final = 1.0
_log = logging.getLogger(__name__)

# The content, or why there is none; and what it is where it is not what it was.
_Seen = tuple[bytes | str, Keyring | KeysError | None]


class KeyFile:
    """Follows a file of keys.

    Attributes:
        door: What asks for them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = self._read()
        self.door = Door(_parsed(self._content))
        self._following: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, setting: str) -> "KeyFile | None":
        """Open the file that `--keys` names; None where no keys are asked for.

        Raises:
            KeysError: It cannot be read, or a line of it is wrong.
        """
        return None if setting == NO_KEYS else cls(Path(setting))

    def follow(self) -> None:
        """Look at it once a second from now on, until `stop`."""
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        """Look at it no more."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def look(self) -> None:
        """Look at it once, and take what it has become."""
        self._take(*self._changed())

    def _take(self, content: bytes | str, found: Keyring | KeysError | None) -> None:
        if content == self._content:
            return
        self._content = content
        if isinstance(found, Keyring):
            self.door.renew(found)
            self.door.readings["read"] += 1
            counts = {"keys": len(found.keys), "tenants": len(found.tenants)}
            _log.info("the file of keys was read again", extra={"fields": counts})
        else:
            self.door.readings["refused"] += 1
            _log.error("the file of keys is refused, the old keys stay", extra={"fields": {"error": str(found)}})

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        lane = Lane("keys", loop)
        while True:
            await asyncio.sleep(_PERIOD_S)
            looked: asyncio.Future[Outcome[_Seen]] = loop.create_future()
            lane.put(self._changed, partial(_settle, looked))
            self._take(*(await looked).result())

    def _changed(self) -> _Seen:
        """In a thread: read it, and understand it where it is not what it was."""
        content = self._read()
        if content == self._content:
            return content, None
        try:
            return content, _parsed(content)
        except KeysError as error:
            return content, error

    def _read(self) -> bytes | str:
        """Give the content, or why there is none; one byte more than may be, where it is too long."""
        try:
            with self._path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            return error.strerror or type(error).__name__


def _settle(looked: asyncio.Future[Outcome[_Seen]], outcome: Outcome[_Seen]) -> None:
    if not looked.done():
        looked.set_result(outcome)


def _parsed(content: bytes | str) -> Keyring:
    if isinstance(content, str):
        raise KeysError(
            f"the file of keys cannot be read: {content}", "name a file that podium keys new wrote lines for"
        )
    return read_keys(content)
