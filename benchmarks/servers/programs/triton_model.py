"""Triton's Python backend: what its dynamic batcher hands over is computed together."""

import os
import sys

# The stub starts its Python without PYTHONPATH.
sys.path.append(os.environ["PACKAGES"])

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        del args
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        self.session = onnxruntime.InferenceSession(os.environ["MODEL_FILE"], options)
        self.input_name = self.session.get_inputs()[0].name
        self.output_name = self.session.get_outputs()[0].name

    def execute(self, requests):
        parts = [pb.get_input_tensor_by_name(request, self.input_name).as_numpy() for request in requests]
        feed = parts[0] if len(parts) == 1 else np.concatenate(parts)
        scores = self.session.run([self.output_name], {self.input_name: feed})[0]
        answers, start = [], 0
        for part in parts:
            tensor = pb.Tensor(self.output_name, scores[start : start + len(part)])
            answers.append(pb.InferenceResponse(output_tensors=[tensor]))
            start += len(part)
        return answers
