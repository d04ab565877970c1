"""What several files of unit tests begin with: models that are served, and the folder of a finished race."""

import shutil
from pathlib import Path

import pytest

from predictors.server.model import ServedModel
from tests import racefolders, races
from tests.artifacts import image_artifact, served_model, vector_artifact


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model of four numbers."""
    return served_model(vector_artifact(tmp_path_factory.mktemp("vector")))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model of gray images."""
    return served_model(image_artifact(tmp_path_factory.mktemp("image")))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished race, to be read only."""
    folder = tmp_path_factory.mktemp("race")
    racefolders.write_finished(folder, *races.unloaded())
    return folder


@pytest.fixture
def race_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "race"))
