"""R1, R3 and R34 on the cluster, in their short forms: replicas are replaced under load and nothing is lost.

Each has its control, which takes away what the promise rests on and must then lose something. The long forms are in
benchmarks/faults.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import Kubectl
from tests.cluster.faults import Bench, bench

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Half of what two pods bear, as their limit and the cost of a request have it.
RATE = 50.0


@pytest.fixture
def served(namespace: Kubectl, tmp_path: Path) -> Iterator[Bench]:
    with bench(namespace, tmp_path) as made:
        yield made


@pytest.mark.row("R1", "a rolling update and its rollback at half the capacity: 0 failed of 3,000 and more")
@pytest.mark.row("R3", "each of two pods deleted in turn: 0 failed, in the same load")
@pytest.mark.row("R34", "chart upgraded and rolled back with the client running: 0 failed, in the same load")
@pytest.mark.control("R1")
@pytest.mark.control("R3")
@pytest.mark.control("R34")
def test_replicas_are_replaced_under_load_without_a_loss(
    served: Bench, record_property: Callable[[str, object], None]
) -> None:
    def faults() -> None:
        served.roll(newer=True, serving={"maxBatch": 1, "queue": 200})
        served.roll_back()
        served.delete_each()

    tried = served.under_load(RATE, 85, faults)
    for row in ("R1", "R3", "R34"):
        record_property(row, f"{tried.seen.lost} failed of {tried.seen.sent}, p99 {tried.seen.p99_ms} ms")
    assert [mark.what for mark in tried.marks] == ["chart upgrade", "chart rollback", "pod deleted", "pod deleted"]
    assert tried.seen.is_whole
    assert tried.seen.sent > 3000
    assert tried.is_within, tried.marks
    assert tried.seen.lost == 0, (tried.seen, tried.marks)

    # The control: a server that is gone at once when it is told to go, however that comes about.
    def hasty_faults() -> None:
        served.delete_each("--grace-period=1")
        served.roll(preStop="0s", serving={"maxBatch": 1, "queue": 100})

    served.settle(preStop="0s")
    hasty = served.under_load(RATE, 36, hasty_faults)
    assert hasty.lost_in("pod deleted") > 0, hasty
    assert hasty.lost_in("rolling update") > 0, hasty
