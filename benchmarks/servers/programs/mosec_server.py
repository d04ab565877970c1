"""Mosec: raw floats in and out, dynamic batching."""

import os

import numpy as np
import onnxruntime
from mosec import Server, Worker


class Mnist(Worker):
    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], options)
        self.name = self.session.get_inputs()[0].name

    def deserialize(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, dtype="<f4").reshape(1, 28, 28)

    def serialize(self, data: np.ndarray) -> bytes:
        return data.tobytes()

    def forward(self, data: list[np.ndarray]) -> list[np.ndarray]:
        return list(self.session.run(None, {self.name: np.stack(data)})[0])


if __name__ == "__main__":
    server = Server()
    # Its wait is in milliseconds, and one is the least.
    server.append_worker(
        Mnist, num=int(os.environ["WORKERS"]), max_batch_size=8, max_wait_time=int(os.environ["WAIT_MS"])
    )
    server.run()
