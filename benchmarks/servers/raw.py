"""The engine without a server: `python -m benchmarks.servers.raw MODEL.onnx SECONDS` prints what it does at most.

Two callers with a session of one thread each, batch 8, in items a second; and the time of one call with one item.
"""

import json
import sys
import threading
import time

import numpy as np
import onnxruntime

_BATCH = 8


def main() -> None:
    file, seconds = sys.argv[1], float(sys.argv[2])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for _ in range(2)]
    name = sessions[0].get_inputs()[0].name
    shape = [size if isinstance(size, int) else 1 for size in sessions[0].get_inputs()[0].shape]
    one = np.random.default_rng(0).random(shape, dtype=np.float32)
    many = np.repeat(one, _BATCH, axis=0)
    for session in sessions:
        for feed in (one, many):
            session.run(None, {name: feed})
    counts = [0, 0]
    end = time.perf_counter() + seconds

    def call(number: int) -> None:
        session = sessions[number]
        while time.perf_counter() < end:
            session.run(None, {name: many})
            counts[number] += _BATCH

    began = time.perf_counter()
    callers = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    per_second = sum(counts) / (time.perf_counter() - began)
    times = []
    end = time.perf_counter() + seconds / 3
    while time.perf_counter() < end:
        began = time.perf_counter()
        sessions[0].run(None, {name: one})
        times.append(time.perf_counter() - began)
    print(json.dumps({"per_second": round(per_second, 1), "p50_ms": round(float(np.median(times)) * 1e3, 4)}))


if __name__ == "__main__":
    main()
