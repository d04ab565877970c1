"""The replica without a cluster: it checks what it serves, and each request of a batch gets its own part."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from predictors.manifest import read_variant
from predictors.runtimes.ray_replica import Replica
from tests.artifacts import WEIGHTS, vector_artifact


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vector_artifact(tmp_path_factory.mktemp("artifact"))


def replica_of(folder: Path) -> Replica:
    return Replica(folder, read_variant(folder), 1, 2)


def feed(*values: float) -> dict[str, npt.NDArray[np.float32]]:
    return {"x": np.array([[value] * 4 for value in values], dtype=np.float32)}


def test_it_introduces_itself_once_it_has_loaded(folder: Path) -> None:
    who = replica_of(folder).introduce()
    assert (who.pid, who.refusal) == (os.getpid(), None)
    assert list(who.providers) == ["CPUExecutionProvider"]


@pytest.mark.parametrize("name", ["model.onnx", "golden/output-0.npy"])
def test_it_refuses_what_was_changed_and_does_not_raise(tmp_path: Path, name: str) -> None:
    folder = vector_artifact(tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    replica = replica_of(folder)
    refusal = replica.introduce().refusal
    assert refusal is not None
    assert name in refusal[0]
    with pytest.raises(RuntimeError, match="refused artifact"):
        replica.compute([feed(1)])


def test_each_request_of_a_batch_gets_its_own_part(folder: Path) -> None:
    requests = [feed(1), feed(2, 3), feed(4)]
    replies = replica_of(folder).compute(requests)
    for request, reply in zip(requests, replies, strict=True):
        np.testing.assert_allclose(reply.outputs["logits"], request["x"] @ WEIGHTS, rtol=1e-5)
        assert reply.ended_ns >= reply.began_ns > 0
    assert [reply.batch for reply in replies] == [4, 0, 0]


async def test_a_request_of_many_items_is_a_batch_of_its_own(folder: Path) -> None:
    replica = replica_of(folder)
    reply = await replica(feed(1, 2, 3))
    assert reply.batch == 3
    np.testing.assert_allclose(reply.outputs["logits"], feed(1, 2, 3)["x"] @ WEIGHTS, rtol=1e-5)
