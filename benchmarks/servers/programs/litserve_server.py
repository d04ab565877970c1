"""LitServe: JSON with the floats as base64, its batching, its ZeroMQ queue."""

import base64
import os

import litserve
import numpy as np
import onnxruntime


class Mnist(litserve.LitAPI):
    def setup(self, device: str) -> None:
        del device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], options)
        self.name = self.session.get_inputs()[0].name

    def decode_request(self, request):
        return np.frombuffer(base64.b64decode(request["image"]), dtype="<f4").reshape(1, 28, 28)

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, x):
        return self.session.run(None, {self.name: x if x.ndim == 4 else x[None]})[0]

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"scores": np.ravel(output).tolist()}


if __name__ == "__main__":
    batch = int(os.environ["BATCH"])
    api = Mnist(max_batch_size=batch, batch_timeout=0.001 if batch > 1 else 0.0)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]), fast_queue=os.environ["FAST"] == "1"
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["FRONTS"]),
        generate_client_file=False,
        log_level="warning",
    )
