"""KServe's own SDK server around one ONNX file: what a user writes who follows its documentation."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.model_server import parser

MODEL_FILE = Path(os.environ.get("MODEL_FILE", "/mnt/models/model.onnx"))


class OnnxModel(Model):
    """One session; the inputs and outputs are the graph's."""

    def load(self) -> bool:
        self.session = onnxruntime.InferenceSession(MODEL_FILE, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.ready = True
        return self.ready

    async def predict(self, payload: InferRequest, headers=None) -> InferResponse:  # noqa: ARG002  (the SDK's)
        feed = {tensor.name: tensor.as_numpy().astype(np.float32) for tensor in payload.inputs}
        answers = self.session.run(self.outputs, feed)
        outputs = []
        for name, values in zip(self.outputs, answers, strict=True):
            output = InferOutput(name=name, shape=list(values.shape), datatype="FP32")
            output.set_data_from_numpy(values, binary_data=False)
            outputs.append(output)
        return InferResponse(response_id=payload.id or "0", model_name=self.name, infer_outputs=outputs)


if __name__ == "__main__":
    arguments, _ = parser.parse_known_args()
    model = OnnxModel(arguments.model_name)
    model.load()
    ModelServer().start([model])
