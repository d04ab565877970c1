"""The folder that one `docker build` sees: packages, our code, programs and the bill of materials.

The packages are installed here, on the host and with the host's own package index, from hashed requirements and wheels
only. So a build needs no network, and neither an index nor an installer is ever in an image or in its history.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from predictors.errors import BuildError
from predictors.images.catalog import ROOT, Image
from predictors.images.content import BIN, code
from predictors.images.sbom import Component, bill, debian_components, python_components

__all__ = ["assemble", "find_uv", "is_surplus"]

_PYTHON = "3.11"
_SURPLUS_FOLDERS = {"tests", "include"}
_SURPLUS_SUFFIXES = {".pyi", ".h", ".hpp", ".a", ".lib", ".cmake", ".pxd", ".pyx"}
_STAMP = "packages.stamp"
_MODULES = {"k6": ("go.k6.io/k6/v2", "loadtest/xk6-hdr/go.mod")}
_MODULES["vegeta"] = ("github.com/tsenart/vegeta/v12", "loadtest/xk6-hdr/tools/go.mod")


def assemble(image: Image, folder: Path, *, tag: str, debian: str, version: str, root: Path = ROOT) -> None:
    """Put the build context of an image together, reusing the packages that lie there already.

    Args:
        image: which.
        folder: of the context; made if missing.
        tag: of the image, for its bill.
        debian: dpkg's status of the base.
        version: of this project.
        root: of the project.

    Raises:
        BuildError: An input is missing, or the packages cannot be installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _install(root / image.requirements, folder, image.without)
    own, programs = _emptied(folder / "code"), _emptied(folder / "programs")
    for name in code(image, root):
        _copy(root / name, own / name, 0o644)
    for program in image.programs:
        _copy(root / BIN / program, programs / program, 0o755)
    if not image.launcher:
        (programs / "python").symlink_to("/usr/bin/python3")
    else:
        source, name = image.launcher
        _copy(root / source, programs / name, 0o755)
    parts = {*python_components(folder / "packages"), *debian_components(debian), *_programs(image, root)}
    parts.add(Component("podium", "podium", version, "Apache-2.0"))
    (folder / "sbom.json").write_text(bill(image.name, tag, parts), encoding="utf-8")


def find_uv(root: Path = ROOT) -> str:
    """Return uv: the one on the path, else the one that `scripts/setup` fetched.

    Raises:
        BuildError: There is none.
    """
    own = root / ".podium/uv/bin/uv"
    found = shutil.which("uv") or (str(own) if own.is_file() else None)
    if found is None:
        raise BuildError("there is no uv to install packages with", "run ./scripts/setup")
    return found


def is_surplus(path: Path, without: Sequence[str] = ()) -> bool:
    """Return whether a package's file is of no use to a program that only runs it, or fits one of `without`."""
    if path.suffix in _SURPLUS_SUFFIXES or not _SURPLUS_FOLDERS.isdisjoint(path.parts[:-1]):
        return True
    whole = path.as_posix()
    return any(whole.startswith(part) if part.endswith("/") else path.match(part) for part in without)


def _install(requirements: Path, folder: Path, without: Sequence[str]) -> None:
    rules = "\0".join(without).encode()
    wanted = hashlib.sha256(requirements.read_bytes() + Path(__file__).read_bytes() + rules).hexdigest()
    stamp, packages = folder / _STAMP, folder / "packages"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(packages, ignore_errors=True)
    command = [find_uv(), "pip", "install", "--quiet", "--target", str(packages), "--python-version", _PYTHON]
    command += ["--python-platform", f"{platform.machine()}-manylinux_2_28", "--only-binary", ":all:", "--no-deps"]
    command += ["--require-hashes", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        told = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise BuildError(f"the packages of {requirements.name} cannot be installed", told)
    for path in sorted(path for path in packages.rglob("*") if path.is_file()):
        if is_surplus(path.relative_to(packages), without):
            path.unlink()
    shutil.rmtree(packages / "bin", ignore_errors=True)
    # An empty folder could still be imported.
    for folder_left in sorted((path for path in packages.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder_left.iterdir()):
            folder_left.rmdir()
    (packages / ".lock").unlink(missing_ok=True)
    stamp.write_text(wanted)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)
    os.utime(target, (0, 0))


def _programs(image: Image, root: Path) -> Iterator[Component]:
    for program in image.programs:
        module, pins = _MODULES[program]
        found = re.search(
            rf"^\s*(?:require )?{re.escape(module)} (v\S+)", (root / pins).read_text(), flags=re.MULTILINE
        )
        yield Component("golang", module, found[1] if found else "unknown")
