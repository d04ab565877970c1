"""What an API server refused, in a person's words: status and reason of its answer become one of our errors."""

from __future__ import annotations

import json
import re
from typing import Any

import urllib3
import yaml

from podium.cluster.errors import (
    ClusterError,
    ConflictError,
    DeniedError,
    RefusedByClusterError,
    UnreachableError,
    WebhookError,
)

__all__ = ["fault_of", "is_transient", "message_of", "reason_of"]

_WEBHOOK = re.compile(r'failed calling webhook "([^"]+)"')
# What an API server says while it starts, stops, or changes its leader.
_AWAY = frozenset({429, 502, 503, 504})
_PASSING = re.compile(
    r"etcdserver|leader changed|connection refused|context deadline exceeded|EOF|try again|not ready yet"
)


def is_transient(error: Exception) -> bool:
    """Return whether the same call may succeed when it is repeated."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return status in _AWAY or (status == 500 and _PASSING.search(message_of(error)) is not None)
    return isinstance(error, urllib3.exceptions.HTTPError | ConnectionError)


def message_of(error: Exception) -> str:
    """Return the sentence in an API server's answer, or what else it wrote."""
    body = getattr(error, "body", None)
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return text.strip()
    if isinstance(answer, dict):
        return str(answer.get("message") or answer.get("error") or text)
    return text


def fault_of(error: Exception, doing: str, server: str) -> ClusterError | None:
    """Return the error to be raised when `doing` failed, or None where it is no fault of a cluster."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status:
        return _refused(status, message_of(error) or str(getattr(error, "reason", "")), doing)
    if isinstance(error, urllib3.exceptions.HTTPError | OSError):
        return UnreachableError(
            f"The API server {server} does not answer: {_root(error)}",
            "start the cluster (./scripts/cluster-up for the one of this clone), or choose another with --context",
        )
    return None


def reason_of(error: Exception) -> str:
    """Return why a file cannot be used, without a line of it: the one at fault may be that of a token."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context or 'it is no YAML'}"
    return " ".join(str(error).split())


def _refused(status: int, message: str, doing: str) -> ClusterError:
    if webhook := _WEBHOOK.search(message):
        return WebhookError(
            f"The webhook {webhook[1]} must answer and does not: {_short(message.rpartition(': ')[2])}",
            "kubectl get pods -n kserve shows whether KServe's manager runs; podium doctor says what is missing",
        )
    if status == 401:
        return DeniedError(
            f"The API server does not know this user ({doing})", "log in again, or choose another --context"
        )
    if status == 403 and "exceeded quota" in message:
        return RefusedByClusterError(
            _short(message), "kubectl get resourcequota shows what is used; free some, or raise it"
        )
    if status == 403 and " is forbidden: " in message and " is forbidden: User " not in message:
        # Authorization says who cannot do what; admission says what is wrong with the object.
        return RefusedByClusterError(_short(message), "change what the sentence names; podium doctor")
    if status == 403:
        return DeniedError(
            f"This user may not do it: {_short(message)}", "ask for the role, or choose another --context"
        )
    if status == 409:
        return ConflictError(_short(message), "somebody else changes it at this moment; run the same command again")
    if status in {400, 422}:
        return RefusedByClusterError(_short(message), "kubectl explain shows the accepted form")
    return ClusterError(f"The cluster answered {status} when {doing}: {_short(message)}", "podium doctor")


def _root(error: BaseException) -> str:
    """Return the operating system's word for why a connection failed."""
    reason: object = getattr(error, "reason", None) or error
    while isinstance(reason, BaseException) and getattr(reason, "reason", None):
        reason = reason.reason  # type: ignore[attr-defined]
    text = str(reason)
    return _short(text.rpartition(": ")[2] or text)


def _short(text: str) -> str:
    return " ".join(text.split())[:500]
