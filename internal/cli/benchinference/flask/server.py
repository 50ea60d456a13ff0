"""A model server as people write it: Flask around a PyTorch network.

    server.py MODEL PORT                                  Flask's own server with threads, JSON both ways
    MODEL=... gunicorn --workers=2 'server:application()'     the same application; /predict-binary takes and gives raw tensors

Both run the network of MODEL, an ONNX file, in PyTorch with one thread a run.
"""

import os
import sys

import numpy as np
import torch
from flask import Flask, Response, jsonify, request

from graph import Graph

# Of one row of the binary body, in this order.
FORMS = {"bytes": (np.dtype("u1"), (784,)), "series": (np.dtype("<f4"), (4, 24)), "meta": (np.dtype("<f4"), (96,))}


def create(model: str) -> Flask:
    """Return the application with the model loaded."""
    torch.set_num_threads(1)
    graph = Graph(model)
    app = Flask("server")

    @app.get("/ready")
    def ready():
        return jsonify(ready=True)

    @app.post("/predict")
    def predict():
        rows = request.get_json()["instances"]
        outputs = graph.run(**{name: np.array([row[name] for row in rows], dtype) for name, (dtype, _) in FORMS.items()})
        return jsonify(probs=outputs["probs"].tolist(), energy=outputs["energy"].tolist())

    @app.post("/predict-binary")
    def predict_binary():
        body = bytearray(request.get_data(cache=False))
        count = len(body) // sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in FORMS.values())
        inputs, at = {}, 0
        for name, (dtype, shape) in FORMS.items():
            size = count * dtype.itemsize * int(np.prod(shape))
            inputs[name] = np.frombuffer(body, dtype, size // dtype.itemsize, at).reshape(count, *shape)
            at += size
        outputs = graph.run(**inputs)
        return Response(outputs["probs"].tobytes() + outputs["energy"].tobytes(), mimetype="application/octet-stream")

    return app


def application() -> Flask:
    """What gunicorn calls in each worker."""
    return create(os.environ["MODEL"])


if __name__ == "__main__":
    import logging
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request is nobody's wish under load
    create(sys.argv[1]).run(host="127.0.0.1", port=int(sys.argv[2]), threaded=True)
