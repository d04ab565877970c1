"""The wheel in an environment that holds its base dependencies and nothing else, outside the clone.

Nothing is fetched: the packages are those of this environment, linked into a folder of their own, and Python is
started without its site-packages.
"""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

import pytest

from tests.modelfolders import mnist_folder
from tests.submissions import GOOD, write_submission

ROOT = Path(__file__).parents[2]


def needed(dist: Distribution) -> dict[str, Distribution]:
    """Return the distributions that `dist` needs without any extra, and those that they need."""
    found: dict[str, Distribution] = {}
    for requirement in dist.requires or ():
        name = re.split(r"[<>=!~\[; ]", requirement)[0].lower()
        if "extra ==" in requirement or name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform or another Python
        found |= needed(found[name])
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel and links to the packages that it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=200)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (metadata,) = site.glob("*.dist-info")
    for dist in needed(PathDistribution(metadata)).values():
        for top in {file.parts[0] for file in dist.files or () if file.parts[0] not in {"..", "__pycache__"}}:
            if not (site / top).exists():
                (site / top).symlink_to(str(dist.locate_file(top)))
    return site


def podium(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-S", "-m", "podium", *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_only_the_base_dependencies_are_there(site: Path, tmp_path: Path) -> None:
    names = {path.name for path in site.iterdir()}
    assert {"podium", "predictors", "loadtest", "numpy", "pydantic", "typer"} <= names
    assert not {"torch", "onnxruntime", "scipy", "granian", "pytest"} & names
    assert podium(site, tmp_path, "--version").stdout.startswith("podium ")


def test_the_doctor_runs_and_says_what_is_missing(site: Path, tmp_path: Path) -> None:
    done = podium(site, tmp_path, "doctor")
    assert done.returncode == 4
    assert done.stderr == ""
    assert "pip install 'podium[bench]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_dry_run_prints_the_plan(site: Path, tmp_path: Path) -> None:
    mnist_folder(tmp_path / "models" / "mnist")
    path = write_submission(tmp_path, text=GOOD.replace("food11", "mnist"))
    done = podium(site, tmp_path, "race", "-f", path.name, "--profile", "quick", "--dry-run")
    assert done.returncode == 0, done.stderr
    for variant in ("mnist-torch-fp32", "mnist-ort-fp32", "mnist-ort-int8", "mnist-openvino-int8"):
        assert variant in done.stdout


def test_node_classes_and_schemas_come_with_it(site: Path, tmp_path: Path) -> None:
    done = podium(site, tmp_path, "get", "classes", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert '"epyc"' in done.stdout
    for chart in ("variant", "platform", "loadtest"):
        folder = site / "podium" / "data" / "charts" / chart
        assert (folder / "values.schema.json").is_file()
        assert {path.name for path in (folder / "templates").iterdir()} >= {
            "_helpers.tpl",
            "_validate.tpl",
            "NOTES.txt",
        }
    assert (site / "podium/data/overlays/kind/node-classes/a100.yaml").is_file()
    for name in ("podium/schemas/submission.json", "predictors/schemas/model.json", "loadtest/schemas/run.json"):
        assert (site / name).is_file()


def test_a_command_that_needs_an_extra_names_it(site: Path, tmp_path: Path) -> None:
    done = podium(site, tmp_path, "get", "runs")
    assert done.returncode == 4
    assert done.stderr.startswith("error: this command needs the Python package ")
    assert "→ pip install 'podium[bench]'" in done.stderr


def test_a_race_without_its_extra_is_refused_before_anything_is_made(site: Path, tmp_path: Path) -> None:
    mnist_folder(tmp_path / "models" / "mnist")
    path = write_submission(tmp_path, text=GOOD.replace("food11", "mnist"))
    before = set(tmp_path.rglob("*"))
    done = podium(site, tmp_path, "race", "-f", path.name, "--profile", "quick")
    assert done.returncode == 4
    assert "→ pip install 'podium[bench]'" in done.stderr
    assert set(tmp_path.rglob("*")) == before
