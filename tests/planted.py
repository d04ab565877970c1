"""A planted secret and the search for it: in every file below a folder, in plain and in the usual disguises."""

from __future__ import annotations

import base64
import json
import secrets
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

__all__ = ["PLACES", "hits", "plant"]

# Variables that tools and clouds read secrets from, and one that nobody knows.
PLACES = (
    *("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GITHUB_TOKEN", "KUBE_TOKEN", "NPM_TOKEN", "PGPASSWORD"),
    *("PODIUM_TEST_SECRET", "OTEL_EXPORTER_OTLP_HEADERS"),
)


def plant() -> tuple[str, Mapping[str, str]]:
    """Return a secret, and an environment that has it under many names and in the login of a proxy."""
    mark = f"hunter2-{secrets.token_hex(12)}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), f"http://me:{mark}@proxy.invalid:3128")
    return mark, {**dict.fromkeys(PLACES, mark), **proxies, "NO_PROXY": "127.0.0.1,localhost"}


def hits(mark: str, *places: Path | str | bytes) -> list[str]:
    """Return where a secret is: files below folders, and texts by their number."""
    found = []
    for number, place in enumerate(places):
        if isinstance(place, Path):
            found += [str(path) for path in sorted(_files(place)) if _holds(path.read_bytes(), mark)]
        elif _holds(place.encode() if isinstance(place, str) else place, mark):
            found.append(f"text {number}")
    return found


def _files(place: Path) -> Iterator[Path]:
    yield from (path for path in [place, *place.rglob("*")] if path.is_file())


def _holds(content: bytes, mark: str) -> bool:
    plain = mark.encode()
    # Whole groups of three bytes, wherever the secret begins in what was encoded.
    encoded = [base64.b64encode(plain[skip : skip + (len(plain) - skip) // 3 * 3]) for skip in range(3)]
    forms = [plain, quote(mark).encode(), plain.hex().encode(), json.dumps(mark)[1:-1].encode(), plain[::-1], *encoded]
    if any(form in content for form in forms):
        return True
    return content[:2] == b"\x1f\x8b" and plain in zlib.decompress(content, 31)
