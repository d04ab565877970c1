"""Flags win over the environment, the environment over defaults, and no limit is zero."""

from typing import Any

import pytest

from predictors.errors import PredictorError
from predictors.server import cgroup
from predictors.server.settings import Settings, effective, flag_of

FLAGS: dict[str, Any] = {"variant": "v", "cpus": 2.0}


def refused(flags: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    with pytest.raises(PredictorError) as caught:
        effective(FLAGS | flags, environment or {})
    assert caught.value.hint
    return str(caught.value)


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"PREDICTOR_QUEUE": "7", "PREDICTOR_MAX_BATCH": "3", "PREDICTOR_MAX_DELAY": "2ms"}
    settings = effective(FLAGS | {"queue": 9, "max_batch": None}, environment)
    assert (settings.queue, settings.max_batch, settings.max_delay_s) == (9, 3, 0.002)
    assert settings.http_port == Settings.model_fields["http_port"].default


def test_keys_that_are_set_to_nothing_are_not_none() -> None:
    assert "keys" in refused({}, {"PREDICTOR_KEYS": ""})
    # The controls: none is said by its name, and other variables that are empty are not there.
    assert effective(FLAGS, {"PREDICTOR_KEYS": "none", "PREDICTOR_QUEUE": ""}).keys == "none"
    assert effective(FLAGS, {}).keys == "none"


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"PREDICTOR_" + flag_of(field).replace("-", "_").upper() for field in Settings.model_fields}
    assert {"PREDICTOR_HTTP_PORT", "PREDICTOR_MAX_DELAY", "PREDICTOR_GRACE", "PREDICTOR_VARIANT"} <= names
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("text", "seconds"), [("250us", 0.00025), ("5ms", 0.005), ("30s", 30.0), ("1.5 s", 1.5), ("2m", 120.0)]
)
def test_a_duration_carries_its_unit(text: str, seconds: float) -> None:
    assert effective(FLAGS | {"timeout_s": text}, {}).timeout_s == pytest.approx(seconds) or seconds < 0.001


@pytest.mark.parametrize("text", ["5", "5 h", "-1s", "s", "1e3s", "nan"])
def test_a_duration_without_a_unit_is_refused(text: str) -> None:
    assert "is no duration" in refused({"grace_s": text})


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"queue": 0}, "queue"),
        ({"queue": "-1"}, "queue"),
        ({"max_batch": 0}, "max_batch"),
        ({"connections": 0}, "connections"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": "many"}, "cpus"),
        ({"timeout_s": "0s"}, "timeout_s"),
        ({"http_port": 65536}, "http_port"),
        ({"workers": 0}, "workers"),
        ({"workers": 65, "cpus": 99}, "workers"),
        ({"workers": 3}, "workers must not be above cpus, which is 2: each worker needs a whole core"),
        ({"workers": 2, "keys": "keys.txt"}, "keys go with one of workers"),
        ({"workers": 2, "queue": 1}, "workers must be above neither queue nor connections"),
        ({"workers": 2, "connections": 1}, "workers must be above neither queue nor connections"),
        ({"pre_stop_s": "30s", "grace_s": "10s"}, "pre_stop must be below grace"),
        ({"gather": 9, "max_batch": 8}, "gather must not be above max_batch"),
        ({"variant": ""}, "variant"),
        ({"warm": "some"}, "warm"),
    ],
)
def test_a_setting_out_of_bounds_is_named(flags: dict[str, Any], told: str) -> None:
    assert told in refused(flags)


def test_threads_are_whole_cores_of_the_share() -> None:
    assert effective(FLAGS | {"cpus": 2.9}, {}).threads == 2
    assert effective(FLAGS | {"cpus": 0.5}, {}).threads == 1


def test_the_share_comes_from_the_control_group_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    # The control group of the test machine is what it is: both answers are played.
    monkeypatch.setattr(cgroup, "cpu_limit", lambda: 3.0)
    assert effective({"variant": "v"}, {}).threads == 3
    monkeypatch.setattr(cgroup, "cpu_limit", lambda: None)
    with pytest.raises(PredictorError, match="the CPU share is unknown"):
        effective({"variant": "v"}, {})


def test_workers_divide_what_there_is() -> None:
    settings = effective(FLAGS | {"cpus": 7, "workers": 3, "queue": 10, "connections": 256}, {})
    assert [share.queue for share in settings.shares] == [4, 3, 3]
    assert [share.connections for share in settings.shares] == [86, 85, 85]
    assert [(share.threads, share.workers, share.max_batch) for share in settings.shares] == [(2, 1, 8)] * 3


def test_one_worker_has_all_of_it() -> None:
    settings = effective(FLAGS, {})
    assert settings.shares == (settings,)
