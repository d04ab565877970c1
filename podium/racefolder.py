"""The folder of a race on disk: found again or named anew, held by one process, written so that nothing is half.

`plan.json` says what is raced; a folder that has one and no `race.json` is an interrupted race.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from podium.errors import MachineError
from podium.plan import RacePlan
from podium.wholefile import write_whole

__all__ = ["agreed_payloads", "find_folder", "locked", "now", "point_latest", "write_plan"]

_PLAN = "plan.json"


def find_folder(plan: RacePlan, *, fresh: bool) -> tuple[Path, dict[str, JsonValue]]:
    """Return the folder of the race, an interrupted one where there is one, and its plan document; make nothing."""
    if not fresh:
        for path in sorted(plan.runs.glob(f"*/{_PLAN}"), reverse=True):
            # One that cannot be read is nobody's.
            with suppress(ValueError, OSError):
                document = json.loads(path.read_text(encoding="utf-8"))
                if not isinstance(document, dict) or "started" not in document:
                    continue
                if document.get("digest") == plan.digest and not (path.parent / "race.json").exists():
                    return path.parent, {**document, "resumed": True}
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = plan.runs / f"{plan.submission.name}-{stamp}-{secrets.token_hex(3)}"
    return folder, {
        "digest": plan.digest,
        "started": now(),
        # For who looks at a race that was never finished.
        "model": plan.card.name,
        "target": plan.target,
        "level": plan.profile.level,
        "slo": str(plan.submission.slo),
        "resumed": False,
    }


def write_plan(folder: Path, document: Mapping[str, JsonValue]) -> None:
    """Write what the race is; from here on it can be resumed."""
    kept = {name: value for name, value in document.items() if name != "resumed"}
    write_whole(folder / _PLAN, json.dumps(kept) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone.

    Raises:
        MachineError: another process holds it.
    """
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MachineError(
                f"The race {folder.name} is running already",
                "wait for it, end it, or start another one with --new",
            ) from error
        yield


def agreed_payloads(folder: Path, digest: str) -> str:
    """Return the digest of the payloads that the race began with; the first call settles it."""
    path = folder / "payloads.sha256"
    if not path.exists():
        write_whole(path, digest + "\n")
    return path.read_text(encoding="ascii").strip()


def point_latest(folder: Path) -> None:
    """Let `latest` beside the folder lead to it."""
    link = folder.parent / f".latest-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(folder.parent / "latest")


def now() -> str:
    """Return this second, ISO 8601 with zone."""
    return datetime.now(UTC).isoformat(timespec="seconds")
