"""The door of the data ports: who asks, by the key that comes with a request, and whether it is within its share.

Both are told from the head of a request, before a byte of its body is waited for. What protocols make of a refusal,
and which routes need no key, stands with their routes.

A tenant's share is a rate, which may be used up to a second's worth at once, and a number of requests between head and
answer. Beyond either a request is refused and not left to wait: in the queue it would wait before those of others.
Both count in one process, as the queue and the connections do.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from predictors.server.head import HttpError
from predictors.server.keys import Keyring, Limits

__all__ = ["Door", "Tenant"]

_SCHEME: Final = "bearer "
_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="podium"'),)
_REFUSED_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="podium", error="invalid_token"'),)
# An answer frees a place sooner than that, but whole seconds are what Retry-After has.
_BUSY_S: Final = 1.0


class Tenant:
    """One tenant's share of this process.

    Attributes:
        in_flight: Requests that were let in and are not answered.
        admitted: How many were let in, and `limited` how many were not.
    """

    __slots__ = ("_limits", "_now", "_since", "_tokens", "admitted", "in_flight", "limited", "name")

    def __init__(self, name: str, limits: Limits, now: Callable[[], float]) -> None:
        self.name = name
        self.in_flight = self.admitted = self.limited = 0
        self._now = now
        self._limits = limits
        self._since = now()
        self._tokens = max(1.0, limits.rate or 0.0)

    @property
    def limits(self) -> Limits:
        """What it may have; other limits hold from the next request on, what was let in stays so."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        if limits.rate != self._limits.rate:
            self._since = self._now()
            self._tokens = max(1.0, limits.rate or 0.0)
        self._limits = limits

    def enter(self) -> float:
        """Let a request in; else tell after how many seconds another try is worth it."""
        rate, most = self._limits.rate, self._limits.in_flight
        wait_s = _BUSY_S if most is not None and self.in_flight >= most else 0.0
        if rate is not None and not wait_s:
            now = self._now()
            self._tokens = min(max(1.0, rate), self._tokens + (now - self._since) * rate)
            self._since = now
            if self._tokens < 1.0:
                wait_s = (1.0 - self._tokens) / rate
            else:
                self._tokens -= 1.0
        if wait_s:
            self.limited += 1
        else:
            self.admitted += 1
            self.in_flight += 1
        return wait_s

    def leave(self) -> None:
        """Note that a request was answered, or that nobody waits for its answer."""
        self.in_flight -= 1


class Door:
    """Lets requests in by their keys.

    Attributes:
        tenants: Those of the file, by name; no others are ever known.
        refused: How many requests came without a key, with an unknown one, and with an expired one.
        readings: How often the file was read again, and how often what it had become was refused.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.refused: Counter[str] = Counter({"missing": 0, "unknown": 0, "expired": 0})
        self.readings: Counter[str] = Counter({"read": 0, "refused": 0})
        self._now = now
        self._monotonic = monotonic
        self.renew(keyring)

    def renew(self, keyring: Keyring) -> None:
        """Take other keys from now on; what was let in stays, and tenants that stay keep their counts."""
        self._keyring = keyring
        known, self.tenants = self.tenants, {}
        for name, limits in keyring.tenants.items():
            tenant = self.tenants[name] = known.get(name) or Tenant(name, limits, self._monotonic)
            tenant.limits = limits

    def enter(self, authorization: str | None) -> Tenant:
        """Let a request in by its `authorization`; whoever calls says `leave` for it once, later.

        Raises:
            HttpError: It has no key, a wrong or an expired one (401), or its tenant has used its share (429).
        """
        if not authorization or authorization[: len(_SCHEME)].lower() != _SCHEME:
            self.refused["missing"] += 1
            raise HttpError(401, "no_key", "a key is needed: send authorization: Bearer KEY", _CHALLENGE)
        key = self._keyring.find(authorization[len(_SCHEME) :].strip(" "))
        if key is None:
            self.refused["unknown"] += 1
            raise HttpError(401, "unknown_key", "the key is not known here", _REFUSED_CHALLENGE)
        if self._now() >= key.not_after:
            self.refused["expired"] += 1
            raise HttpError(401, "expired_key", "the key has expired", _REFUSED_CHALLENGE)
        tenant = self.tenants[key.tenant]
        wait_s = tenant.enter()
        if wait_s:
            told = "the tenant of this key has used its share; come again later"
            raise HttpError(429, "tenant_limit", told, (("retry-after", str(max(1, math.ceil(wait_s)))),))
        return tenant

    def document(self) -> Mapping[str, Any]:
        """Tell what was counted, by the names of the file; no key and no hash is in it."""
        return {
            "tenants": {
                name: {
                    "rate": tenant.limits.rate,
                    "max_in_flight": tenant.limits.in_flight,
                    "in_flight": tenant.in_flight,
                    "admitted": tenant.admitted,
                    "limited": tenant.limited,
                }
                for name, tenant in self.tenants.items()
            },
            "refused": dict(self.refused),
            "readings": dict(self.readings),
        }
