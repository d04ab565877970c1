"""Two whole races at once beside a variant that serves: each ends as if it were alone, and the service loses nothing.

The first is on its way when the second begins, on other nodes. The second is interrupted, which takes away what is its
own, and goes on; then the first ends, and does likewise.
"""

import json
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.easy_race import race_command
from podium.racefile import Race, read_race
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.probing import Seen, probing
from tests.cluster.releases import Helm, values_of
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

RACE_S, UP_S = 900.0, 300.0
INTERRUPTED = 130
# What is asked is whose objects are whose, on a machine that may be busy.
THRESHOLDS = "latenessP99: 500ms, achieved: 0.9, throttled: 1.0, generatorCpu: 1.0, little: 1.0, componentSum: 1.0"


@pytest.fixture
def served(cluster: Kubectl) -> Iterator[str]:
    """Let a small variant serve where races are, under a name of its own."""
    name = f"beside-{uuid.uuid4().hex[:6]}"
    shelf = ROOT / ".podium" / "store" / f"test-{name}"
    vector_artifact(shelf / "first")
    for path in (shelf, *shelf.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    alone = {"replicas": {"min": 1, "max": 1}, "autoscaling": {"enabled": False}, "pdb": {"enabled": False}}
    helm = Helm(cluster.namespace)
    try:
        chart = str(ROOT / "charts" / "variant")
        helm("install", name, chart, values=values_of(f"{shelf.name}/first", **alone))
        cluster.run("wait", f"isvc/{name}", "--for=condition=Ready", "--timeout=120s")
        yield name
    finally:
        helm("uninstall", name, "--wait")
        shutil.rmtree(shelf)


class Racing:
    """A race of one variant on one node class, started and started again."""

    def __init__(self, cluster: Kubectl, folder: Path, name: str, variant: str, node_class: str) -> None:
        folder.mkdir()
        self.cluster, self.folder, self.name = cluster, folder, name
        # Blocks are long, so that the second race comes while the first is far from its end.
        self.command = race_command(
            folder, name, variant, rate=20, budget="12m", thresholds=THRESHOLDS, node_class=node_class, block="30s"
        )

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "said").open("ab") as said:
            return subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said)

    @property
    def label(self) -> str:
        """Return the label of the newest race; empty where none has begun."""
        found = sorted((self.folder / "runs").glob(f"{self.name}-*"))
        return f"r{found[-1].name.rpartition('-')[2]}" if found else ""

    def has(self) -> dict[str, str]:
        """Return the service and the load generators of the race that are up, with their identities."""
        if not self.label:
            return {}
        found = self.cluster.get("isvc,jobs,pods", "-l", f"podium.dev/race={self.label}")["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def is_loaded(self) -> bool:
        """Return whether a run has been recorded, before which not everything is up."""
        return bool(list((self.folder / "runs").glob(f"{self.name}-*/*/*/[0-9]*.json")))

    def result(self) -> Race:
        return read_race((self.folder / "runs" / "latest").resolve())


def test_races_at_once_and_what_serves_do_not_touch_each_other(
    cluster: Kubectl, served: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    first = Racing(cluster, tmp_path / "first", "first", "openvino-int8", "epyc")
    second = Racing(cluster, tmp_path / "second", "second", "ort-fp32", "a100")
    uid = cluster.get("isvc", served)["metadata"]["uid"]
    running: list[subprocess.Popen[bytes]] = []
    try:
        with probing(cluster, served) as probe:
            running.append(first.start())
            eventually(first.is_loaded, UP_S, 0.5)
            running.append(second.start())
            eventually(second.is_loaded, UP_S, 0.5)
            assert running[0].poll() is None, "the races were not at once"
            own = first.has()
            assert own
            assert not set(own) & set(second.has())
            # Ctrl-C: the second takes away all that it has, and nothing else.
            running[1].send_signal(signal.SIGINT)
            assert running[1].wait(UP_S) == INTERRUPTED
            eventually(lambda: second.has() == {}, 120, 1)
            assert own.items() <= first.has().items()
            assert running[0].poll() is None, "the races were not at once"
            running.append(second.start())
            assert running[0].wait(RACE_S) == 0
            eventually(lambda: first.has() == {}, 120, 1)
            # Only emulated figures: shown, and nobody's victory.
            assert running[2].wait(RACE_S) == 4
            eventually(lambda: second.has() == {}, 120, 1)
            seen = Seen.read(cluster, probe)
    finally:
        for process in running:
            process.terminate()
            process.wait()
    assert [entry.status for entry in first.result().variants] == ["PASS"]
    assert [(entry.status, entry.emulated) for entry in second.result().variants] == [("PASS", True)]
    assert cluster.get("isvc", served)["metadata"]["uid"] == uid
    record_property("beside", json.dumps({"asked": seen.sent, "failed": seen.failed, "worst_ms": seen.worst_ms}))
    assert seen.failed == 0, seen
    assert seen.sent > 1000
