"""The tests of what is written in Go, with the toolchain that builds it: the k6 extension, the policies' enforcer."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", ["loadtest/xk6-hdr", "k8s/airgap/go/netpol"])
def test_a_module_passes_its_go_tests(module: str) -> None:
    go = shutil.which("go") or shutil.which("go", path=str(ROOT / ".podium/go/go/bin"))
    if go is None:
        pytest.skip("no Go toolchain; ./scripts/build-k6 fetches one where it needs it")
    # The flags of the build, so that what was compiled for it is used again.
    found = subprocess.run(
        [go, "test", "-trimpath", "-vet=off", "./..."],
        cwd=ROOT / module,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "ok" in found.stdout
