"""Runs the model.onnx beside it, for a Triton without the onnxruntime backend."""

import pathlib

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        file = pathlib.Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.inputs = [t.name for t in self.session.get_inputs()]

    def execute(self, requests):
        return [self.answer(r) for r in requests]

    def answer(self, request):
        given = {name: triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
        names = request.requested_output_names()
        values = self.session.run(names, given)
        return triton.InferenceResponse([triton.Tensor(n, v) for n, v in zip(names, values)])
