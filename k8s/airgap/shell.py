"""Running other programs: output goes to one log, and a failure becomes a sentence with the last lines of it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from podium.errors import MachineError

_TAIL_LINES = 12


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text: str | None = None,
) -> str:
    """Run a program to its end and return what it wrote to stdout.

    Args:
        command: program and arguments.
        what: what is being done, for the error's sentence.
        env: variables on top of this process's.
        cwd: folder to run in.
        text: standard input.

    Raises:
        MachineError: the program is missing or answered with another status than 0; the last lines that it wrote are
            in the hint.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=cwd, check=False
        )
    except FileNotFoundError as error:
        raise MachineError(f"{what}: the program {words[0]} is missing.") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_TAIL_LINES:])
        raise MachineError(
            f"{what}: {' '.join(words[:3])} … ended with status {done.returncode}.", hint=f"It said:\n{tail}"
        )
    return done.stdout


def succeeds(command: Sequence[str | Path], *, timeout_s: float = 20.0) -> bool:
    """Return whether a program exists and ends with status 0 within the time."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def on_path(name: str) -> Path | None:
    """Return where a program lies, also in the folders for administrators that a user's PATH may lack."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    return Path(found) if found else None


def say(text: str) -> None:
    """Write one line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a step when it begins, and the seconds it took when it has ended."""
    say(f"{title} …")
    began = time.monotonic()
    yield
    say(f"{title}: done ({time.monotonic() - began:.1f} s)")
