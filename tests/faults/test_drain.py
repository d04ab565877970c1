"""The one node of a class is drained under load: a budget stops it before the last pod, which goes on serving."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import Kubectl
from tests.cluster.faults import Bench, Drained, bench

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RATE = 50.0
DRAIN_S = 25.0
BACK_S = 60.0


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Bench]:
    with bench(namespace, tmp_path) as made:
        yield made


@pytest.mark.row(
    "R5", "one node drained: the budget's pod serves on, 0 failed, the refusal told; two again ≤ 60 s after"
)
@pytest.mark.control("R5")
def test_a_drain_stops_at_the_budget(served: Bench, record_property: Callable[[str, object], None]) -> None:
    found: list[Drained] = []
    tried = served.under_load(RATE, 75, lambda: found.append(served.drain(DRAIN_S)))
    (drained,) = found
    told = f"{tried.seen.lost} of {tried.seen.sent} failed, never fewer than {drained.fewest} pods"
    record_property("R5", f"{told}, two again after {drained.back_s} s")
    assert drained.code != 0
    assert "disruption budget" in drained.told
    assert drained.fewest == 1, "nothing was evicted, or everything"
    assert tried.seen.is_whole
    assert tried.is_within, tried.marks
    assert tried.seen.lost == 0, (tried.seen, tried.marks)
    assert drained.back_s <= BACK_S

    # The control: without a budget the node is emptied, and nobody is left to answer.
    served.namespace.run("delete", "pdb", "--all")
    bare = served.under_load(RATE, 75, lambda: found.append(served.drain(DRAIN_S)))
    assert found[-1].code == 0, found[-1].told
    assert found[-1].fewest == 0
    assert bare.lost_in("drain") > 0, bare
