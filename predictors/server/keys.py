"""Who may ask a server: the file of keys, read as a whole or refused as a whole.

One line a key: the tenant's name, the hash of the key, and what is bound:

    # tenant  hash of the key        of all its keys together     of this key
    vision    sha256:<64 hex digits> rate=50/s in-flight=8        not-after=2027-06-30T00:00:00Z
    vision    sha256:<64 hex digits>

A tenant may have several keys at once, so that one takes another's place without a gap; what is said of it on any of
its lines holds for all of them. A key itself never stands in the file, and no sentence about a line repeats it.

A plain SHA-256 is enough because a key is 256 random bits: nobody goes through them, however fast the hash is. A slow
hash protects what people make up, and would cost every request milliseconds. So that nobody gives a password by
mistake, what does not look like a key of `new_key` is none, whatever its hash.
"""

import base64
import hashlib
import hmac
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from predictors.errors import KeysError

__all__ = ["MAX_BYTES", "TENANT", "Key", "Keyring", "Limits", "digest_of", "line_of", "new_key", "read_keys"]

TENANT: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MAX_BYTES: Final = 64 << 10
_MOST_KEYS: Final = 256
_MOST_TENANTS: Final = 64
_BEGINNING: Final = "podium_"
_KEY_BYTES: Final = 32
_KEY: Final = re.compile(rf"{_BEGINNING}[A-Za-z0-9_-]{{43}}")
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
_RATE: Final = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)/s")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,5}")
_HINT: Final = "podium keys new TENANT prints a line"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a tenant, by its hash; `not_after` is Unix time in seconds, infinite where it has no end."""

    tenant: str
    digest: bytes
    not_after: float = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may have: requests a second on average, and requests at once; None where that is not bound."""

    rate: float | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys of a file by their digests, and the limits of each tenant by its name, in the file's order."""

    keys: Mapping[bytes, Key]
    tenants: Mapping[str, Limits]

    def find(self, presented: str) -> Key | None:
        """Find the key that was presented, expired or not."""
        if not _KEY.fullmatch(presented):
            return None
        digest = digest_of(presented)
        key = self.keys.get(digest)
        # A dict stops at the first byte that differs. That says nothing of a key, whose hash nobody steers; all the
        # same, whether it is the right one is told in a time that does not depend on where they differ.
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None


def new_key() -> str:
    """Make a key: 256 random bits, behind a word by which scanners for secrets know it."""
    return _BEGINNING + base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode("ascii").rstrip("=")


def digest_of(key: str) -> bytes:
    """Hash a key."""
    return hashlib.sha256(key.encode("ascii")).digest()


def line_of(
    tenant: str, key: str, *, rate: str | None = None, in_flight: str | None = None, not_after: str | None = None
) -> str:
    """Write the line of a key; what is bound is given as it stands there.

    Raises:
        KeysError: A word could not be read back.
    """
    bounds = {"rate": rate, "in-flight": in_flight, "not-after": not_after}
    words = [tenant, f"sha256:{digest_of(key).hex()}"]
    words += [f"{name}={value}" for name, value in bounds.items() if value is not None]
    if any(not word.isascii() or word.split() != [word] or "#" in word for word in words):
        raise KeysError("a tenant or a bound is no single word", "podium keys new --help")
    try:
        _read_line(words)
    except KeysError as error:
        raise KeysError(f"the line of a new key {error}", "podium keys new --help") from error
    return " ".join(words)


def read_keys(content: bytes) -> Keyring:
    """Read a file of keys.

    Raises:
        KeysError: A line cannot be read, contradicts another, or there is none; the line is named and not repeated.
    """
    if len(content) > MAX_BYTES:
        raise KeysError(f"the file of keys is above {MAX_BYTES} bytes", "give tenants a server of their own")
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise KeysError("the file of keys is no ASCII text", _HINT) from error
    keys: dict[bytes, Key] = {}
    tenants: dict[str, Limits] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            key, limits = _read_line(words)
            if key.digest in keys:
                raise KeysError("has the hash of a line before; a key is one tenant's, once")
            keys[key.digest] = key
            tenants[key.tenant] = _joined(tenants.get(key.tenant), limits)
        except KeysError as error:
            raise KeysError(f"line {number} of the file of keys {error}", error.hint or _HINT) from error
    if not keys:
        raise KeysError("the file of keys has no key, so that nobody could ask", "serve with --keys none, or add one")
    if len(keys) > _MOST_KEYS or len(tenants) > _MOST_TENANTS:
        told = f"the file of keys has more than {_MOST_KEYS} keys or {_MOST_TENANTS} tenants"
        raise KeysError(told, "take out keys that have expired")
    return Keyring(MappingProxyType(keys), MappingProxyType(tenants))


def _read_line(words: list[str]) -> tuple[Key, Limits]:
    if any(_BEGINNING in word for word in words):
        told = "holds a key itself, which whoever reads the file could use"
        raise KeysError(told, "make a new key, for this one is known now, and write its hash")
    if not TENANT.fullmatch(words[0]):
        told = "does not begin with a tenant: small letters, digits and dashes, at most 63"
        raise KeysError(told)
    found = _HASH.fullmatch(words[1]) if len(words) > 1 else None
    if found is None:
        raise KeysError("has no hash behind its tenant: sha256: and 64 hexadecimal digits")
    key, limits, known = Key(words[0], bytes.fromhex(found[1])), Limits(), set()
    for word in words[2:]:
        name, _, value = word.partition("=")
        if name not in _READERS or name in known:
            raise KeysError("says something unknown, or twice; behind the hash come rate=, in-flight= and not-after=")
        known.add(name)
        key, limits = _READERS[name](key, limits, value)
    return key, limits


def _with_rate(key: Key, limits: Limits, value: str) -> tuple[Key, Limits]:
    found = _RATE.fullmatch(value)
    if found is None or not float(found[1]) > 0:
        raise KeysError("has a rate= that is none; write it as 50/s, or 0.5/s")
    return key, replace(limits, rate=float(found[1]))


def _with_in_flight(key: Key, limits: Limits, value: str) -> tuple[Key, Limits]:
    if not _COUNT.fullmatch(value):
        raise KeysError("has an in-flight= that is no number from 1 to 999999")
    return key, replace(limits, in_flight=int(value))


def _with_end(key: Key, limits: Limits, value: str) -> tuple[Key, Limits]:
    try:
        end = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise KeysError("has a not-after= that is no time such as 2027-06-30T00:00:00Z") from error
    return replace(key, not_after=end.timestamp()), limits


_READERS: Final[Mapping[str, Callable[[Key, Limits, str], tuple[Key, Limits]]]] = {
    "rate": _with_rate,
    "in-flight": _with_in_flight,
    "not-after": _with_end,
}


def _joined(known: Limits | None, more: Limits) -> Limits:
    """Join what two lines say of one tenant."""
    if known is None:
        return more
    for first, second in ((known.rate, more.rate), (known.in_flight, more.in_flight)):
        if first is not None and second is not None and first != second:
            raise KeysError("gives its tenant another limit than a line before; a tenant has one for all its keys")
    return Limits(known.rate if more.rate is None else more.rate, known.in_flight or more.in_flight)
