"""The roofline: arithmetic by hand, and a machine that can do something."""

import pytest

from predictors.roofline import Roof, measure_roof, place
from predictors.workload import Workload

ROOF = Roof(threads=1, peak=100e9, bandwidth=10e9)


def test_what_is_attainable_is_the_smaller_of_both() -> None:
    assert ROOF.ridge == 10
    assert ROOF.attainable(1) == 10e9
    assert ROOF.attainable(10) == ROOF.attainable(1000) == 100e9


@pytest.mark.parametrize(
    ("activations", "precision", "intensity", "is_memory_bound"),
    [(240_000, "fp32", 1.0, True), (240_000, "int8", 4.0, True), (15_000, "fp32", 10.0, False)],
)
def test_a_batch_lies_where_its_work_and_time_put_it(
    activations: int, precision: str, intensity: float, is_memory_bound: bool
) -> None:
    work = Workload(batch=2, operations=1_000_000, weights=10_000, activations=activations)
    found = place(work, 1e-3, ROOF, precision)
    assert found.intensity == pytest.approx(intensity)
    assert found.achieved == pytest.approx(1e9)
    assert found.share == pytest.approx(1e9 / ROOF.attainable(intensity))
    assert (found.batch, found.is_memory_bound) == (2, is_memory_bound)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_this_machine_has_a_peak_and_a_bandwidth(precision: str) -> None:
    found = measure_roof(1, precision, seconds=0.0)
    assert found.threads == 1
    assert found.peak > 1e8
    assert found.bandwidth > 1e8
    assert found.ridge > 0
