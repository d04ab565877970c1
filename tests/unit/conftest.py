"""What several files of unit tests begin with: models that are served, and the folder of a finished race.

Most files need neither, so what makes them is imported on use.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from predictors.server.model import ServedModel


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model of four numbers."""
    from tests.artifacts import served_model, vector_artifact

    return served_model(vector_artifact(tmp_path_factory.mktemp("vector")))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """A model of gray images."""
    from tests.artifacts import image_artifact, served_model

    return served_model(image_artifact(tmp_path_factory.mktemp("image")))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished race, to be read only."""
    from tests import racefolders, races

    folder = tmp_path_factory.mktemp("race")
    racefolders.write_finished(folder, *races.unloaded())
    return folder


@pytest.fixture
def race_folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "race"))
