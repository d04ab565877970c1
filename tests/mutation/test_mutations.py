"""Do the tests notice faults? Each mutation is applied to a copy of the tree, and its tests must then fail.

The working tree is never touched. The control runs the same tests on an unchanged copy and they must pass, so that
a test that always fails proves nothing here.
"""

import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mutation.mutations import MUTATIONS, Mutation

pytestmark = [pytest.mark.mutation, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
COPIED = ("loadtest", "podium", "predictors", "tests", "examples", "k8s", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "xk6-hdr", "*.safetensors", ".hypothesis", "node_modules", "*.png")
WORKERS = 2
LEAST_CAUGHT = 26
FAILED, PASSED = 1, 0


def copy_tree(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        elif source.is_file():
            shutil.copy2(source, folder / name)
    return folder


def run_tests(tree: Path, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run test files in a tree that imports its own packages, quickly and the same way each time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *tests]
    # Without bytecode: a fault put in within the same second as the last one has the same time stamp.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    environment.pop("COVERAGE_PROCESS_START", None)
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=900)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> "queue.Queue[Path]":
    folder = tmp_path_factory.mktemp("mutation")
    found: queue.Queue[Path] = queue.Queue()
    for number in range(WORKERS):
        found.put(copy_tree(folder / f"tree{number}"))
    return found


def outcome(mutation: Mutation, trees: "queue.Queue[Path]") -> tuple[int, str]:
    """Return pytest's exit status on the mutated copy, and its last lines."""
    tree = trees.get()
    file = tree / mutation.file
    text = file.read_text(encoding="utf-8")
    try:
        file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        finished = run_tests(tree, mutation.tests)
    finally:
        file.write_text(text, encoding="utf-8")
        trees.put(tree)
    return finished.returncode, "\n".join(finished.stdout.splitlines()[-5:] + finished.stderr.splitlines()[-5:])


def test_there_are_twenty_eight_and_every_old_text_stands_exactly_once() -> None:
    assert len(MUTATIONS) == 28
    assert len({(one.file, one.old, one.new) for one in MUTATIONS}) == 28
    for mutation in MUTATIONS:
        text = (ROOT / mutation.file).read_text(encoding="utf-8")
        assert text.count(mutation.old) == 1, mutation.name
        compile(text.replace(mutation.old, mutation.new), mutation.file, "exec")
    touched = {mutation.file for mutation in MUTATIONS}
    assert {"loadtest/verdict.py", "loadtest/histogram.py", "podium/submission.py"} <= touched


def test_the_unchanged_copy_passes_and_tests_its_own_packages(trees: "queue.Queue[Path]") -> None:
    tree = trees.get()
    try:
        files = sorted({test for mutation in MUTATIONS for test in mutation.tests})
        finished = run_tests(tree, files)
        program = "import loadtest, podium; print(loadtest.__file__, podium.__file__)"
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        where = subprocess.run(
            [sys.executable, "-c", program], cwd=tree, env=environment, capture_output=True, text=True, check=True
        )
    finally:
        trees.put(tree)
    assert finished.returncode == PASSED, finished.stdout[-2000:]
    assert all(path.startswith(str(tree)) for path in where.stdout.split())


def test_the_tests_catch_the_mutations(trees: "queue.Queue[Path]") -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(lambda mutation: outcome(mutation, trees), MUTATIONS))
    broken = [f"{one.name}: {text}" for one, (status, text) in zip(MUTATIONS, results, strict=True) if status > FAILED]
    survivors = [one.name for one, (status, _) in zip(MUTATIONS, results, strict=True) if status == PASSED]
    assert broken == []
    assert len(MUTATIONS) - len(survivors) >= LEAST_CAUGHT, survivors
    print(f"caught {len(MUTATIONS) - len(survivors)} of {len(MUTATIONS)}; survivors: {survivors or 'none'}")  # noqa: T201
