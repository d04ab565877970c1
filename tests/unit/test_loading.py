"""What is run before a server is ready: every batch size where the first run of each is slow, and no more elsewhere."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from predictors.runtimes import Array
from predictors.server.loading import WarmUp, warm_up


class Recorder:
    """An engine of one provider that notes the batch sizes it runs."""

    def __init__(self, provider: str) -> None:
        self.providers: Sequence[str] = (provider,)
        self.sizes: list[int] = []

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        self.sizes.append(len(batch["x"]))
        return dict(batch)

    def close(self) -> None:
        self.sizes.clear()


def batch(size: int) -> dict[str, Any]:
    return {"x": np.zeros(size, np.float32)}


@pytest.mark.parametrize("provider", ["CPU", "CUDAExecutionProvider"])
def test_an_engine_that_plans_each_size_runs_each_once(provider: str) -> None:
    engine = Recorder(provider)
    assert warm_up(engine, batch, ran=8, max_batch=8, gather=4) == WarmUp(4, frozenset(range(1, 9)))
    assert engine.sizes == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("ran", "sizes"), [(8, []), (12, []), (3, [8])])
def test_one_that_does_not_runs_the_largest_unless_it_has(ran: int, sizes: list[int]) -> None:
    engine = Recorder("CPUExecutionProvider")
    assert warm_up(engine, batch, ran=ran, max_batch=8, gather=4) == WarmUp(4, frozenset({ran, *sizes}))
    assert engine.sizes == sizes


def test_what_is_worth_gathering_is_timed_where_nobody_has_decided() -> None:
    engine = Recorder("CPUExecutionProvider")
    worth, ran = warm_up(engine, batch, ran=8, max_batch=8, gather=None)
    assert 1 <= worth <= 8
    assert {1, 2} <= set(engine.sizes)
    assert ran == {8, *engine.sizes}


def test_who_serves_may_ask_for_every_size_or_for_none() -> None:
    engine = Recorder("CPUExecutionProvider")
    assert warm_up(engine, batch, ran=1, max_batch=4, gather=2, warm="every").sizes == {1, 2, 3, 4}
    assert engine.sizes == [1, 2, 3, 4]
    cold = Recorder("CPU")
    assert warm_up(cold, batch, ran=1, max_batch=4, gather=2, warm="none").sizes == {1}
    assert cold.sizes == []


def test_no_more_is_gathered_than_a_batch_holds() -> None:
    assert warm_up(Recorder("CPUExecutionProvider"), batch, ran=8, max_batch=2, gather=4).gather == 2


def test_decoders_are_warm_without_the_formats_that_no_request_may_have() -> None:
    code = (
        "import sys; from predictors.server.decoder.child import warm_decoders;"
        "from predictors.imaging import preprocessing; warm_decoders(preprocessing('mnist-28'));"
        "print(*sorted(name for name in sys.modules if name.endswith('ImagePlugin')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.WebPImagePlugin"} <= loaded
    assert len(loaded) < 10
