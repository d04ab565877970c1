"""Two looks make a row: what came in between, of the pods of which both sides are known."""

import json
import math

import pytest
from rich.console import Console

from podium.watch import screen
from podium.watch.counts import Counts, Limit, counts_of
from podium.watch.look import Look, Pod, Service
from podium.watch.window import Miss, Row, Window, compare
from tests.expositions import Counting

SLO = (Limit("p99", 0.01, 0.05), Limit("errors", 0.01, None))


def counts(answers: float, *, late: float = 0, errors: float = 0) -> Counts:
    buckets = {0.01: 0.0, 0.05: answers - late, math.inf: answers}
    return Counts({200: answers - errors, 500: errors}, buckets, 1, 2, frozenset({"v"}), SLO)


def pod(name: str, seen: Counts | None, *, again: int = 0) -> Pod:
    return Pod(name, f"{name} {again}", seen is not None, seen, "" if seen else "it is Pending")


def look(at_s: float, *pods: Pod, name: str = "food11", wanted: int | None = 2) -> Look:
    return Look(at_s, (Service(name, "podium", "Standard", wanted, 1, 3, pods),))


def row(before: Look | None, after: Look) -> Row:
    (found,) = compare(before, after)
    return found


def test_what_came_between_two_looks_is_the_row() -> None:
    found = row(look(10, pod("a", counts(100))), look(20, pod("a", counts(140, late=4, errors=2))))
    assert (found.seconds, found.rate, found.errors) == (10, 4, 0.05)
    assert [miss.clause for miss in found.misses] == ["p99", "errors"]
    assert [miss.missed for miss in found.misses] == pytest.approx([0.1, 0.05])
    assert [miss.burn for miss in found.misses] == pytest.approx([10, 5])
    assert found.burn == pytest.approx(10)
    assert found.p50 is not None
    assert found.p50.seconds == pytest.approx(0.01 + 0.04 * 20 / 36)
    assert found.p99 is not None
    assert found.p99.is_beyond


def test_a_pod_that_is_new_counts_from_its_begin_and_one_that_was_unreadable_does_not() -> None:
    before = look(0, pod("old", counts(1000)), pod("deaf", None))
    after = look(10, pod("old", counts(1010)), pod("deaf", counts(500)), pod("new", counts(20)))
    assert row(before, after).counts.answered == 30


def test_a_container_that_started_anew_is_another_server() -> None:
    after = look(10, pod("a", counts(5), again=1))
    assert row(look(0, pod("a", counts(100))), after).counts.answered == 5


def test_a_first_look_has_no_rate_and_neither_has_a_service_that_is_new() -> None:
    for before in (None, look(0, pod("a", counts(100)), name="other")):
        found = row(before, look(10, pod("a", counts(100))))
        assert (found.seconds, found.rate, found.errors, found.p50, found.p99, found.burn) == (0, *[None] * 5)
        assert (found.counts.in_flight, found.counts.queue) == (1, 2)


def test_a_clause_that_allows_nothing_burns_without_end() -> None:
    assert Miss("errors", 0.0, 0.1).burn == math.inf
    assert Miss("errors", 0.0, 0.0).burn == 0
    assert Miss("errors", 0.0, None).burn is None


def test_the_window_spans_its_seconds_and_no_more_than_it_must() -> None:
    window = Window(10)
    rows = [window.add(look(at_s, pod("a", counts(at_s * 4))))[0] for at_s in (0, 4, 8, 12, 16, 20)]
    assert [row.seconds for row in rows] == [0, 4, 8, 12, 12, 12]
    assert {row.rate for row in rows[1:]} == {4}


def test_a_row_is_shown_with_units() -> None:
    found = row(look(10, pod("a", counts(100))), look(20, pod("a", counts(140, late=4, errors=2))))
    assert screen.cells(found) == (
        "food11", "v", "4.00/s", "5.0 %", "32.2 ms", "> 50.0 ms", "10.0 ×", "1", "2", "1", "2", "1–3",
    )  # fmt: skip
    assert len(screen.cells(found)) == len(screen.COLUMNS)
    assert screen.notes([found]) == []


def test_what_cannot_be_read_is_a_dash_and_a_sentence() -> None:
    found = row(look(0, pod("a", None)), look(10, pod("a", None)))
    assert set(screen.cells(found)[1:9]) == {"–"}
    assert screen.notes([found]) == ["food11: 1 of 1 pods cannot be read; a: it is Pending"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (0, "food11: it has no pod at the moment, and wants none"),
        (2, "food11: there is no pod of the 2"),
        (None, "food11: there is no pod, and no Deployment that makes one"),
    ],
)
def test_no_pod_is_said(wanted: int | None, told: str) -> None:
    assert screen.notes([row(None, look(0, wanted=wanted))]) == [told]


def test_the_document_is_json_whatever_happened() -> None:
    endless = Counts({500: 1.0}, {math.inf: 1.0}, 0, 0, frozenset({"v"}), (Limit("errors", 0.0, None),))
    for rows in (
        compare(look(10, pod("a", counts(100))), look(20, pod("a", counts(140, late=4)))),
        compare(look(0, pod("b", endless)), look(10, pod("a", endless))),
        compare(None, look(0, pod("a", None), wanted=None)),
    ):
        document = json.loads(json.dumps(screen.document(rows), allow_nan=False))
        (service,) = document["services"]
        assert service["replicas"]["wanted"] in {2, None}
    assert service["fault"]
    assert service["pods"] == [
        {"name": "a", "ready": False, "in_flight": None, "queue": None, "fault": "it is Pending"}
    ]


def test_what_is_drawn_has_the_title_the_rows_and_the_reason() -> None:
    counting = Counting(slo="p99<=40ms")
    before = counts_of(counting.text())
    counting.answers([100] * 10)
    rows = compare(look(0, pod("a", before)), look(5, pod("a", counts_of(counting.text()))))
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(screen._drawing("here", rows, "it is away"))
        text = console.export_text()
    assert "here, the last 5 s; Ctrl-C ends it" in text
    assert "2.00/s" in text
    assert "100 ×" in text
    assert "it is away" in text
