"""What can be asked of a generator, and what is refused before one is started."""

import numpy as np
import pytest

from loadtest.errors import ScheduleError
from loadtest.schedule import constant
from loadtest.shot import START_S, Endpoint, Shot
from tests.loads import mixed_samples, outcome


def test_an_endpoint_knows_the_full_url() -> None:
    assert Endpoint("http://host:80/", "v1-image", "pie").target == "http://host:80/v1/models/pie:predict"
    assert Endpoint("http://host:80", "v2-json", "pie").target == "http://host:80/v2/models/pie/infer"


def test_a_shot_knows_how_long_it_can_take_at_most() -> None:
    opened = Shot("open", users=4, timeout_s=2.0, schedule=constant(10.0, 5.0))
    assert opened.longest_s == pytest.approx(4.9 + 4 + START_S)
    assert Shot("closed", users=4, timeout_s=2.0, seconds=7.0).longest_s == pytest.approx(7 + 4 + START_S)
    assert Shot("closed", users=4, timeout_s=2.0, requests=100).longest_s == pytest.approx(50 + 4 + START_S)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "ramp"}, "open or closed, not 'ramp'"),
        ({"kind": "open"}, "at least one arrival"),
        ({"kind": "open", "schedule": np.empty(0, dtype=np.int64)}, "at least one arrival"),
        ({"kind": "closed"}, "seconds or requests"),
        ({"kind": "closed", "requests": 0}, "seconds or requests"),
        ({"kind": "closed", "requests": 5, "schedule": np.zeros(1, dtype=np.int64)}, "no schedule"),
        ({"kind": "closed", "requests": 5, "users": 0}, "0 users"),
        ({"kind": "closed", "requests": 5, "timeout_s": 0.0}, "time-out of 0 s"),
    ],
)
def test_a_shot_that_cannot_be_played_is_refused(fields: dict[str, object], sentence: str) -> None:
    whole: dict[str, object] = {"users": 1, "timeout_s": 1.0, **fields}
    with pytest.raises(ScheduleError, match=sentence):
        Shot(**whole)  # type: ignore[arg-type]


def test_an_outcome_gives_its_time_out_in_nanoseconds() -> None:
    assert outcome(mixed_samples(10), timeout_s=0.25).timeout_ns == 250_000_000
