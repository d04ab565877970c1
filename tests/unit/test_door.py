"""The door: who is let in by which key, until when, and how much each tenant may have; clocks are given."""

from collections.abc import Callable

import pytest

from predictors.server.door import Door, Tenant
from predictors.server.head import HttpError
from predictors.server.keys import Limits, line_of, new_key, read_keys

pytestmark = pytest.mark.unit


class Clock:
    """A clock that a test moves."""

    def __init__(self, at_s: float = 1000.0) -> None:
        self.at_s = at_s

    def __call__(self) -> float:
        return self.at_s


def door_of(*lines: str, now: Callable[[], float] = Clock(), monotonic: Callable[[], float] = Clock()) -> Door:  # noqa: B008
    return Door(read_keys("\n".join(lines).encode()), now=now, monotonic=monotonic)


def refusal(door: Door, authorization: str | None) -> HttpError:
    with pytest.raises(HttpError) as caught:
        door.enter(authorization)
    return caught.value


def test_a_key_opens_and_everything_else_is_401_with_a_challenge() -> None:
    key = new_key()
    door = door_of(line_of("vision", key))
    tenant = door.enter(f"Bearer {key}")
    assert (tenant.name, tenant.in_flight) == ("vision", 1)
    tenant.leave()
    assert door.enter(f"bearer  {key} ").name == "vision"
    for authorization in (None, "", key, f"Basic {key}", "Bearer", f"Token {key}"):
        error = refusal(door, authorization)
        assert (error.status, error.code) == (401, "no_key")
        assert error.headers == (("www-authenticate", 'Bearer realm="podium"'),)
    for authorization in (
        "Bearer ",
        f"Bearer {new_key()}",
        f"Bearer {key}, Bearer {key}",
        f"Bearer {key}\xe9",
        "Bearer x",
    ):
        error = refusal(door, authorization)
        assert (error.status, error.code) == (401, "unknown_key")
        assert 'error="invalid_token"' in error.headers[0][1]
    assert door.refused == {"missing": 6, "unknown": 5, "expired": 0}


def test_a_key_ends_at_its_time_and_not_before() -> None:
    key, clock = new_key(), Clock(1814313600.0 - 1)
    door = door_of(line_of("vision", key, not_after="2027-06-30T00:00:00Z"), now=clock)
    assert door.enter(f"Bearer {key}").name == "vision"
    clock.at_s += 1
    assert refusal(door, f"Bearer {key}").code == "expired_key"
    assert door.refused["expired"] == 1


def test_no_refusal_says_anything_of_the_key() -> None:
    key, gone = new_key(), new_key()
    door = door_of(line_of("vision", key, in_flight="1"), line_of("kitchen", gone, not_after="1970-01-01T00:00:00Z"))
    door.enter(f"Bearer {key}")
    stranger = new_key()
    for presented in (key, gone, stranger):
        error = refusal(door, f"Bearer {presented}")
        assert presented[8:20] not in f"{error} {error.headers} {error.code} {error.args}"
    assert key[8:20] not in str(door.document())


def test_requests_at_once_are_bound_and_each_that_ends_makes_room() -> None:
    key = new_key()
    door = door_of(line_of("vision", key, in_flight="2"))
    first, _ = door.enter(f"Bearer {key}"), door.enter(f"Bearer {key}")
    error = refusal(door, f"Bearer {key}")
    assert (error.status, error.code, error.headers) == (429, "tenant_limit", (("retry-after", "1"),))
    first.leave()
    assert door.enter(f"Bearer {key}").in_flight == 2
    assert (first.admitted, first.limited) == (3, 1)


def test_a_rate_may_be_used_a_second_at_once_and_comes_back_as_time_goes() -> None:
    clock = Clock()
    tenant = Tenant("vision", Limits(rate=10.0), clock)
    assert [tenant.enter() for _ in range(10)] == [0.0] * 10
    assert tenant.enter() == pytest.approx(0.1)
    clock.at_s += 0.25
    assert [tenant.enter() == 0.0 for _ in range(3)] == [True, True, False]
    clock.at_s += 3600
    assert [tenant.enter() == 0.0 for _ in range(11)] == [True] * 10 + [False]
    assert tenant.limited == 3


def test_a_rate_below_one_a_second_says_when_to_come_again() -> None:
    key, clock = new_key(), Clock()
    door = door_of(line_of("vision", key, rate="0.1/s"), monotonic=clock)
    door.enter(f"Bearer {key}").leave()
    assert refusal(door, f"Bearer {key}").headers == (("retry-after", "10"),)
    clock.at_s += 10
    assert door.enter(f"Bearer {key}").name == "vision"


@pytest.mark.parametrize("rate", [0.5, 3.0, 50.0])
def test_over_a_long_time_no_more_than_the_rate_is_let_in(rate: float) -> None:
    clock = Clock()
    tenant = Tenant("vision", Limits(rate=rate), clock)
    asked = 0
    while clock.at_s < 1100:
        asked += 1
        tenant.enter()
        clock.at_s += 0.1 / rate
    assert asked > 9 * 100 * rate
    assert 100 * rate - 1 <= tenant.admitted <= 101 * rate + 2


def test_what_one_tenant_uses_is_not_anothers() -> None:
    """With the control: without a limit the first is never refused."""
    one, two = new_key(), new_key()
    bound, free = (door_of(line_of("a", one, **limits), line_of("b", two)) for limits in ({"in_flight": "1"}, {}))
    bound.enter(f"Bearer {one}")
    assert refusal(bound, f"Bearer {one}").status == 429
    assert [bound.enter(f"Bearer {two}").name for _ in range(100)] == ["b"] * 100
    assert [free.enter(f"Bearer {one}").name for _ in range(100)] == ["a"] * 100


def test_other_keys_are_taken_and_what_was_let_in_stays() -> None:
    old, new, other = new_key(), new_key(), new_key()
    door = door_of(line_of("vision", old, in_flight="2"), line_of("gone", other))
    working, left = door.enter(f"Bearer {old}"), door.enter(f"Bearer {other}")
    door.renew(read_keys(line_of("vision", new, in_flight="3").encode()))
    assert refusal(door, f"Bearer {old}").code == "unknown_key"
    assert refusal(door, f"Bearer {other}").code == "unknown_key"
    assert list(door.tenants) == ["vision"]
    assert door.enter(f"Bearer {new}") is working
    assert (working.in_flight, working.limits) == (2, Limits(None, 3))
    working.leave()
    left.leave()
    assert door.document()["tenants"]["vision"]["in_flight"] == 1


def test_another_rate_begins_anew_and_the_same_goes_on() -> None:
    clock = Clock()
    tenant = Tenant("vision", Limits(rate=2.0), clock)
    assert [tenant.enter() == 0.0 for _ in range(3)] == [True, True, False]
    tenant.limits = Limits(rate=2.0, in_flight=5)
    assert tenant.enter() > 0
    tenant.limits = Limits(rate=3.0)
    assert [tenant.enter() == 0.0 for _ in range(4)] == [True, True, True, False]
