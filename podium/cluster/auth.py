"""Who a service serves, as the chart `variant` was told: what replaces it must not open what was shut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from podium.cluster.errors import ClusterError
from podium.cluster.kinds import Document

__all__ = ["OPEN", "auth_of", "auth_values"]

OPEN: Final = "none"
_VARIABLE: Final = "PREDICTOR_KEYS"
# Where the chart mounts the Secret, and as what.
_FILE: Final = "/mnt/keys/keys"
_VOLUME: Final = "keys"


def auth_values(keys_secret: str) -> dict[str, Any]:
    """Return the values `auth` for the name of a Secret, or for `none`."""
    return {"open": True} if keys_secret == OPEN else {"keysSecret": keys_secret}


def auth_of(service: Document | None) -> dict[str, Any]:
    """Return the values `auth` that an InferenceService was made with; empty where it says nothing, or there is none.

    Raises:
        ClusterError: it asks for keys in a way that the chart does not, which would be undone.
    """
    if service is None:
        return {}
    predictor: Mapping[str, Any] = service["spec"]["predictor"]
    told = {one["name"]: one.get("value") for one in (predictor.get("model") or {}).get("env") or []}
    if _VARIABLE not in told:
        return {}
    if told[_VARIABLE] == OPEN:
        return {"open": True}
    secrets = {one["name"]: (one.get("secret") or {}).get("secretName") for one in predictor.get("volumes") or []}
    if told[_VARIABLE] != _FILE or not secrets.get(_VOLUME):
        raise ClusterError(
            f"The InferenceService {service['metadata']['name']} asks for keys that the chart variant did not mount",
            "say it anew: podium deploy --keys-secret SECRET, or --keys-secret none",
        )
    return {"keysSecret": secrets[_VOLUME]}
