"""A root file system of Debian packages, where no registry gives a base image: Python and its libraries, nothing else.

mmdebstrap resolves and unpacks; what only installing or debugging needs is left out of the archive. Files belong
to root and have no date, so that the same packages give the same bytes.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from predictors.errors import BuildError

__all__ = ["copy", "is_wanted", "recipe_hash", "write_rootfs"]

_SUITE = "bookworm"
_PACKAGES = (
    "base-files",
    "ca-certificates",
    "libpython3.11-stdlib",
    "libstdc++6",
    "python3-minimal",
    "python3.11-minimal",
)
_HOST_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
# Scanners read this folder where there is no dpkg.
_STATUS = "var/lib/dpkg/status.d"
_HOOK = (
    f'mkdir -p "$1/{_STATUS}"; for deb in "$1"/var/cache/apt/archives/*.deb; do '
    f'dpkg-deb -f "$deb" >"$1/{_STATUS}/$(dpkg-deb -f "$deb" Package)"; done'
)
_CERTIFICATES = "usr/share/ca-certificates/mozilla/"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_UNWANTED = re.compile(
    r"(bin|sbin|usr/sbin)/.+"
    r"|usr/bin/(?!python3$|python3\.11$).+"
    r"|dev/.+"
    r"|etc/(alternatives|cron.*|debconf\.conf|default|dpkg|logrotate\.d|update-motd\.d)(/.*)?"
    r"|usr/share/(?!ca-certificates/|doc/[^/]+/copyright$|common-licenses/).+"
    r"|usr/lib/(dpkg|init|mime|tmpfiles\.d|x86_64-linux-gnu/(gconv|perl-base|krb5))(/.*)?"
    r"|usr/lib/python3\.11/(distutils|ensurepip|idlelib|lib2to3|test|tkinter|turtledemo)(/.*)?"
    r"|usr/lib/ssl/misc(/.*)?"
    r"|var/(backups|local|lock|mail|opt|run|spool)(/.*)?"
    r"|var/(cache|log|lib/(?!dpkg/status\.d(/|$))).+"
    # Of these nothing is left to be listed.
    r"|var/lib/dpkg/status\.d/(debconf|dpkg|mawk|tar)"
)
_USERS = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
_GROUPS = "root:x:0:\nnonroot:x:65532:\n"
_NAMES = "hosts: files dns\npasswd: files\ngroup: files\n"


def recipe_hash() -> str:
    """Return the digest of all that decides what is unpacked, except the packages' versions of the day."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def is_wanted(name: str) -> bool:
    """Return whether a path of the unpacked packages, without a leading slash, goes into the image."""
    return _UNWANTED.fullmatch(name.rstrip("/")) is None


def write_rootfs(target: Path) -> None:
    """Unpack the packages and write the image's files as one tar.

    Raises:
        BuildError: mmdebstrap is missing, or no Debian archive answers.
    """
    program = shutil.which("mmdebstrap")
    if program is None:
        raise BuildError("no registry is in reach and mmdebstrap is missing", "apt-get install mmdebstrap")
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked = target.with_suffix(".unpacked.tar")
    command = [program, "--variant=extract", f"--include={','.join(_PACKAGES)}", f"--extract-hook={_HOOK}"]
    command += [_SUITE, str(unpacked), *([str(_HOST_SOURCES)] if _HOST_SOURCES.is_file() else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
        if done.returncode != 0:
            told = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise BuildError("the Debian packages of the base image cannot be unpacked", told)
        partial = target.with_suffix(".part")
        with tarfile.open(unpacked) as source, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as out:
            copy(source, out)
        partial.replace(target)
    finally:
        unpacked.unlink(missing_ok=True)


def copy(source: tarfile.TarFile, out: tarfile.TarFile) -> None:
    """Copy what is wanted, in the order of names, and add what installing the packages would have made."""
    certificates = []
    for member in _sorted(source):
        name = member.name.removeprefix("./")
        if name.startswith(_CERTIFICATES) and member.isreg():
            certificates.append(_read(source, member))
        if not is_wanted(name) or member.isdev():
            continue
        out.addfile(_plain(member), source.extractfile(member) if member.isreg() else None)
    added = {_BUNDLE: b"".join(certificates), "etc/passwd": _USERS.encode(), "etc/group": _GROUPS.encode()}
    added["etc/nsswitch.conf"] = _NAMES.encode()
    for name, content in added.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        out.addfile(entry, io.BytesIO(content))


def _sorted(source: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    # Hard links come after what they point to.
    yield from sorted(source.getmembers(), key=lambda member: (member.islnk(), member.name))


def _read(source: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = source.extractfile(member)
    return stream.read().rstrip(b"\n") + b"\n" if stream else b""


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.pax_headers = {}
    return member
