"""What this tier needs: k6 with our extension, and a core each for the generator and the server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtest.errors import GeneratorError
from loadtest.k6 import find_k6
from loadtest.payloads import PayloadSet
from loadtest.profile import Profile, load_profile
from loadtest.shot import Endpoint
from loadtest.vegeta import find_vegeta
from tests.loads import payloads
from tests.needs import lack
from tests.priority import going_first
from tests.virtual import Arena

CORES = sorted(os.sched_getaffinity(0))
GENERATOR_CORES = frozenset(CORES[:1])

Serve = Callable[..., Endpoint]


@pytest.fixture(autouse=True, scope="session")
def _priority() -> Iterator[None]:
    """Let the generator and the server go first."""
    with going_first():
        yield


@pytest.fixture(scope="session")
def k6() -> Path:
    try:
        return find_k6()
    except GeneratorError as error:
        lack("truth", f"{error}; {error.hint}")
        raise


@pytest.fixture(scope="session")
def vegeta() -> Path:
    try:
        return find_vegeta()
    except GeneratorError as error:
        lack("truth", f"{error}; {error.hint}")
        raise


@pytest.fixture
def bodies(tmp_path: Path) -> PayloadSet:
    return payloads(tmp_path / "payloads", 5)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers with known service times on the last core; the options are those of `queue_server.py`."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**options: float) -> Endpoint:
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
        script = Path(__file__).with_name("queue_server.py")
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, CORES[-1:])
        try:
            process = subprocess.Popen([sys.executable, str(script), *words], stdout=subprocess.PIPE)
        finally:
            os.sched_setaffinity(0, before)
        running.append(process)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        return Endpoint(f"http://127.0.0.1:{port}", "grpc" if options.get("grpc") else "v1-image", "pie")

    yield start
    for process in running:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Return the profile that virtual races play."""
    return load_profile("quick")


@pytest.fixture(scope="module")
def arena(profile: Profile) -> Iterator[Arena]:
    """Races in virtual time, by the shipped profile `quick`."""
    one = Arena(profile)
    yield one
    one.close()
