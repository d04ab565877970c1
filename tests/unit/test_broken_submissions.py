"""Broken submissions end with one sentence that names the place, a remedy, an exit code; nothing starts."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from podium import cli
from predictors.models import food11
from tests.modelfolders import mnist_folder
from tests.submissions import GOOD, write_submission

SLO = "p99<=100ms, errors<=1%, rate>=40/s"
TEXT = GOOD.replace("food11", "mnist")


class Broken(NamedTuple):
    """One broken submission: how it is made, and what must be said of it."""

    name: str
    make: Callable[[Path], Path]
    place: str
    sentence: str
    remedy: str
    code: int = 3


def text(*changes: tuple[str, str]) -> Callable[[Path], Path]:
    """Return a maker of the good submission with texts replaced."""
    return lambda folder: write_submission(folder, *changes, text=TEXT)


def card(*changes: tuple[str, str]) -> Callable[[Path], Path]:
    """Return a maker of the good submission whose model card has texts replaced."""

    def make(folder: Path) -> Path:
        mnist_folder(folder / "models" / "mnist", *changes)
        return write_submission(folder, text=TEXT)

    return make


def without(name: str) -> Callable[[Path], Path]:
    """Return a maker of the good submission whose model folder lacks a file."""

    def make(folder: Path) -> Path:
        (folder / "models" / "mnist" / name).unlink()
        return write_submission(folder, text=TEXT)

    return make


def another_checkpoint(folder: Path) -> Path:
    zeros = {name: np.zeros(shape, np.float16) for name, shape in food11.parameter_shapes().items()}
    save_file(zeros, folder / "models" / "mnist" / "weights.safetensors")
    return write_submission(folder, text=TEXT)


def cut_checkpoint(folder: Path) -> Path:
    path = folder / "models" / "mnist" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return write_submission(folder, text=TEXT)


def another_graph(folder: Path) -> Path:
    """An ONNX model that takes color images, under a card that says gray ones."""
    model = folder / "models" / "mnist"
    mnist_folder(
        model,
        ("module: predictors.models.mnist\n", "onnx: model.onnx\n"),
        ("weights: weights.safetensors\n", ""),
    )
    ports = [
        helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 28, 28]),
        helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 10]),
    ]
    node = helper.make_node("Flatten", ["input"], ["output"])
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph), model / "model.onnx")
    return write_submission(folder, ("name: pytorch", "name: onnx"), text=TEXT)


def empty_data(folder: Path) -> Path:
    (folder / "models" / "mnist" / "digits").mkdir(parents=True)
    mnist_folder(folder / "models" / "mnist", ("source: null", "source: digits"))
    return write_submission(folder, text=TEXT)


BROKEN = (
    Broken(
        "unknown key",
        text(("dev/slo", "dev/slos")),
        "submission.yaml:6",
        "podium.dev/slos",
        "podium.dev/slo?",
    ),
    Broken("missing unit", text(("40/s", "40")), "submission.yaml:6", "unit is missing", "rate>=40/s"),
    Broken("unreadable clause", text((SLO, "fast enough")), "submission.yaml:6", "cannot be read", "p99<=100ms"),
    Broken("no rate", text((", rate>=40/s", "")), "submission.yaml:6", "no rate clause", "rate>=40/s"),
    Broken("rate 0", text(("40/s", "0/s")), "submission.yaml:6", "above 0/s", "rate>=40/s"),
    Broken("rate below 0", text(("40/s", "-5/s")), "submission.yaml:6", "above 0/s", "rate>=40/s"),
    Broken("rate not finite", text(("40/s", "inf/s")), "submission.yaml:6", "finite", "rate>=40/s"),
    Broken("rate not a number", text(("40/s", "nan/s")), "submission.yaml:6", "finite", "rate>=40/s"),
    Broken(
        "no errors at all",
        text(("errors<=1%", "errors<=0%")),
        "submission.yaml:6",
        'clause 2, "errors<=0%": no number of requests proves',
        "errors<=0.1%",
    ),
    Broken(
        "too few requests",
        text((SLO, "p99.9<=100ms, rate>=2/s"), ("spec:", "    podium.dev/profile: quick\nspec:")),
        "submission.yaml:",
        'clause 1, "p99.9<=100ms": 2,995 requests without a miss support it at 95% confidence, and the hold of quick',
        "lower percentile or a higher rate",
    ),
    Broken("rate too high", text(("40/s", "20001/s")), "submission.yaml:6", "at most 20,000/s", "rate>=40/s"),
    Broken(
        "two documents",
        lambda folder: write_submission(folder, text=f"{TEXT}---\n{TEXT}"),
        "submission.yaml:16",
        "a second document",
        "a file of its own",
    ),
    Broken(
        "missing model",
        text(("models/mnist", "models/none")),
        "submission.yaml:14",
        "does not exist",
        "model.yaml",
    ),
    Broken("missing card", without("model.yaml"), "models/mnist", "holds no model.yaml", "model card"),
    Broken(
        "missing weights",
        without("weights.safetensors"),
        "weights.safetensors",
        "are missing",
        "podium train",
    ),
    Broken("wrong checkpoint", another_checkpoint, "weights.safetensors", "wrong checkpoint", "podium train"),
    Broken("damaged checkpoint", cut_checkpoint, "weights.safetensors", "cut off", "podium train"),
    Broken(
        "other inputs",
        another_graph,
        "model.onnx",
        "its card says float32 [-1, 1, 28, 28]",
        "correct the card",
    ),
    Broken(
        "other input size",
        card(("[-1, 1, 28, 28]", "[-1, 1, 32, 32]"), ("params: {}", "params: {size: 32}")),
        "model.yaml",
        "inputs.0.shape says 32 pixels a side",
        "correct the size",
    ),
    Broken("card of another network", card(("[-1, 1,", "[-1, 3,")), "model.yaml", "inputs.0", "preprocessing"),
    Broken("unknown card key", card(("metric:", "metrics:")), "model.yaml", "metrics", "model.yaml for the form"),
    Broken("empty data folder", empty_data, "digits", "", ""),
    Broken("unknown variant", text(('"auto"', '"tensorrt-*"')), "tensorrt-*", "", "ort-"),
    Broken(
        "other format",
        text(("name: pytorch", "name: onnx")),
        "submission.yaml",
        "modelFormat is 'onnx'",
        "pytorch",
    ),
    Broken(
        "unknown metric of quality",
        text(("accuracy>=0.85", "f1>=0.85")),
        "submission.yaml",
        "f1>=0.85 names a metric that mnist is not measured by",
        "known: accuracy, drop",
    ),
    Broken("unknown profile", text(("spec:", "    podium.dev/profile: fast\nspec:")), "fast", "no such", "quick"),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model whose files are right; store, data and runs would be made in it too."""
    monkeypatch.chdir(tmp_path)
    for name in ("PODIUM_STORE", "PODIUM_DATA"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    mnist_folder(tmp_path / "models" / "mnist")
    return tmp_path


def contents(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def processor_time_s() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_submission_that_is_broken_below_is_whole(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_submission(place, text=TEXT)
    before = contents(place)
    assert cli.run(["race", "-f", str(path), "--profile", "quick", "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "mnist-ort-int8" in captured.out
    assert "error" not in captured.err
    assert contents(place) == before


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name.replace(" ", "-"))
def test_a_broken_submission_is_refused_before_anything_starts(
    place: Path, capsys: pytest.CaptureFixture[str], broken: Broken
) -> None:
    path = broken.make(place)
    before = contents(place)
    started = time.process_time()
    assert cli.run(["race", "-f", str(path)]) == broken.code
    assert time.process_time() - started < 3
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *others = captured.err.splitlines()
    assert first.startswith("error: ")
    assert broken.place in first
    assert broken.sentence in first
    assert others, "there is no remedy"
    assert all(line.startswith("  → ") for line in others)
    assert broken.remedy in " ".join(others)
    assert contents(place) == before


def test_the_program_refuses_within_three_seconds_and_without_a_traceback(place: Path) -> None:
    path = text(("40/s", "40"))(place)
    before = contents(place)
    # Processor time, because other programs share the machine; nothing in it waits.
    used_s = processor_time_s()
    done = subprocess.run(
        [sys.executable, "-m", "podium", "race", "-f", path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert processor_time_s() - used_s < 3
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {path}:6: ")
    assert "Traceback" not in done.stderr
    assert contents(place) == before
