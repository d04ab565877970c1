"""`podium bench` against a server that asks for keys: the key is sent, and nothing that is left or listed shows it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.records import read_record
from predictors.server.keys import line_of, new_key
from tests.contract.server import Server, started
from tests.contract.test_bench import PROFILE
from tests.eventually import eventually
from tests.needs import lack
from tests.planted import hits

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with payloads of two protocols, a profile, a key and the file of keys."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "bodies").mkdir()
    (folder / "bodies" / "one.json").write_text(json.dumps({"instances": [[0.0, 1.0, 0.0, 0.0]]}))
    (folder / "brief.yaml").write_text(PROFILE.replace("blocks: 2,", "blocks: 1,"))
    key = new_key()
    (folder / "mine.key").write_text(key + "\n")
    (folder / "other.key").write_text(new_key())
    (folder / "keys").write_text(line_of("vision", key))
    return folder


@pytest.fixture(scope="module")
def serving(vector_folder: Path, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with keys on the last core, so that the generator has the others."""
    try:
        find_k6()
    except GeneratorError as error:
        lack("truth", f"{error}; {error.hint}")
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("a bench needs a core for the server and one for the generator")
    os.sched_setaffinity(0, {max(cores)})
    try:
        log = tmp_path_factory.mktemp("log") / "server.log"
        server = started(vector_folder, log, "--keys", str(place / "keys"))
    finally:
        os.sched_setaffinity(0, cores)
    yield server
    server.stop()
    if server.process.stdout is not None:
        server.process.stdout.close()


def words(serving: Server, place: Path, runs: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-W", "ignore", "-m", "podium", "bench", f"http://127.0.0.1:{serving.http_port}"),
        *("--model", "tiny", "--rate", "100", "--runs", str(runs)),
        *("--profile", str(place / "brief.yaml"), "--payloads", str(place / "bodies"), *more),
    ]


def shown(secret: bytes) -> list[str]:
    """Return the processes whose command line or environment has a secret."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                if secret in (place / name).read_bytes():
                    found.append(f"{name} of {place.name}")
            except OSError:
                continue  # it has ended, or is not ours to look at
    return found


def test_a_bench_sends_a_key_that_nothing_shows(serving: Server, place: Path, tmp_path: Path) -> None:
    key = (place / "mine.key").read_text().strip()
    command = words(serving, place, tmp_path / "runs", "--key-file", str(place / "mine.key"), "-o", "json")
    seen: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def looked() -> bool:
            seen.extend(shown(key.encode()))
            return process.poll() is not None

        eventually(looked, 240)
        out, err = process.communicate(timeout=60)
    # On a machine that is too restless, its runs may be void, which is 6.
    assert process.returncode in {0, 6}, err
    records = [read_record(path) for path in (tmp_path / "runs").rglob("[0-9]*-*.json")]
    assert sum(record.codes.get("200", 0) for record in records) > 0
    assert not any("401" in record.codes for record in records)
    assert seen == []
    assert hits(key, tmp_path / "runs", out, err, serving.log) == []
    # The control: a process that is told a key by its arguments shows it.
    hint = [sys.executable, "-c", "import sys; print(); sys.stdin.read()", key]
    with subprocess.Popen(hint, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as telling:
        assert telling.stdout is not None
        telling.stdout.readline()
        assert shown(key.encode()) == [f"cmdline of {telling.pid}"]
        telling.communicate()


@pytest.mark.parametrize(
    ("more", "said"),
    [((), "answers 401"), (("--key-file", "other.key"), "answers 401"), (("--key-file", "none.key"), "cannot be read")],
)
def test_a_bench_without_the_right_key_says_so_before_it_begins(
    serving: Server, place: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    more = tuple(str(place / word) if word.endswith(".key") else word for word in more)
    command = words(serving, place, tmp_path / "runs", *more)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert hits((place / "other.key").read_text(), done.stdout, done.stderr) == []
    assert not (tmp_path / "runs").exists()
