"""The k6 extension's own tests, in Go, with the toolchain that built it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_extension_passes_its_go_tests() -> None:
    go = shutil.which("go") or shutil.which("go", path=str(ROOT / ".podium/go/go/bin"))
    if go is None:
        pytest.skip("no Go toolchain; ./scripts/build-k6 fetches one where it needs it")
    # The flags of the build, so that what was compiled for it is used again.
    found = subprocess.run(
        [go, "test", "-trimpath", "-vet=off", "./..."],
        cwd=ROOT / "loadtest/xk6-hdr",
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "ok" in found.stdout
