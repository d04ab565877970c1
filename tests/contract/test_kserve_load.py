"""A load of `KServeModel` that fails leaves nothing behind."""

import threading
from pathlib import Path

import pytest

from predictors.errors import WorkerError
from predictors.server.decoder.keeper import Decoder
from predictors.server.kserve_model import KServeModel
from tests.artifacts import image_artifact
from tests.eventually import eventually


def decoders() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "decoder"]


def test_a_load_without_a_decoder_leaves_none_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(self: Decoder) -> None:
        raise WorkerError("images cannot be decoded", "give it room for one more process")

    model = KServeModel("tiny", str(image_artifact(tmp_path / "artifact")), cpus=1)
    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "wait", lost)
        with pytest.raises(WorkerError, match="cannot be decoded"):
            model.load()
    eventually(lambda: not decoders())
    assert not model.ready
    assert model.load()
    # The control: a load that succeeds has one until it is stopped.
    assert decoders() == ["decoder"]
    model.stop()
    eventually(lambda: not decoders())
