"""How a variant is served is read off what its server said, and told to `podium serve` again in the same words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podium.serving import serving_of
from predictors.server.settings import Settings, effective, flag_of
from predictors.store import Store, StoredVariant
from tests.artifacts import image_artifact, vector_artifact

STATE: dict[str, Any] = {
    "threads": 4,
    "cpu_limit": 4.0,
    "cpu_quota": 1.5,
    "cores": [0, 1, 2, 3],
    "max_batch": 16,
    "gather": 4,
    "max_delay_s": 0.002,
    "queue": 64,
    "warm": "none",
}


@pytest.fixture
def stored(tmp_path: Path) -> StoredVariant:
    return Store(tmp_path / "store").put(vector_artifact(tmp_path / "artifact"))


def test_what_a_server_said_is_told_to_the_next(stored: StoredVariant) -> None:
    found = serving_of(stored, STATE, protocol="v2-json")
    assert (found.model, found.address, found.protocol) == ("tiny", stored.address, "v2-json")
    assert (found.threads, found.cores, found.quota) == (4, 4, 1.5)
    flags = dict(zip(found.flags[::2], found.flags[1::2], strict=True))
    assert {flag.removeprefix("--") for flag in flags} <= {flag_of(field) for field in Settings.model_fields}
    told = {field: flags[f"--{flag_of(field)}"] for field in Settings.model_fields if f"--{flag_of(field)}" in flags}
    settings = effective({"variant": "v", **told}, {})
    assert (settings.cpus, settings.max_batch, settings.gather, settings.queue) == (4.0, 16, 4, 64)
    assert (settings.max_delay_s, settings.warm, settings.workers) == (0.002, "none", 1)


def test_workers_are_told_as_far_as_the_share_goes(stored: StoredVariant) -> None:
    found = serving_of(stored, {**STATE, "workers": 4}, protocol="grpc")
    assert (found.workers, found.threads, found.flags[-2:]) == (4, 1, ("--workers", "4"))
    assert replace(found, cpus=2.5).flags[-2:] == ("--workers", "2")
    assert replace(found, cpus=1.0).flags[-2:] == ("--workers", "1")


@pytest.mark.parametrize(
    ("changes", "cores", "quota"),
    [
        # By affinity alone: as many cores as it has.
        ({"cpu_quota": None, "cores": [7]}, 1, None),
        # A quota of whole cores on as many needs no group.
        ({"cpu_quota": 2.0, "cores": [0, 1], "threads": 2, "cpu_limit": 2.0}, 2, None),
        # Threads within the quota use no more cores than it holds, rounded up.
        ({"threads": 1, "cpu_limit": 1.5}, 2, 1.5),
        ({"threads": 1, "cpu_limit": 1.0, "cpu_quota": 0.4}, 1, 0.4),
    ],
)
def test_cores_and_quota_are_those_that_were_felt(
    stored: StoredVariant, changes: dict[str, Any], cores: int, quota: float | None
) -> None:
    found = serving_of(stored, {**STATE, **changes}, protocol="grpc")
    assert (found.cores, found.quota) == (cores, quota)


def test_a_server_that_said_nothing_is_at_its_defaults(tmp_path: Path) -> None:
    stored = Store(tmp_path / "store").put(image_artifact(tmp_path / "artifact"))
    found = serving_of(stored, {}, protocol="v1-image")
    assert (found.threads, found.cores, found.quota, found.gather) == (1, 1, None, None)
    assert (found.max_batch, found.queue, found.warm) == (8, 32, "auto")
    assert found.preprocessing_hash
    assert "--gather" not in found.flags
