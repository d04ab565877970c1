"""Plays tiers whole in random order, again and again: `python -m tests.repeated --rounds 5 unit api` names what flakes.

Each round of a tier is a run of its own with a seed of its own, and nothing that failed is run again. Its line is put
into a file as soon as it is over, so that whoever is interrupted goes on with the same command; only rounds of the same
commit are compared. Files, and tests in them, change places; a file's tests stay together, or what a module shares
would be made for each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.rounds import Round, add, flakes, read, summary

__all__ = ["RESULTS", "ROOT", "command", "main"]

ROOT = Path(__file__).parents[1]
RESULTS = "benchmarks/results/repeated.jsonl"
_LOGS = ".podium/repeated"
_RECORDED = Path(__file__).with_name("recorded.py")
# What these rounds make themselves is no change of what is played.
_OWN = (":!benchmarks/results", ":!tests/robustness.md")
_SEEDS = 2**31
_TOLD_S = 60.0
_PATIENCE_S = 60.0
_FAILED, _REFUSED, _INTERRUPTED = 1, 2, 130


class _RefusalError(Exception):
    """What is asked cannot be played."""


class _Asked(NamedTuple):
    root: Path
    results: Path
    processes: int


def command(tier: str, seed: int, processes: int = 1) -> list[str]:
    """Return pytest's arguments for a tier in the order of a seed."""
    # Seeds of random numbers stay what each test makes them.
    order = ["-p", "randomly", f"--randomly-seed={seed}", "--randomly-dont-reset-seed"]
    beside = ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"] if processes > 1 else []
    return [f"tests/{tier}", *order, *beside]


def main(
    arguments: Sequence[str], *, root: Path = ROOT, seeds: Callable[[], int] = lambda: secrets.randbelow(_SEEDS)
) -> int:
    """Play what is left to play and return the exit code: 1 where anything failed, 130 after Ctrl-C."""
    parsed = _parser().parse_args(arguments)
    asked = _Asked(root, root / parsed.results, parsed.processes)
    try:
        commit = _commit(root)
        for tier in parsed.tiers:
            if not (root / "tests" / tier).is_dir():
                raise _RefusalError(f"no tier '{tier}'; the tiers are the folders of tests/")
        return _judged(*_rounds(asked, commit, parsed.tiers, parsed.rounds, seeds))
    except _RefusalError as refusal:
        _say(str(refusal))
        return _REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.repeated", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tiers", nargs="+", metavar="TIER", help="a folder of tests/")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each tier in all, with those of before")
    parser.add_argument("-n", "--processes", type=int, default=1, help="processes that play a tier at once")
    parser.add_argument("--results", default=RESULTS, help="the file of rounds")
    return parser


def _rounds(
    asked: _Asked, commit: str, tiers: Sequence[str], count: int, seeds: Callable[[], int]
) -> tuple[list[Round], bool]:
    """Play the rounds that are missing; return all of this commit and whether all are played."""
    found = [one for one in _kept(asked.results) if one.commit == commit and one.tier in tiers]
    try:
        for number in range(1, count + 1):
            for tier in tiers:
                if any((one.tier, one.round) == (tier, number) for one in found):
                    continue
                _say(f"{tier} {number} of {count} ...")
                played = _played(asked, commit, tier, number, seeds())
                if _commit(asked.root) != commit:
                    raise _RefusalError("the tree changed while it was played; this round is not kept")
                add(asked.results, played)
                found.append(played)
                _tell(played)
    except KeyboardInterrupt:
        return found, False
    return found, True


