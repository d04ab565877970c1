"""A step of load from inside the cluster makes one pod three and one again, and no request is lost on the way.

The long form, five runs with their timelines, is benchmarks/autoscaling.py.
"""

from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT, Kubectl
from tests.cluster.load import loading
from tests.cluster.releases import Helm, shelved
from tests.cluster.scaling import NAME, artifact_of, scaling_values, step

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

STEPS = [(4.0, 5.0), (20.0, 40.0), (4.0, 20.0)]


def test_a_step_of_load_makes_three_pods_and_one_again_without_a_loss(namespace: Kubectl, tmp_path: Path) -> None:
    with shelved(namespace, artifact_of(tmp_path / "artifact")) as artifact, loading(namespace, tmp_path) as load:
        Helm(namespace.namespace)("install", NAME, str(ROOT / "charts" / "variant"), values=scaling_values(artifact))
        namespace.run("wait", f"isvc/{NAME}", "--for=condition=Ready", "--timeout=90s")
        scaled = step(namespace, load, STEPS, back_s=60)
    assert scaled.seen.is_whole
    assert scaled.most >= 3, scaled.looks
    assert scaled.seen.lost == 0, scaled.seen
