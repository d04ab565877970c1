"""Errors become status codes by one table, and the body tells no more than it must."""

import pytest

from predictors.errors import DeadlineError, InputError, OverloadError, PredictorError
from predictors.server.head import HttpError
from predictors.server.replies import head_bytes, request_id
from predictors.server.responder import fault_of


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("x: is wrong", field="x"), 400, "invalid_input"),
        (HttpError(415, "media_type", "no"), 415, "media_type"),
        (OverloadError("full", retry_after_s=0.2), 503, "overloaded"),
        (DeadlineError("late"), 504, "deadline"),
        (PredictorError("ours"), 500, "internal"),
        (RuntimeError("/secret/path 0xdead"), 500, "internal"),
        (MemoryError(), 500, "internal"),
    ],
)
def test_every_error_has_its_status(error: BaseException, status: int, code: str) -> None:
    fault = fault_of(error)
    assert (fault.status, fault.code) == (status, code)
    if status == 500:
        assert fault.sentence == "the prediction failed"


@pytest.mark.parametrize(("seconds", "told"), [(0.0, "1"), (1.2, "2"), (30.0, "30")])
def test_retry_after_is_whole_seconds_and_at_least_one(seconds: float, told: str) -> None:
    assert fault_of(OverloadError("full", retry_after_s=seconds)).headers == (("retry-after", told),)


def test_a_head_is_written_whole() -> None:
    assert head_bytes(200, b"text/plain", 3) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\n"
    )
    closing = head_bytes(503, b"text/plain", 0, b"x: y\r\n", closes=True)
    assert closing.endswith(b"content-length: 0\r\nx: y\r\nconnection: close\r\n\r\n")


def test_ids_differ() -> None:
    assert request_id() != request_id()