def _played(asked: _Asked, commit: str, tier: str, number: int, seed: int) -> Round:
    logs = asked.root / _LOGS
    logs.mkdir(parents=True, exist_ok=True)
    seen, log = (logs / f"{tier}-{number}.{kind}" for kind in ("jsonl", "log"))
    seen.write_text("")
    load, began = os.getloadavg()[0], time.monotonic()
    arguments = [*command(tier, seed, asked.processes), "--continue-on-collection-errors"]
    with log.open("w", encoding="utf-8") as written:
        words = [sys.executable, "-P", str(_RECORDED), str(seen), *arguments]
        code = _run(words, asked.root, written.fileno(), tell=lambda: _tell_progress(seen))
    seconds = time.monotonic() - began
    outcomes, controls = _outcomes(seen)
    if not outcomes:
        raise _RefusalError(f"{tier}: no test was run, see {log}")
    return Round(
        commit=commit,
        tier=tier,
        round=number,
        seed=seed,
        processes=asked.processes,
        passed=sum(outcome == "passed" for outcome in outcomes.values()),
        controls=sum(outcomes[test] == "passed" for test in controls),
        # What began and has no end is where the run died.
        failed=sorted(test for test, outcome in outcomes.items() if outcome in ("failed", "began")),
        skipped=sorted(test for test, outcome in outcomes.items() if outcome == "skipped"),
        seconds=round(seconds, 1),
        is_whole=code in (0, _FAILED),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=len(os.sched_getaffinity(0)),
        load=round(load, 2),
    )


def _run(words: Sequence[str], root: Path, log: int, *, tell: Callable[[], None]) -> int:
    """Run a program that hears of Ctrl-C from here alone, once, so that its tests take away what they made."""
    process = subprocess.Popen(
        words, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, process_group=0
    )
    try:
        while True:
            try:
                return process.wait(_TOLD_S)
            except subprocess.TimeoutExpired:
                tell()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise


def _outcomes(seen: Path) -> tuple[dict[str, str], set[str]]:
    """Return the worst that became of each test, and which are controls."""
    found: dict[str, str] = {}
    controls = set()
    for line in seen.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        test, outcome, is_control = json.loads(line)
        if found.get(test) != "failed":
            found[test] = outcome
        if is_control:
            controls.add(test)
    return found, controls


def _kept(results: Path) -> list[Round]:
    return read(results.read_text(encoding="utf-8")) if results.is_file() else []


def _commit(root: Path) -> str:
    """Return the commit that is played; a tree that differs from it is refused."""
    git = ["git", "-C", str(root)]
    asked = [*git, "status", "--porcelain", "--untracked-files=no", "--", ".", *_OWN]
    changed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if changed:
        raise _RefusalError(f"commit first, rounds are those of a commit; changed are:\n{changed}")
    described = [*git, "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()


def _tell_progress(seen: Path) -> None:
    outcomes = list(_outcomes(seen)[0].values())
    _say(f"  {len(outcomes):,} tests so far, {outcomes.count('failed')} failed")


def _tell(played: Round) -> None:
    end = "" if played.is_whole else ", and then the run died"
    skipped = f", {len(played.skipped)} skipped" if played.skipped else ""
    _say(
        f"{played.tier} {played.round}: {played.passed:,} passed, {len(played.failed)} failed{skipped}{end} "
        f"in {played.seconds:.0f} s, seed {played.seed}"
    )
    for test in played.failed:
        _say(f"  failed: {test}")


def _judged(found: Sequence[Round], is_over: bool) -> int:
    """Say what flaked and what failed each time, and return the exit code."""
    flaky = flakes(found)
    for one in flaky:
        words = shlex.join(
            ["python", "-m", "pytest", *command(one.failed_in.tier, one.failed_in.seed, one.failed_in.processes)]
        )
        _say(f"flaky: {one.test} failed in {one.failed} and passed in {one.passed} rounds; the order again: {words}")
    always = {name for one in found for name in one.failed} - {one.test for one in flaky}
    for test in sorted(always):
        _say(f"failed in every round: {test}")
    _say(summary(found, dict.fromkeys(dict.fromkeys(one.tier for one in found), 1)) or "no round")
    if not is_over:
        _say("interrupted; the same command goes on")
        return _INTERRUPTED
    return _FAILED if flaky or always or any(not one.is_whole for one in found) else 0


def _say(text: str) -> None:
    sys.stderr.write(f"repeated: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # What a shell starts in the background ignores Ctrl-C; a polite kill is heard as one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
