"""The k6 scripts are type-checked: a misspelt function or option is found without playing a load."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "loadtest/k6"
PACKAGES = ("typescript@5.9.3", "@types/k6@2.3.0")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the compiler and k6's types, or skip: they are no part of what runs."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch TypeScript and @types/k6 with")
    folder = tmp_path_factory.mktemp("types")
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, *PACKAGES],
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("npm could not fetch TypeScript and @types/k6")
    return folder / "node_modules"


def problems(modules: Path, scripts: Path) -> str:
    command = [str(modules / ".bin/tsc"), "-p", str(scripts), "--typeRoots", str(modules / "@types")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout


def test_the_scripts_have_no_type_error(modules: Path) -> None:
    assert problems(modules, SCRIPTS) == ""


@pytest.mark.parametrize(
    ("file", "right", "wrong", "problem"),
    [
        ("user.js", "http.post(", "http.pots(", "Property 'pots' does not exist"),
        ("user.js", "done(answer.status)", "done(answer.body)", "is not assignable to parameter of type 'number'"),
        ("shot.js", "'per-vu-iterations'", "'per-vu-iteration'", "'\"per-vu-iteration\"' is not assignable"),
        ("shot.js", "maxRedirects", "maxRedirect", "'maxRedirect' does not exist"),
    ],
)
def test_a_slip_is_a_type_error(modules: Path, tmp_path: Path, file: str, right: str, wrong: str, problem: str) -> None:
    scripts = tmp_path / "k6"
    shutil.copytree(SCRIPTS, scripts)
    path = scripts / "lib" / file
    path.write_text(path.read_text().replace(right, wrong))
    assert problem in problems(modules, scripts)
