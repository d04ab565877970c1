"""House rules that a reader relies on: file sizes, module names, folders, no index address in a tracked file."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARD_CEILING = 400
BANNED = {"utils", "helpers", "common", "manager", "handler"}
# Put together here, so that this file passes its own rule.
HOSTS = [".".join(words) for words in (("pypi", "org"), ("proxy", "golang", "org"), ("deb", "debian", "org"))]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.exists()]


def test_no_source_file_is_longer_than_the_ceiling() -> None:
    files = tracked("*.py", "*.go", "*.js")
    assert len(files) > 100
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in long.items() if lines > HARD_CEILING} == {}


def test_modules_are_named_after_a_noun() -> None:
    assert {path.name for path in tracked("*.py") if path.stem in BANNED} == set()


@pytest.mark.parametrize("name", ["predictors", "loadtest", "scripts", "tests", "k8s", "examples", "podium"])
def test_the_folder_exists(name: str) -> None:
    assert (ROOT / name).is_dir()


def test_scripts_are_short_and_executable() -> None:
    for path in tracked("scripts/*"):
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        assert path.stat().st_mode & 0o111, path.name
        assert len(lines) <= 45, path.name
        assert "set -eu" in path.read_text(), path.name


def test_no_tracked_text_names_a_package_index() -> None:
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        assert not [host for host in HOSTS if host in text], path.name


def test_requirements_are_pinned_with_hashes_and_no_index() -> None:
    for path in tracked("requirements/*.txt"):
        text = path.read_text()
        pins = re.findall(r"^([A-Za-z0-9][^ =]*)==", text, flags=re.MULTILINE)
        assert pins, path.name
        assert "--index" not in text
        blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
        assert all("--hash=sha256:" in block for block in blocks if block.strip()), path.name
