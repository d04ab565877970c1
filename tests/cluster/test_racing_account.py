"""The account that a race gets on a cluster sees all that a race needs, the room for its pods too; another does not.

It has the cluster for itself: pods of other tests would take that room.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import ROOT, Kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("account", "code", "said"), [("podium-racer", 0, "5 pods"), ("default", 4, "may not do it")])
def test_the_racing_account_sees_all_that_a_race_needs(
    account: str, code: int, said: str, cluster: Kubectl, tmp_path: Path
) -> None:
    config = yaml.safe_load(cluster.run("config", "view", "--raw", "--minify", "--flatten").stdout)
    config["users"][0]["user"] = {"token": cluster.run("create", "token", account).stdout.strip()}
    config["contexts"][0]["context"]["namespace"] = "podium"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    words = ["race", "-f", "examples/food11.yaml", "--target", "cluster", "--profile", "quick", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "podium", *words, "--kubeconfig", str(path)],
        cwd=ROOT,
        env={**os.environ, "HELM_DRIVER": "configmap"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
