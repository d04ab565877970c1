"""How near an engine comes to what this machine can do: the roofline of Williams, Waterman and Patterson.

Peak and bandwidth are measured here, never taken from a data sheet: the peak is the best of many large matrix products
in ONNX Runtime on as many threads as the engine had, the bandwidth that of the best copy between large arrays. What is
attainable is the smaller of the peak and of bandwidth times intensity ("Roofline: an insightful visual performance
model for multicore architectures", 2009, section 3).
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from predictors.workload import Workload

__all__ = ["ELEMENT_BYTES", "Place", "Roof", "measure_roof", "place"]

# Engines on CPUs widen float16 to float32 when they compute.
ELEMENT_BYTES = {"fp32": 4.0, "fp16": 4.0, "int8": 1.0}
_SIDE = 1024
_COPIED_BYTES = 64 << 20
_LEAST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Roof:
    """What the machine can do with so many threads: operations and bytes a second."""

    threads: int
    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """Operations a byte from which on the peak is the limit."""
        return self.peak / self.bandwidth

    def attainable(self, intensity: float) -> float:
        """Return the operations a second that the machine allows at so many operations a byte."""
        return min(self.peak, self.bandwidth * intensity)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one batch size lies: operations a byte, operations a second, and the share of what is attainable."""

    batch: int
    intensity: float
    achieved: float
    share: float
    is_memory_bound: bool


def place(work: Workload, seconds: float, roof: Roof, precision: str) -> Place:
    """Return where a batch that took so long lies below the roof."""
    intensity = work.intensity(ELEMENT_BYTES.get(precision, 4.0))
    achieved = work.operations / seconds
    return Place(work.batch, intensity, achieved, achieved / roof.attainable(intensity), intensity < roof.ridge)


def measure_roof(threads: int, precision: str, *, seconds: float = 0.5) -> Roof:
    """Measure this machine's peak and bandwidth, each for at least so long.

    Raises:
        ModuleNotFoundError: The package `onnxruntime` or `onnx` is not installed.
    """
    product, operations = _product(threads, is_int8=precision == "int8")
    peak = operations / _best(product, seconds)
    with ThreadPoolExecutor(threads) as pool:
        arrays = [np.ones((2, _COPIED_BYTES // threads), dtype=np.uint8) for _ in range(threads)]

        def copy() -> None:
            for done in [pool.submit(np.copyto, pair[0], pair[1]) for pair in arrays]:
                done.result()

        bandwidth = 2 * _COPIED_BYTES / _best(copy, seconds)
    return Roof(threads, peak, bandwidth)


def _best(run: Callable[[], object], seconds: float) -> float:
    """Return the least seconds of many runs: what the machine can do, not what it does beside other work."""
    run()
    least, runs, end = float("inf"), 0, time.perf_counter() + seconds
    while runs < _LEAST_RUNS or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        least, runs = min(least, time.perf_counter() - began), runs + 1
    return least


def _product(threads: int, *, is_int8: bool) -> tuple[Callable[[], object], int]:
    import onnxruntime
    from onnx import TensorProto, helper

    kinds = (TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32) if is_int8 else (TensorProto.FLOAT,) * 3
    left, right, out = (
        helper.make_tensor_value_info(name, kind, [_SIDE, _SIDE]) for name, kind in zip("abc", kinds, strict=True)
    )
    node = helper.make_node("MatMulInteger" if is_int8 else "MatMul", ["a", "b"], ["c"])
    model = helper.make_model(
        helper.make_graph([node], "product", [left, right], [out]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    types = (np.uint8, np.int8) if is_int8 else (np.float32, np.float32)
    feed = {name: np.ones((_SIDE, _SIDE), dtype=kind) for name, kind in zip("ab", types, strict=True)}
    return lambda: session.run(None, feed), 2 * _SIDE**3
