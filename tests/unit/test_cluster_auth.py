"""What is promoted or deployed asks for keys as what served before did."""

from typing import Any

import pytest

from podium.cluster.auth import auth_of
from podium.cluster.errors import ClusterError

pytestmark = pytest.mark.unit


def service(env: list[dict[str, Any]] | None = None, volumes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    predictor = {"model": {} if env is None else {"env": env}, **({} if volumes is None else {"volumes": volumes})}
    return {"metadata": {"name": "food11"}, "spec": {"predictor": predictor}}


def keys(value: str) -> list[dict[str, Any]]:
    return [{"name": "PREDICTOR_GRACE", "value": "43s"}, {"name": "PREDICTOR_KEYS", "value": value}]


SECRET = [{"name": "keys", "secret": {"secretName": "food11-keys"}}]


def test_nothing_is_kept_where_nothing_is_said() -> None:
    assert auth_of(None) == auth_of(service()) == auth_of(service([], [])) == {}


def test_what_is_said_is_kept() -> None:
    assert auth_of(service(keys("none"))) == {"open": True}
    assert auth_of(service(keys("/mnt/keys/keys"), SECRET)) == {"keysSecret": "food11-keys"}


@pytest.mark.parametrize(
    ("value", "volumes"),
    [
        ("/etc/keys", SECRET),
        ("/mnt/keys/keys", []),
        ("/mnt/keys/keys", [{"name": "keys", "configMap": {"name": "x"}}]),
        ("", SECRET),
    ],
)
def test_what_would_be_undone_is_refused(value: str, volumes: list[dict[str, Any]]) -> None:
    with pytest.raises(ClusterError, match="did not mount"):
        auth_of(service(keys(value), volumes))
