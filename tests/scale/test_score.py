"""Two policies scored live: small pods under a step, played twice in turn, recorded, compared, and nothing left.

The same question goes on where it ended; what was recorded is scored again without the cluster.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from podium.scoring.card import card_of
from podium.scoring.record import ElasticRun, find_runs
from predictors.manifest import address_of, read_variant
from predictors.store import StoredVariant
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ALLOWED, ROOT, STANDARD, Kubectl
from tests.cluster.scaling import BEHAVIOR, COST
from tests.cluster.stock import stocked
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

_TURNS = 3
OURS = "isvc,deployments,pods,hpa,jobs,services,secrets,configmaps"
STEP = [{"rate": "3/s", "for": "10s"}, {"rate": "18/s", "for": "40s"}, {"rate": "3/s", "for": "20s"}]


@pytest.fixture
def stored(namespace: Kubectl, tmp_path: Path) -> Iterator[StoredVariant]:
    """Put an artifact whose requests cost something into the cluster's store."""
    folder = vector_artifact(tmp_path / "artifact", work=COST)
    variant, address = read_variant(folder), address_of(folder)
    place = f"{variant.model.name}/{address}"
    with stocked(namespace, {place: folder}) as root:
        yield StoredVariant(variant.id, address, root / place)


def write(folder: Path) -> None:
    profile = {
        "name": "small-step",
        "level": "quick",
        "protocol": "v2-json",
        "timeout": "5s",
        "budget": "10m",
        "phases": [{"kind": "warmup", "until": "settled", "atLeast": 5, "atMost": "1s"}],
        "stages": STEP,
        "confidence": 0.95,
    }
    (folder / "step.yaml").write_text(yaml.safe_dump(profile))
    for name, target in (("calm", 90), ("keen", 25)):
        policy = {
            "name": name,
            "kind": "hpa",
            "metric": "cpu",
            "target": target,
            "replicas": {"min": 1, "max": 4},
            "behavior": BEHAVIOR,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(policy))


def command(folder: Path, stored: StoredVariant, namespace: str, repeats: int) -> list[str]:
    words = [sys.executable, "-W", "ignore", "-m", "podium", "autoscale", "score", "-f", str(folder / "step.yaml")]
    words += ["--policy", str(folder / "calm.yaml"), "--policy", str(folder / "keen.yaml")]
    words += ["--variant", stored.id, "--store", str(stored.folder.parents[1]), "--node-class", "epyc"]
    # What a pod of 0.45 cores answers in time, of requests that take about 15 ms of a core.
    words += ["--slo", "p99<=500ms, errors<=1%", "--safe-rate", "10/s", "--cpu", "450m", "--memory", "256Mi"]
    words += ["--repeats", str(repeats), "-n", namespace, "--context", ALLOWED[0], "--kubeconfig", str(STANDARD)]
    return [*words, "--runs", str(folder / "runs"), "-o", "json"]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=1200, cwd=ROOT)


def left(namespace: Kubectl) -> list[str]:
    """Return what of ours is in a namespace; Kubernetes puts a ConfigMap of its own into each."""
    found = namespace.run("get", OURS, "-o", "name").stdout.split()
    return [name for name in found if not name.startswith("configmap/kube-root-ca")]


def play(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Play until every run counts: on a busy machine the generator is late, and the same command plays those again."""
    for _ in range(_TURNS):
        done = run(words)
        assert done.returncode == 0, done.stderr
        if all(one.void is None for one in records(folder)):
            break
    return done


def records(folder: Path) -> list[ElasticRun]:
    return find_runs([folder / "runs"])


def test_two_policies_are_scored_live_and_nothing_is_left(
    namespace: Kubectl, stored: StoredVariant, tmp_path: Path
) -> None:
    write(tmp_path)
    words = command(tmp_path, stored, namespace.namespace, repeats=2)
    done = play(words, tmp_path)
    told = json.loads(done.stdout)
    assert [one["policy"] for one in told["policies"]] == ["calm", "keen"]
    runs = records(tmp_path)
    # In turn, and backward the second time.
    assert [(one.policy, one.repeat) for one in runs] == [("calm", 1), ("keen", 1), ("keen", 2), ("calm", 2)]
    assert runs[0].generated.offered == runs[1].generated.offered
    for one in runs:
        assert one.void is None, one.passport
        assert one.scaled.ready[0] == 1
        # The watch saw all of it, and from its begin the autoscaler had a figure to decide by.
        assert not [trouble for trouble in one.troubles if trouble.what == "watch"], one.troubles
        assert not [trouble for trouble in one.troubles if trouble.what == "metrics" and trouble.at_s <= 0]
        assert one.readings[0].used is not None, one.readings
    keen = [card_of(one) for one in runs if one.policy == "keen"]
    for card in keen:
        assert card.score.most_ready >= 2
        starts = card.run.starts
        assert starts
        # Every mark of the first start was seen, and in its order.
        marks = [starts[0].wanted_s, starts[0].bound_s, starts[0].loaded_s, starts[0].ready_s]
        known = [mark for mark in marks if mark is not None]
        assert len(known) == len(marks), starts[0]
        assert known == sorted(known)
        assert starts[0].answered_s is not None, starts[0]
        assert card.run.pods[0].throttled is not None
        assert sum(pod.requests or 0 for pod in card.run.pods) > 0, card.run.pods
        assert [one.used for one in card.run.readings if one.used], card.run.readings
    assert left(namespace) == []
    # Nothing is played again, and without a cluster the figures are the same.
    (session,) = (tmp_path / "runs").iterdir()
    again = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "podium", "autoscale", "score", str(session), "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": "/nowhere"},
    )
    assert json.loads(again.stdout) == told
    assert (session / "index.html").is_file()


def test_ctrl_c_leaves_nothing_behind_and_the_finished_run_is_kept(
    namespace: Kubectl, stored: StoredVariant, tmp_path: Path
) -> None:
    write(tmp_path)
    words = command(tmp_path, stored, namespace.namespace, repeats=1)
    with (tmp_path / "said.txt").open("w") as said:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said, cwd=ROOT)
        try:
            eventually(lambda: "keen, repeat 1: playing" in (tmp_path / "said.txt").read_text(), 400, 1)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(180) == 130
        finally:
            process.kill()
            process.wait()
    assert time.monotonic() - began < 180
    assert left(namespace) == []
    assert [(one.policy, one.repeat) for one in records(tmp_path)] == [("calm", 1)]
    done = run(words)
    assert done.returncode == 0, done.stderr
    assert "going on with" in done.stderr
    assert [one.policy for one in records(tmp_path)] == ["calm", "keen"]
    assert left(namespace) == []
