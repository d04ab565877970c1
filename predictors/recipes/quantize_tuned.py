"""Static quantization that leaves the most sensitive layers in float32 until the answers agree with the source.

Each layer is quantized alone and the loss in the logits is its sensitivity ("Quantizing deep convolutional networks for
efficient inference: a whitepaper", 2018, section 3; "HAWQ", 2019, orders layers in the same spirit). Then the most
sensitive ones, first none, then one, two, four and so on, stay as they are. Images that judge are not those that
calibrate, and no label is needed: the measure is how many are answered as the source answers them.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from predictors.errors import BuildError
from predictors.manifest import Ops
from predictors.recipes import graph
from predictors.recipes.quantize_static import Reader, check_quantized, input_range, prepare, quantize
from predictors.recipes.work import Images, Made, Work, check_calibrated, quiet

__all__ = ["apply"]

_MODEL = "model.onnx"
_BATCH = 10
# Every third batch judges, up to so many; the first few measure sensitivities.
_JUDGES = 16
_SENSED = 3
_LISTED = 10
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def apply(work: Work) -> Made:
    """Write the quantized `model.onnx`; the manifest's notes hold the sensitivities and what stayed in float32.

    Raises:
        BuildError: Nothing can be quantized, or not even with half of the layers in float32 do the answers agree.
    """
    if work.parent is None:
        raise BuildError("quantize-tuned needs the graph of `export` before it")
    with tempfile.TemporaryDirectory(dir=work.out.parent) as scratch, quiet():
        trial = _Trial(work, work.parent, Path(scratch))
        model, notes = _tuned(work, trial)
    graph.save(model, work.out / _MODEL)
    ops = Ops(before=graph.operators(work.parent), after=graph.operators(work.out / _MODEL))
    check_quantized(work, ops.after)
    check_calibrated(work, input_range(model, work.card.inputs[0].name))
    return Made(_MODEL, "CPUExecutionProvider", ops=ops, notes=notes)


def _tuned(work: Work, trial: "_Trial") -> tuple[onnx.ModelProto, tuple[str, ...]]:
    allowed = work.params["maxFlips"]
    order, notes = trial.layers, tuple[str, ...]()
    flips, count = 1.0, 0
    while count <= (len(order) + 1) // 2:
        kept = order[:count]
        model = trial.quantized(nodes_to_exclude=list(kept))
        flips = trial.flips(model)
        if flips <= allowed:
            stayed = f"kept in float32: {', '.join(kept)}" if kept else "no layer had to stay in float32"
            return model, (
                *notes,
                f"{stayed}; {flips:.2%} of {trial.images} held-out images are answered in another way",
            )
        if not count:
            work.progress(f"{work.card.name}: {flips:.1%} are answered in another way; looking for sensitive layers")
            order, notes = _by_sensitivity(trial)
        count = max(1, 2 * count)
    raise BuildError(
        f"{work.card.name}: with half of its layers in float32, {flips:.1%} of {trial.images} images are still "
        "answered in another way than by the source",
        f"allow more with maxFlips (now {allowed:g}), or leave quantize-tuned out of the model's recipe list",
    )


def _by_sensitivity(trial: "_Trial") -> tuple[Sequence[str], tuple[str, ...]]:
    loss = {name: trial.loss(trial.quantized(nodes_to_quantize=[name])) for name in trial.layers}
    order = sorted(loss, key=lambda name: (-loss[name], name))
    listed = ", ".join(f"{name} {loss[name]:.2g}" for name in order[:_LISTED])
    return order, (f"most sensitive layers, by the share of the logits' energy that each alone loses: {listed}",)


class _Trial:
    """Candidates of one graph, and how they compare with it on held-out images."""

    def __init__(self, work: Work, parent: Path, scratch: Path) -> None:
        self._params, self._name = work.params, work.card.inputs[0].name
        self._prepared, self._ranges = prepare(parent, scratch), scratch / "ranges.json"
        self.layers: Sequence[str] = [n.name for n in onnx.load(self._prepared).graph.node if n.op_type in _LAYERS]
        size = max(1, min(_BATCH, work.calibration_images // 3))
        seen: list[Images] = []
        self._judges: list[Images] = []
        for number, images in enumerate(work.calibration(size)):
            chosen = self._judges if number % 3 == 2 and len(self._judges) < _JUDGES else seen
            chosen.append(images)
        self._judges = self._judges or seen
        self._calibrating = seen
        self._expected = [self._run(parent.read_bytes(), images) for images in self._judges]
        self.images = sum(len(images) for images in self._judges)

    def quantized(self, **choice: Any) -> onnx.ModelProto:
        """Return a candidate; the ranges of activations are found once."""
        reader = Reader(self._name, iter(self._calibrating), len(self._calibrating))
        return quantize(self._params, self._prepared, reader, calibration_cache_path=self._ranges, **choice)

    def flips(self, model: onnx.ModelProto) -> float:
        """Return the share of held-out images that get another class than from the source."""
        data = model.SerializeToString()
        pairs = zip(self._judges, self._expected, strict=True)
        other = sum(int((self._run(data, x).argmax(1) != expected.argmax(1)).sum()) for x, expected in pairs)
        return other / self.images

    def loss(self, model: onnx.ModelProto) -> float:
        """Return the energy of the logits' error, relative to that of the logits."""
        data = model.SerializeToString()
        pairs = list(zip(self._judges, self._expected, strict=True))[:_SENSED]
        error = sum(float(((self._run(data, images) - expected) ** 2).sum()) for images, expected in pairs)
        return error / max(sum(float((expected**2).sum()) for _, expected in pairs), 1e-12)

    def _run(self, data: bytes, images: Images) -> Images:
        session = onnxruntime.InferenceSession(data, graph.session_options(), providers=["CPUExecutionProvider"])
        answer: Images = session.run(None, {self._name: images})[0]
        return answer.reshape(len(images), -1)
