"""Programs that come as wheels: installed from a requirements file with hashes, into a folder of their own."""

import shutil
from pathlib import Path

from k8s.airgap import versions
from k8s.airgap.shell import run


def install(pins: Path, folder: Path, *, what: str) -> None:
    """Install what a hashed requirements file names.

    Raises:
        MachineError: it could not be installed; what uv said is in the hint.
    """
    uv = shutil.which("uv") or str(versions.ROOT / ".podium" / "uv" / "bin" / "uv")
    python = versions.ROOT / ".venv" / "bin" / "python"
    asked: list[str | Path] = ["--target", folder, "--require-hashes", "-r", pins]
    run([uv, "pip", "install", "--quiet", "--python", python, *asked], what=what)
