"""The next connection goes where the fewest are, and the limit is that of all workers together."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.server.workers.link import Door
from predictors.server.workers.places import Places, by_room


def crew(*counts: tuple[int, int], share: int = 100) -> list[dict[Door, Places]]:
    """Return workers with so many open connections over HTTP and gRPC."""
    return [
        {
            Door.HTTP: Places(share, handed=http, taken=http, known=http),
            Door.GRPC: Places(share, handed=grpc, taken=grpc, known=grpc),
        }
        for http, grpc in counts
    ]


@pytest.mark.parametrize(
    ("counts", "best"),
    [
        (((0, 0), (0, 0)), 0),
        (((1, 0), (0, 0)), 1),
        (((3, 0), (2, 9)), 1),
        (((1, 2), (1, 1)), 1),
        (((5, 0), (4, 0), (4, 0)), 1),
    ],
)
def test_it_is_the_worker_with_the_fewest(counts: tuple[tuple[int, int], ...], best: int) -> None:
    assert by_room(crew(*counts), Door.HTTP)[0] == best


def test_what_was_handed_over_counts_before_the_worker_knows() -> None:
    workers = crew((2, 0), (1, 0))
    workers[1][Door.HTTP].handed += 2
    assert workers[1][Door.HTTP].open == 3
    assert by_room(workers, Door.HTTP) == [0, 1]
    workers[1][Door.HTTP].report(taken=3, known=1)
    assert by_room(workers, Door.HTTP) == [1, 0]


def test_clients_that_come_one_after_another_go_to_all() -> None:
    workers = crew((0, 0), (0, 0), (0, 0))
    given_to = []
    for _ in range(6):
        best = by_room(workers, Door.HTTP)[0]
        given_to.append(best)
        places = workers[best][Door.HTTP]
        places.handed += 1
        places.report(places.handed, 0)
    assert given_to == [0, 1, 2, 0, 1, 2]


def test_a_full_one_is_the_last_to_be_asked() -> None:
    workers = crew((2, 0), (3, 0))
    workers[0][Door.HTTP].share = 2
    assert by_room(workers, Door.HTTP) == [1, 0]


@given(limit=st.integers(2, 20), count=st.integers(2, 5), seed=st.integers(0, 10_000))
def test_there_is_room_until_the_limit_of_all_is_reached(limit: int, count: int, seed: int) -> None:
    """Whoever comes finds room as long as fewer than the limit are open, however the others came and left."""
    chance = random.Random(seed)
    count = min(count, limit)
    shares = [limit // count + (number < limit % count) for number in range(count)]
    workers = [{door: Places(share) for door in Door} for share in shares]
    for _ in range(60):
        places = [worker[Door.HTTP] for worker in workers]
        is_full = sum(each.open for each in places) == limit
        best = places[by_room(workers, Door.HTTP)[0]]
        assert (best.open >= best.share) == is_full
        busy = [each for each in places if each.open]
        if busy and (is_full or chance.random() < 0.45):
            left = chance.choice(busy)
            left.report(left.handed, left.open - 1)
        else:
            best.handed += 1
