"""The clients that people have, in a folder that a pod runs them from: those of this environment, with all they need.

Our images hold none of them and need none. A volume does: the packages are pure Python or wheels for the same Python as
the images'; curl comes with its libraries and its loader.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["gather", "link"]

ROOTS = ("kserve", "tritonclient", "geventhttpclient", "grpcio", "protobuf")
# A program's interpreter, as `readelf` would tell it, and the libraries that `ldd` finds for it.
_LIBRARY = re.compile(r"(/\S+\.so\S*)")


def gather(folder: Path) -> Path:
    """Fill a folder with `site` (packages), `curl` (a program with its libraries) and `speak.py`; return it."""
    site = folder / "site"
    for found in closure(ROOTS):
        for file in found.files or ():
            place = Path(str(found.locate_file(file))).resolve()
            # Scripts of a package lie outside of its site folder.
            if ".." not in file.parts and place.is_file() and "__pycache__" not in file.parts:
                link(place, site / file)
    program = folder / "curl"
    curl = shutil.which("curl")
    if curl is not None:
        link(Path(curl).resolve(), program / "curl")
        listed = subprocess.run(["ldd", curl], capture_output=True, text=True, check=True).stdout
        for library in _LIBRARY.findall(listed):
            link(Path(library).resolve(), program / Path(library).name)
    shutil.copy2(Path(__file__).parents[1] / "contract" / "speak.py", folder / "speak.py")
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    return folder


def closure(names: tuple[str, ...]) -> Iterator[Distribution]:
    """Yield the distributions of these names and all that they need, each once."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        yield found
        for text in found.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)


def link(source: str | Path, target: str | Path) -> None:
    """Give a file another name, or copy it where that cannot be; everybody can read what is there then."""
    source, target = Path(source), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    if not source.stat().st_mode & 0o004:
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        return
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
