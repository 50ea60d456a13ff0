"""What the client programs have in common: the arguments, rows of inputs, and the answer that ONNX Runtime gives."""

import dataclasses
import pathlib
import sys

import numpy as np
import onnxruntime


@dataclasses.dataclass
class Place:
    address: str
    ca: str
    certificate: str
    key: str
    model: str  # the file that is served as "sonde"

    def bytes(self):
        return [pathlib.Path(p).read_bytes() for p in (self.ca, self.key, self.certificate)]


def place():
    return Place(*sys.argv[1:6])


TYPES = {"bytes": "UINT8", "series": "FP32", "meta": "FP32"}
TOLERANCE = 1e-5  # numbers add up in another order in a run of other rows


def rows(n, seed=1):
    """Inputs of n sessions that never were; some features are absent."""
    r = np.random.default_rng(seed)
    meta = r.normal(size=(n, 96)).astype(np.float32)
    meta[r.random(meta.shape) < 0.2] = np.nan
    return {
        "bytes": r.integers(0, 256, (n, 784), np.uint8),
        "series": r.normal(size=(n, 4, 24)).astype(np.float32),
        "meta": meta,
    }


class Oracle:
    """The same file, run by ONNX Runtime here."""

    def __init__(self, file):
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.names = [o.name for o in self.session.get_outputs()]

    def answer(self, inputs):
        return dict(zip(self.names, self.session.run(self.names, inputs)))

    def check(self, inputs, get, names=("probs", "energy", "label")):
        """Compares what get gives for a name."""
        want = self.answer(inputs)
        for name in names:
            got = get(name)
            assert got.dtype == want[name].dtype and got.shape == want[name].shape, (name, got.dtype, got.shape)
            if name == "label":
                assert np.array_equal(got, want[name]), name
            else:
                assert np.allclose(got, want[name], rtol=0, atol=TOLERANCE), (name, np.abs(got - want[name]).max())


def refused(call, *words):
    """The call fails, and its message has the words. Returns the error."""
    try:
        call()
    except Exception as error:  # each client has its own
        text = str(error)
        missing = [w for w in words if w not in text]
        assert not missing, f"{missing} is not in: {text}"
        print("   ", text.splitlines()[0])
        return error
    raise AssertionError(f"was not refused: {words}")
