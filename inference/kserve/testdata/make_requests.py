"""Writes the bytes that stock Python clients send: python make_requests.py [FOLDER].

Needs tritonclient[grpc] or kserve (PyPI); writes the requests of whichever is
there, so that the two may come from two environments. Made with tritonclient
2.73.0 and kserve 0.21.0.
"""

import pathlib
import sys

import numpy as np

ROWS = 2


def arrays():
    n = np.arange
    data = np.array([[(7 * row + i) % 4 for i in n(784)] for row in n(ROWS)], np.uint8)
    series = np.array([[((row + i) % 5 - 2) / 2 for i in n(96)] for row in n(ROWS)], np.float32).reshape(ROWS, 4, 24)
    meta = np.array([[np.nan if i % 7 == 0 else (row + i) % 3 - 1 for i in n(96)] for row in n(ROWS)], np.float32)
    return {"bytes": (data, "UINT8"), "series": (series, "FP32"), "meta": (meta, "FP32")}


def triton():
    import tritonclient.grpc as client
    from tritonclient.grpc._utils import _get_inference_request

    def request(outputs=None, **options):
        inputs = []
        for name, (array, datatype) in arrays().items():
            tensor = client.InferInput(name, array.shape, datatype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        given = dict(
            model_name="good", inputs=inputs, model_version="", request_id="", outputs=outputs, sequence_id=0,
            sequence_start=False, sequence_end=False, priority=0, timeout=None, parameters=None)
        return _get_inference_request(**{**given, **options})

    yield "triton-plain", request(request_id="plain")
    yield "triton-classes", request(
        [client.InferRequestedOutput("label"), client.InferRequestedOutput("probs", class_count=2)],
        request_id="classes", model_version="1", priority=1, timeout=5_000_000, parameters={"unheard-of": "passed over"})
    yield "triton-sequence", request(sequence_id=7, sequence_start=True)


def kserve():
    from kserve import InferInput, InferRequest

    def request(raw, **options):
        inputs = []
        for name, (array, datatype) in arrays().items():
            if raw:
                tensor = InferInput(name=name, shape=list(array.shape), datatype=datatype)
                tensor.set_data_from_numpy(array, binary_data=True)
            else:
                tensor = InferInput(name=name, shape=list(array.shape), datatype=datatype, data=array.flatten().tolist())
            inputs.append(tensor)
        return InferRequest(model_name="good", infer_inputs=inputs, **options).to_grpc()

    yield "kserve-raw", request(True, request_id="raw")
    yield "kserve-typed", request(False, request_id="typed")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for client in triton, kserve:
        try:
            for name, request in client():
                data = request.SerializeToString(deterministic=True)
                (folder / f"{name}.pb").write_bytes(data)
                print(name, len(data))
        except ImportError as missing:
            print(client.__name__, "is not here:", missing)


if __name__ == "__main__":
    main()
