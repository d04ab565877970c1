"""BentoML: JSON with the floats as base64, adaptive batching."""

import base64
import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 30}, logging={"access": {"enabled": False}})
class Mnist:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], options)
        self.name = self.session.get_inputs()[0].name

    @bentoml.api(batchable=os.environ["BATCH"] != "1", max_batch_size=8, max_latency_ms=1000)
    def predict(self, images: list[str]) -> list[list[float]]:
        x = np.stack([np.frombuffer(base64.b64decode(image), dtype="<f4").reshape(1, 28, 28) for image in images])
        return self.session.run(None, {self.name: x})[0].tolist()
