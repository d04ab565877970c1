"""Where protobuf is not installed the server leaves gRPC out, and says so only to who asked for it."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from predictors.errors import PredictorError
from predictors.server import process
from predictors.server.settings import Settings


def settings(grpc: bool | None) -> Settings:
    return Settings(variant="x", cpus=1, grpc=grpc)


@pytest.fixture(params=["google", "google.protobuf"])
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == request.param else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.usefixtures("without")
def test_it_is_left_out_unless_somebody_asks() -> None:
    assert not process._has_grpc(settings(None))
    assert not process._has_grpc(settings(False))
    with pytest.raises(PredictorError, match="is not installed"):
        process._has_grpc(settings(True))


def test_it_is_there_where_it_is_installed() -> None:
    assert process._has_grpc(settings(None))
    assert process._has_grpc(settings(True))
    assert not process._has_grpc(settings(False))
