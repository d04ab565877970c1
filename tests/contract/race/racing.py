"""A race as a person starts it: the program in a process of its own, and what can be seen of it from outside."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.records import RunRecord, read_record
from tests.colors import colors_source
from tests.ports import free_ports
from tests.running import parent_of

__all__ = [
    "PORTS",
    "RATE",
    "ROOT",
    "SHORT",
    "SHORT_GRPC",
    "WHOLE",
    "Ended",
    "Place",
    "Seen",
    "Workshop",
    "ended",
    "records",
    "run_files",
]

ROOT = Path(__file__).parents[3]
# Far below what the server can do even while its coverage is traced and others keep the machine busy.
RATE = 120
WHOLE, SHORT, SHORT_GRPC = "whole", "short", "short-grpc"
# Two a server, and room for a third.
PORTS = 6
_MARK = "PODIUM_TEST_MARK"
# Deadlines of a machine that others keep busy: for a race, and for it to reach a moment.
RACE_S, STEP_S = 300.0, 120.0
# The limits are wide: what is tested is the course of a race, on a machine that may be busy.
_PROFILE = """\
name: {name}
level: quick
protocol: {protocol}
timeout: 2s
budget: 5m
phases: [{phases}]
confidence: 0.95
thresholds: {{latenessP99: 1.5s, achieved: 0.5, generatorCpu: 1.0, little: 1.0, componentSum: 1.0}}
"""
_WARMUP = "{kind: warmup, atLeast: 20, atMost: 30s}"
_PHASES: Mapping[str, Sequence[str]] = {
    WHOLE: (
        _WARMUP,
        "{kind: single-stream, requests: 50}",
        "{kind: offline, for: 1s}",
        "{kind: hold, blocks: 5, block: 1s, restart: false}",
        "{kind: search, precision: 10%, probe: 1s, probeRequests: 50, maxProbes: 3}",
    ),
    SHORT: (_WARMUP, "{kind: hold, blocks: 2, block: 1s, restart: false}"),
    SHORT_GRPC: (_WARMUP, "{kind: offline, for: 1s}", "{kind: hold, blocks: 2, block: 1s, restart: false}"),
}
_SUBMISSION = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: colors
  annotations:
    podium.dev/slo: "p99<=1500ms, errors<=50%, rate>={rate}/s"
    podium.dev/quality: "drop<=0.1"
    podium.dev/variants: "{variants}"
    podium.dev/profile: "{profile}"
spec:
  predictor:
    model:
      modelFormat: {{name: onnx}}
      storageUri: file://colors
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that belongs to a race."""

    pid: int
    words: tuple[str, ...]
    environment: Mapping[str, str]

    def has(self, text: str) -> bool:
        """Whether its command line holds `text`."""
        return any(text in word for word in self.words)

    def after(self, word: str) -> str:
        """Return the argument that follows a word."""
        return self.words[self.words.index(word) + 1]


@dataclass(frozen=True)
class Workshop:
    """A model of one's own with its submissions; store and data are shared, so that a variant is built once."""

    root: Path

    def __post_init__(self) -> None:
        """Write the model and the profiles."""
        colors_source(self.root / "colors")
        for name, phases in _PHASES.items():
            protocol = "grpc" if name == SHORT_GRPC else "v1-image"
            text = _PROFILE.format(name=name, protocol=protocol, phases=", ".join(phases))
            (self.root / f"{name}.yaml").write_text(text, encoding="utf-8")

    def place(
        self, folder: Path, *, profile: str = SHORT, variants: str = "auto", store: Path | None = None
    ) -> "Place":
        """Return a place to race in, whose runs go below `folder`."""
        text = _SUBMISSION.format(rate=RATE, variants=variants, profile=self.root / f"{profile}.yaml")
        name = f"{profile}-{variants.replace('*', 'all').replace(', ', '-')}.yaml"
        (self.root / name).write_text(text, encoding="utf-8")
        return Place(self.root / name, folder / "runs", store or self.root / "store", self.root / "data")


@dataclass(frozen=True)
class Place:
    """A submission, and where its races go. The folder of the runs is given as people do, relative."""

    submission: Path
    runs: Path
    store: Path
    data: Path
    port: int = field(default_factory=lambda: free_ports(PORTS))
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def folder(self) -> Path:
        """The folder of the one race."""
        (found,) = (path for path in self.runs.iterdir() if path.is_dir() and not path.is_symlink())
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the program; the mark is inherited by all that it starts."""
        own = {"PODIUM_STORE": str(self.store), "PODIUM_DATA": str(self.data), "COLUMNS": "160", _MARK: self.mark}
        return {**os.environ, **own}

    def race_words(self, *more: str) -> list[str]:
        """Return the command line of a race."""
        return self.words("race", "-f", str(self.submission), "--port", str(self.port), *more)

    def words(self, command: str, *more: str) -> list[str]:
        """Return the command line of a command that knows of races."""
        runs = os.path.relpath(self.runs, ROOT)
        return [sys.executable, "-W", "ignore", "-m", "podium", command, *more, "--runs", runs]

    def run(self, words: Sequence[str]) -> Ended:
        """Run a command to its end."""
        with self.started(words) as process:
            return ended(process)

    @contextmanager
    def started(self, words: Sequence[str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start a race, or another command; whatever is left of it when the block ends is killed."""
        process = subprocess.Popen(
            words or self.race_words(),
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            for seen in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(seen.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def processes(self, text: str = "") -> list[Seen]:
        """Return the living processes that carry the mark, with `text` in their command line."""
        return [seen for seen in _marked(self.mark) if seen.has(text)]

    def servers(self) -> list[Seen]:
        """Return the servers that carry the name of the race, without what each has forked."""
        found = [seen for seen in self.processes() if "PODIUM_RACE" in seen.environment]
        pids = {seen.pid for seen in found}
        return [seen for seen in found if parent_of(seen.pid) not in pids]

    def server_of(self, variant: str) -> Seen:
        """Return the server of a variant, found by what it serves."""
        address = read_address(self, variant)
        (found,) = (seen for seen in self.servers() if seen.has(address) and seen.has("serve"))
        return found

    def kept(self) -> dict[Path, tuple[bytes, int]]:
        """Return the finished records and their histograms: content and time of writing."""
        files = [file for path in run_files(self.folder) for file in (path, path.with_suffix(".hdr"))]
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process and return how it ended."""
    out, err = process.communicate(timeout=RACE_S)
    return Ended(process.returncode, out, err)


def run_files(race_folder: Path) -> list[Path]:
    """Return the run records of a race."""
    return sorted(race_folder.glob("*/*/[0-9]*.json"))


def records(race_folder: Path, variant: str = "*", phase: str = "*") -> list[RunRecord]:
    """Return the records of a variant and a phase, in their order."""
    return [read_record(path) for path in sorted(race_folder.glob(f"{variant}/*/[0-9]*-{phase}.json"))]


def read_address(place: Place, variant: str) -> str:
    """Return the address of the newest artifact of a variant."""
    from predictors.store import Store

    return Store(place.store).find(f"colors-{variant}").address


def _marked(mark: str) -> Iterator[Seen]:
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        # It may be gone, or somebody else's.
        with suppress(OSError):
            pairs = (folder / "environ").read_bytes().split(b"\0")
            if wanted not in pairs:
                continue
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            known = (pair.decode(errors="replace").partition("=") for pair in pairs if pair)
            yield Seen(int(folder.name), tuple(words), {name: value for name, _, value in known})
