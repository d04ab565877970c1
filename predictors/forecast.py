"""Will it help here? What each recipe promises on a CPU, said before anything is built.

A forecast is a range for how many times as fast one sample is answered as by the plain export in ONNX Runtime on the
same machine, with its reason. It knows the CPU's instruction sets, how many layers the network has and how large they
are; nothing is run. The ranges hold what was measured, here and by others, of networks of these kinds, with VNNI and
without: on an EPYC 7763 and a Xeon 8380 dynamic int8 of one MobileNetV2 took 2.4 and 6 times as long as float32, static
int8 0.85 and 0.55 times. A measurement has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import inf
from typing import Literal

from predictors.manifest import RecipeStep

__all__ = ["Forecast", "ModelFacts", "Verdict", "forecast"]

Verdict = Literal["faster", "as fast", "slower", "unsure", "unknown"]

_VNNI = ("avx512_vnni", "avx_vnni", "i8mm")
_AMX = "amx_int8"
# What is told from "as fast" must be clear of what two runs of one engine differ by.
_CLEAR = 0.05
# A network below this is over before an engine's fixed costs are.
_SMALL = 1_000_000
_FEW_LAYERS = 10


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What decides how much a recipe can help: layers with weights, their weights, and whether any convolves."""

    layers: int
    weights: int
    is_convolutional: bool

    @property
    def is_small(self) -> bool:
        """Whether fixed costs rule."""
        return self.weights < _SMALL and self.layers < _FEW_LAYERS


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many times as fast as the plain export, `low` to `high`, and why; 0 to infinity where nothing is known."""

    low: float
    high: float
    reason: str

    @property
    def verdict(self) -> Verdict:
        """Say it in a word."""
        if (self.low, self.high) == (0.0, inf):
            return "unknown"
        if self.low >= 1 + _CLEAR:
            return "faster"
        if self.high <= 1 - _CLEAR:
            return "slower"
        return "as fast" if self.low >= 1 - 2 * _CLEAR and self.high <= 1 + 2 * _CLEAR else "unsure"

    def holds(self, ratio: float) -> bool:
        """Say whether a measured ratio is within the range."""
        return self.low <= ratio <= self.high

    def __str__(self) -> str:
        return "unknown" if self.verdict == "unknown" else f"{self.verdict}, {self.low:.2g} to {self.high:.2g} x"


def forecast(steps: Sequence[RecipeStep], facts: ModelFacts | None, features: Set[str] | None) -> Forecast:
    """Say how a pipeline will do.

    Args:
        steps: The pipeline with all its parameters.
        facts: The source's; None: nothing is known of it.
        features: Instruction sets of the CPU as in `predictors.fingerprint.FEATURES`; None: nothing is known of it.
    """
    if facts is None:
        return Forecast(0.0, inf, "the model's layers are not known before it is built")
    if features is None:
        return Forecast(0.0, inf, "the node class does not say what its CPUs can do (cpuFeatures)")
    found = [part for step in steps if (part := _of(step, facts, features)) is not None]
    if not found:
        return Forecast(1.0, 1.0, "this is what the others are compared with")
    low, high = 1.0, 1.0
    for part in found:
        low, high = low * part.low, high * part.high
    return Forecast(low, high, "; ".join(part.reason for part in found))


def _of(step: RecipeStep, facts: ModelFacts, features: Set[str]) -> Forecast | None:
    match step.name:
        case "torch-fp32":
            low, high = (0.2, 1.0) if facts.layers < _FEW_LAYERS else (0.1, 0.7)
            return Forecast(low, high, f"eager PyTorch starts each of {facts.layers} layers by itself")
        case "torch-compiled":
            return Forecast(0.3, 1.5, "PyTorch fuses the layers when it is loaded, and calls the same convolutions")
        case "optimize":
            return Forecast(0.9, 1.1, "a session fuses the plain graph in the same way when it loads it")
        case "fp16":
            return Forecast(0.3, 1.05, "ONNX Runtime computes in float32 on CPUs: half the size, and casts to pay for")
        case "quantize-dynamic":
            return _dynamic(facts, features)
        case "quantize-static" | "quantize-tuned":
            return _static(facts, features)
        case "openvino-fp32":
            return Forecast(0.9, 4.0, "layouts made for the CPU, and more layers fused than in ONNX Runtime")
        case "openvino-fp16":
            return Forecast(0.9, 4.0, "weights are widened to float32 when loaded: as OpenVINO fp32, in half the size")
        case "openvino-int8":
            return _openvino(facts, features)
        case "ray-fp32":
            return Forecast(0.1, 0.95, "the same graph in another process: each request goes there and back")
        case "prune":
            left = 1 - float(step.params["ratio"])
            ideal = 1 / left
            return Forecast(
                1 + 0.4 * (ideal - 1), ideal * 1.1, f"{1 - left:.0%} fewer channels inside the blocks, and dense layers"
            )
        case "qat":
            return Forecast(1.0, 1.0, "the same layers as the plain export, with weights that bear rounding")
        case "distill":
            width = float(step.params["width"])
            return Forecast(
                0.8 / width,
                1.1 / width**2,
                f"{width:g} of the channels: between {width:g} and {width**2:.2g} of the work",
            )
    return None


def _dynamic(facts: ModelFacts, features: Set[str]) -> Forecast:
    if facts.is_convolutional:
        return Forecast(0.05, 0.6, "no fast kernel for convolutions with ranges found at run time (ConvInteger)")
    has_int8 = _has_int8(features)
    return Forecast(0.9 if has_int8 else 0.5, 2.5 if has_int8 else 1.2, "ranges are found anew for each matrix product")


def _static(facts: ModelFacts, features: Set[str]) -> Forecast:
    if facts.is_small:
        return Forecast(0.5, 2.0, f"{facts.weights:,} weights are over before eight bits pay for their conversions")
    if _AMX in features:
        return Forecast(1.1, 4.0, "AMX multiplies tiles of eight-bit numbers")
    if _has_int8(features):
        return Forecast(1.1, 3.0, "VNNI multiplies and adds four eight-bit numbers at once")
    if "avx2" in features:
        return Forecast(0.6, 1.3, "no VNNI: AVX2 needs three instructions, and 8-bit products can saturate")
    return Forecast(0.2, 1.0, "no AVX2 and no VNNI: eight-bit products are computed one by one")


def _openvino(facts: ModelFacts, features: Set[str]) -> Forecast:
    if facts.is_small:
        return Forecast(0.5, 3.0, f"{facts.weights:,} weights are over before eight bits pay for their conversions")
    if _AMX in features or _has_int8(features):
        kind = "AMX" if _AMX in features else "VNNI"
        return Forecast(1.5, 7.0, f"{kind} for eight-bit products, and layouts made for the CPU")
    return Forecast(0.8, 5.0, "no VNNI: the layouts help more than the eight bits do")


def _has_int8(features: Set[str]) -> bool:
    return any(name in features for name in _VNNI)
