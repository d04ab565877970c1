"""A load generator that is bound refuses what goes beyond, and plays what does not."""

import numpy as np
import pytest

from loadtest.bounds import Bounds
from loadtest.errors import PlanError
from loadtest.schedule import constant, poisson

OWN = Bounds(namespace="vision")
OWN_RATE = Bounds(50.0)


@pytest.mark.parametrize(
    "host",
    ["food11", "food11.vision", "food11.vision.svc", "food11.vision.svc.cluster.local", "food11-predictor:8081"],
)
def test_services_of_the_namespace_may_be_loaded(host: str) -> None:
    OWN.check(f"http://{host}")
    OWN.check(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://food11.text",
        "http://food11.vision.example.com",
        "http://food11.vision.svc.cluster.local.example.com",
        "http://food11.visionx",
        "http://food11.xvision",
        "http://food11%2evision.example",
        "http://vision@example.com",
        "http://10.0.0.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://[::1]",
        "http://[",
        "http://",
        "file:///x",
    ],
)
def test_nobody_else_may_be(url: str) -> None:
    with pytest.raises(PlanError, match="no Service of the namespace vision"):
        OWN.check(url)
    Bounds().check(url)  # the control: without a bound nobody asks


@pytest.mark.parametrize("seed", range(20))
def test_arrivals_by_chance_at_the_bound_are_played(seed: int) -> None:
    for rate in (1.0, 50.0, 1000.0):
        Bounds(rate).check("http://x", schedule=poisson(rate, 20.0, seed), seconds=20.0)


def test_ten_times_the_rate_is_refused() -> None:
    with pytest.raises(PlanError, match="above the bound of 50 a second"):
        Bounds(50.0).check("http://x", schedule=constant(500.0, 10.0), seconds=10.0)
    with pytest.raises(PlanError, match="500 requests a second are above the bound of 50"):
        Bounds(50.0).check("http://x", rate=500.0)
    Bounds(50.0).check("http://x", rate=50.0)


def test_each_of_several_runners_keeps_to_its_part() -> None:
    four = Bounds(200.0, runners=4)
    four.check("http://x", schedule=constant(200.0, 10.0), seconds=10.0, players=4)
    four.check("http://x", rate=50.0, players=1)
    with pytest.raises(PlanError, match="200 requests a second are above the bound of 50"):
        four.check("http://x", rate=200.0, players=1)
    # The whole schedule to each as if it were alone, or to half of them.
    for players in (1, 2):
        with pytest.raises(PlanError, match="above the bound of"):
            four.check("http://x", schedule=constant(200.0, 10.0), seconds=10.0, players=players)
    # The control: a runner that is alone may have it all.
    Bounds(200.0, runners=1).check("http://x", rate=200.0, players=1)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(PlanError, match="or none"):
        OWN_RATE.check("http://x", rate=rate)


def test_a_burst_within_the_mean_is_refused() -> None:
    burst = np.full(500, 7, dtype=np.int64)
    with pytest.raises(PlanError, match="500 requests within a second"):
        Bounds(50.0).check("http://x", schedule=burst, seconds=10.0)


def test_a_loop_without_a_rate_is_refused_where_one_is_bound() -> None:
    with pytest.raises(PlanError, match="a closed loop"):
        Bounds(50.0).check("http://x", seconds=10.0)
    OWN.check("http://x", seconds=10.0)


def test_bounds_come_from_the_environment() -> None:
    assert Bounds.from_environment({}) == Bounds()
    told = {"LOADTEST_MAX_RATE": "200", "LOADTEST_NAMESPACE": "vision"}
    assert Bounds.from_environment(told) == Bounds(200.0, "vision")
    assert Bounds.from_environment({**told, "RUNNERS": "3"}) == Bounds(200.0, "vision", 3)
    with pytest.raises(PlanError, match="RUNNERS is '0'"):
        Bounds.from_environment({**told, "RUNNERS": "0"})


@pytest.mark.parametrize("told", ["", "0", "-1", "1e9", "inf", "nan", "many", "1.5", "9999999999"])
def test_a_bound_that_cannot_be_read_is_no_missing_bound(told: str) -> None:
    with pytest.raises(PlanError, match="LOADTEST_MAX_RATE"):
        Bounds.from_environment({"LOADTEST_MAX_RATE": told})
