"""What is asked of a process in a pod: the same program finds much wrong with this one; each breach has its row."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cluster.containment import LOOK, breaches

pytestmark = pytest.mark.unit

CONTAINED = {
    "status": {"Uid": "65532\t65532\t65532\t65532", "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
    | {"Seccomp": "2"},
    "tried": {"another user": "PermissionError", "a raw socket": "PermissionError"},
    "writable": [],
    "token": False,
}


@pytest.mark.control("S3")
def test_a_process_without_walls_is_seen_to_have_none() -> None:
    done = subprocess.run([sys.executable, "-IS", "-c", LOOK], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert any(text.startswith(("NoNewPrivs", "Seccomp")) for text in breaches(found)["S3"])


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"writable": ["/app"]}, "S2"),
        ({"token": True}, "S4"),
        ({"tried": {"a raw socket": ""}}, "S3"),
        ({"status": CONTAINED["status"] | {"CapEff": "0000000000002000"}}, "S3"),  # type: ignore[operator]
        ({"status": CONTAINED["status"] | {"Seccomp": "0"}}, "S3"),  # type: ignore[operator]
        ({"status": CONTAINED["status"] | {"NoNewPrivs": "0"}}, "S3"),  # type: ignore[operator]
        ({"status": CONTAINED["status"] | {"Uid": "0\t65532\t65532\t65532"}}, "S3"),  # type: ignore[operator]
    ],
)
def test_each_breach_has_its_row(change: dict[str, Any], row: str) -> None:
    assert breaches(CONTAINED) == {}
    assert set(breaches({**CONTAINED, **change})) == {row}
