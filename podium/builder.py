"""Building and evaluating in a child process: `python -m podium.builder`, one JSON line in and JSON lines out.

The engines and training libraries stay out of the racing process, which shares a core with the load
generator, and one child does all jobs of a race, so that they are imported once. A job is `{"job": "build"
| "evaluate" | "payloads" | "answers", ...}`; answers are `progress` lines and then one `done` or `refused`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from podium import processes
from podium.entry import Quality
from podium.errors import MachineError
from predictors.errors import PredictorError
from predictors.store import Store

__all__ = ["BUILDING_S", "Builder", "RefusedError"]

_Emit = Callable[[str], None]
# For the end of an idle child, and of one that is building: it takes its draft out of the store, as soon as the library
# that it is in comes back and this machine lets it.
_IDLE_S, BUILDING_S = 0.5, 10.0


class RefusedError(PredictorError):
    """A job was refused for a reason that the person can act on."""


class Builder:
    """The child, as its parent sees it; a context manager that leaves no process behind."""

    def __init__(self, *, log: Path, progress: Callable[[str], None]) -> None:
        self._log = log
        self._progress = progress
        self._process: subprocess.Popen[str] | None = None
        self._stores: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace_s=_IDLE_S if error is None else BUILDING_S)

    def stop(self, *, grace_s: float) -> None:
        """End the child, by force after `grace_s`, and take away the draft of one that did not come to it."""
        if self._process is not None:
            processes.stop(self._process, grace_s=grace_s)
        for store in self._stores:
            Store(store).sweep()

    def build(self, *, model_folder: Path, variant_id: str, store: Path, recipes: str | None = None) -> dict[str, Any]:
        """Build one variant, or find it in the store: `{variant_id, address, folder, cached, seconds}`.

        Raises:
            RefusedError: the variant cannot be built from this source.
            MachineError: the child ended.
        """
        self._stores.add(store)
        return self._ask(
            {
                "job": "build",
                "model_folder": str(model_folder),
                "variant_id": variant_id,
                "store": str(store),
                "recipes": recipes,
            }
        )

    def evaluate(
        self, *, model_folder: Path, artifact: Path, source: Path, threads: int, fingerprint: str
    ) -> dict[str, Any]:
        """Evaluate one artifact on the model's test data against the source's, and keep it in `measured/`."""
        return self._ask(
            {
                "job": "evaluate",
                "model_folder": str(model_folder),
                "artifact": str(artifact),
                "source": str(source),
                "threads": threads,
                "fingerprint": fingerprint,
            }
        )

    def quality(self, *, model_folder: Path, artifact: Path, source: Path, fingerprint: str) -> Quality:
        """Evaluate one artifact as `evaluate` does, on all cores that this process may use."""
        answer = self.evaluate(
            model_folder=model_folder,
            artifact=artifact,
            source=source,
            threads=len(os.sched_getaffinity(0)),
            fingerprint=fingerprint,
        )
        return Quality.model_validate({name: value for name, value in answer.items() if name in Quality.model_fields})

    def payloads(self, *, model_folder: Path, protocol: str = "v1-image") -> Path:
        """Return the folder of the load's payloads, made of the test images on first use."""
        job = {"job": "payloads", "model_folder": str(model_folder), "protocol": protocol}
        return Path(self._ask(job)["folder"])

    def answers(self, *, model_folder: Path, artifact: Path, fingerprint: str, protocol: str) -> dict[str, int]:
        """Return the class that an artifact is sure to find in each payload, by the payload's number as in its name."""
        return dict(
            self._ask(
                {
                    "job": "answers",
                    "model_folder": str(model_folder),
                    "artifact": str(artifact),
                    "fingerprint": fingerprint,
                    "protocol": protocol,
                }
            )["answers"]
        )

    def _ask(self, job: Mapping[str, object]) -> dict[str, Any]:
        if self._process is None:
            self._process = processes.start(
                [sys.executable, "-W", "ignore", "-m", "podium.builder"],
                log=self._log,
                # Threads that spin while images are decoded beside them cost many times what sleeping ones do.
                environment={"OMP_WAIT_POLICY": "PASSIVE"},
                pipes=True,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the builder was started without pipes")
        # A child that is gone is told below, where its output has ended too.
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            answer: dict[str, Any] = json.loads(line)
            if answer["event"] == "progress":
                self._progress(answer["text"])
            elif answer["event"] == "refused":
                raise RefusedError(answer["sentence"], answer["hint"])
            else:
                return answer
        process.wait()
        raise MachineError(
            f"The builder ended with {processes.ending(process)}; its log ends: {processes.last_lines(self._log)}",
            hint=f"Read {self._log}; a lack of memory is the usual cause.",
        )


def _build(job: Mapping[str, Any], progress: _Emit) -> dict[str, Any]:
    from predictors.build import build, plan
    from predictors.card import load_card

    folder = Path(job["model_folder"])
    card = load_card(folder)
    plans = plan(card, folder, recipes=job["recipes"])
    recipe = next(item for item in plans if item.variant_id == job["variant_id"])
    built = build(card, folder, recipe, Store(Path(job["store"])), progress)
    return asdict(built) | {"folder": str(built.folder)}


def _evaluate(job: Mapping[str, Any], progress: _Emit) -> dict[str, Any]:
    from podium.gate import measure_quality

    quality = measure_quality(
        Path(job["model_folder"]),
        Path(job["artifact"]),
        Path(job["source"]),
        threads=job["threads"],
        fingerprint=job["fingerprint"],
        progress=progress,
    )
    return quality.model_dump(mode="json")


def _payloads(job: Mapping[str, Any], _progress: _Emit) -> dict[str, Any]:
    from podium.payloads import payload_folder

    return {"folder": str(payload_folder(Path(job["model_folder"]), job["protocol"]))}


def _answers(job: Mapping[str, Any], _progress: _Emit) -> dict[str, Any]:
    from podium.payloads import sure_answers

    found = sure_answers(
        Path(job["model_folder"]), Path(job["artifact"]), fingerprint=job["fingerprint"], protocol=job["protocol"]
    )
    return {"answers": found}


_JOBS: dict[str, Callable[[Mapping[str, Any], _Emit], dict[str, Any]]] = {
    "build": _build,
    "evaluate": _evaluate,
    "payloads": _payloads,
    "answers": _answers,
}


def _emit(event: str, **fields: object) -> None:
    sys.__stdout__.write(json.dumps({"event": event, **fields}) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def main() -> None:
    """Answer jobs until standard input ends."""
    # As an exception it lets a build take its draft out of the store.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # Libraries print on standard output; the protocol has it for itself.
    sys.stdout = sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = _JOBS[job["job"]](job, lambda text: _emit("progress", text=text))
        except PredictorError as error:
            _emit("refused", sentence=str(error), hint=error.hint)
        else:
            _emit("done", **result)


if __name__ == "__main__":
    main()
