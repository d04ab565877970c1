"""`python -m k8s.airgap.tools NAME...`: puts programs that Podium needs anywhere, such as helm, into `.podium/bin`.

What is on the path already, and new enough, is left alone.
"""

import os
import shutil
import sys
from pathlib import Path

from k8s.airgap import cache, golang, versions
from k8s.airgap.shell import on_path, run, say
from podium.errors import PodiumError

__all__ = ["find", "install", "is_on_path"]

BIN = versions.ROOT / ".podium" / "bin"


def find(name: str, pins: versions.Versions) -> Path | None:
    """Return the program of that name on the path if it is as new as `versions.yaml` asks, else None."""
    found = on_path(name)
    if found is None or name not in pins.at_least:
        return None
    question = ["version", "--client"] if name == "kubectl" else ["version"]
    said = run([found, *question], what=f"The version of {found}")
    return found if versions.is_at_least(said, pins.at_least[name]) else None


def is_on_path(name: str, pins: versions.Versions) -> bool:
    """Return whether the path has a program of that name that is as new as `versions.yaml` asks."""
    return find(name, pins) is not None


def install(name: str, pins: versions.Versions, store: cache.Cache, folder: Path = BIN, alias: str = "") -> Path:
    """Put a program into a folder, built where no cache has it, and return its path.

    The file there bears the alias, if there is one: hyperkube called kubectl is kubectl.

    Raises:
        MachineError: it cannot be built here.
    """
    made = golang.obtain(golang.PROGRAMS[name], pins, store)
    target = folder / (alias or name)
    if target.exists() and made.samefile(target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{target.name}.{os.getpid()}"
    try:
        part.hardlink_to(made)
    except OSError:
        shutil.copy2(made, part)
    part.replace(target)
    return target


def main(names: list[str]) -> int:
    """Install the named programs; return the exit code."""
    unknown = [name for name in names if name not in golang.PROGRAMS]
    if unknown or not names:
        say(f"tools: name some of {', '.join(sorted(golang.PROGRAMS))}")
        return 2
    store = cache.Cache(work=versions.ROOT / ".podium" / "airgap", outside=cache.default_folder())
    try:
        pins = versions.load()
        for name in names:
            if not is_on_path(name, pins):
                say(f"tools: {install(name, pins, store)}")
    except PodiumError as error:
        say(f"tools: {error}\n  → {error.hint}")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
