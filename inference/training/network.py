"""A small network on a row: numbers through a standardised dense layer, bytes and tokens through a table of vectors.

All of a row's preparation is in `inputs` and the scaling, which graph.py writes into the ONNX graph once more; train.py
checks that both agree.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

HIDDEN = 128
EPOCHS = 24
BATCH = 128
RATE = 2e-3
DECAY = 0.1  # weight decay, as in AdamW
CLIP = 4.0  # of standardised numbers

# Of each direction's part of `bytes` the network sees this many, each as two half bytes.
PREFIX = 16
CLIENT, SERVER = 0, 512

# How often a whole kind of input is taken away in training, so that none is relied on alone.
DROP = {"numbers": 0.2, "bytes": 0.2, "tokens": 0.2}


@dataclass(frozen=True)
class Layout:
    """What of the schema the network needs to know."""

    tokens: int  # how many there are
    client_token: int  # columns of meta
    server_token: int

    @staticmethod
    def of(schema: dict) -> "Layout":
        """Read a schema."""
        meta = next(t for t in schema["tensors"] if t["name"] == "meta")["columns"]
        return Layout(len(schema["tokens"]), meta.index("client: token"), meta.index("server: token"))

    @property
    def halves(self) -> int:
        """Rows of the table that belong to half bytes."""
        return 2 * PREFIX * 32

    @property
    def rows(self) -> int:
        """Rows of the table: half bytes by position, tokens of the client, of the server, of either."""
        return self.halves + 3 * self.tokens


def inputs(layout: Layout, bytes_: np.ndarray, series: np.ndarray, meta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of each row, and the rows of the table that it takes."""
    numbers = np.hstack([meta, series[:, 0] * series[:, 1], series[:, 2] * series[:, 3]])
    numbers = np.sign(numbers) * np.log1p(np.abs(numbers))
    both = np.hstack([bytes_[:, CLIENT:CLIENT + PREFIX], bytes_[:, SERVER:SERVER + PREFIX]]).astype(np.int64)
    at = np.arange(2 * PREFIX) * 32
    tokens = meta[:, [layout.client_token, layout.server_token]].astype(np.int64)
    own = layout.halves + np.array([0, layout.tokens])
    return numbers.astype(np.float32), np.hstack([at + both // 16, at + 16 + both % 16, own + tokens, layout.halves + 2 * layout.tokens + tokens])


class Network:
    """One network: fit it, ask it for scores."""

    def __init__(self, layout: Layout, classes: int, seed: int = 1):
        self.layout, self.classes, self.random = layout, classes, np.random.default_rng(seed)

    def prepare(self, numbers: np.ndarray) -> np.ndarray:
        """Standardise numbers; what is absent is the mean, and marked."""
        absent = np.isnan(numbers)
        z = np.clip((np.where(absent, self.mean, numbers) - self.mean) / self.deviation, -CLIP, CLIP)
        return np.hstack([z, absent]).astype(np.float32)

    def fit(self, bytes_: np.ndarray, series: np.ndarray, meta: np.ndarray, label: np.ndarray, weight: np.ndarray) -> "Network":
        """Train with Adam on weighted cross entropy."""
        numbers, taken = inputs(self.layout, bytes_, series, meta)
        self.mean = np.nan_to_num(np.nanmean(numbers, axis=0)).astype(np.float32)
        self.deviation = (np.nan_to_num(np.nanstd(numbers, axis=0)) + 1e-2).astype(np.float32)
        x = self.prepare(numbers)
        table = one_hot(taken, self.layout.rows)
        scale = np.sqrt(1 / HIDDEN)
        self.parameters = {
            "dense": self.random.normal(0, np.sqrt(1 / x.shape[1]), (x.shape[1], HIDDEN)).astype(np.float32),
            "table": self.random.normal(0, 0.1, (self.layout.rows, HIDDEN)).astype(np.float32),
            "bias": np.zeros(HIDDEN, np.float32),
            "out": self.random.normal(0, scale, (HIDDEN, self.classes)).astype(np.float32),
            "out_bias": np.zeros(self.classes, np.float32),
        }
        moments = {k: (np.zeros_like(p), np.zeros_like(p)) for k, p in self.parameters.items()}
        weight = (weight / weight.mean()).astype(np.float32)
        tokens = np.zeros(self.layout.rows, np.float32)
        tokens[self.layout.halves:] = 1
        steps, step = EPOCHS * (len(label) // BATCH), 0
        for _ in range(EPOCHS):
            order = self.random.permutation(len(label))
            for rows in np.split(order[: len(label) // BATCH * BATCH], len(label) // BATCH):
                step += 1
                keep = {k: (self.random.random(BATCH) >= p).astype(np.float32) for k, p in DROP.items()}
                picked = table[rows]
                by_row = np.repeat(np.arange(BATCH), picked.indptr[1:] - picked.indptr[:-1])
                is_token = tokens[picked.indices]
                picked.data = np.where(is_token > 0, keep["tokens"][by_row], keep["bytes"][by_row]) * picked.data
                gradients = self.gradients(x[rows] * keep["numbers"][:, None], picked, label[rows], weight[rows])
                rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
                for k, g in gradients.items():
                    m, v = moments[k]
                    m += 0.1 * (g - m)
                    v += 0.001 * (g * g - v)
                    update = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
                    decay = 0 if k.endswith("bias") else DECAY
                    self.parameters[k] -= np.float32(rate) * (update + decay * self.parameters[k])
        return self

    def hidden(self, x: np.ndarray, table: sparse.csr_matrix) -> np.ndarray:
        """Return the hidden layer."""
        p = self.parameters
        return np.maximum(x @ p["dense"] + table @ p["table"] + p["bias"], 0)

    def gradients(self, x: np.ndarray, table: sparse.csr_matrix, label: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return the loss's gradients for one batch."""
        p, h = self.parameters, self.hidden(x, table)
        scores = h @ p["out"] + p["out_bias"]
        d = np.exp(scores - scores.max(axis=1, keepdims=True))
        d /= d.sum(axis=1, keepdims=True)
        d[np.arange(len(label)), label] -= 1
        d *= weight[:, None] / len(label)
        back = (d @ p["out"].T) * (h > 0)
        return {"out": h.T @ d, "out_bias": d.sum(axis=0), "dense": x.T @ back, "table": table.T @ back, "bias": back.sum(axis=0)}

    def margins(self, bytes_: np.ndarray, series: np.ndarray, meta: np.ndarray) -> np.ndarray:
        """Return the scores before calibration."""
        numbers, taken = inputs(self.layout, bytes_, series, meta)
        p = self.parameters
        return self.hidden(self.prepare(numbers), one_hot(taken, self.layout.rows)) @ p["out"] + p["out_bias"]


def one_hot(taken: np.ndarray, width: int) -> sparse.csr_matrix:
    """Return a matrix that adds up the rows taken."""
    rows, each = taken.shape
    data = np.ones(taken.size, np.float32)
    return sparse.csr_matrix((data, taken.ravel(), np.arange(0, taken.size + 1, each)), shape=(rows, width))
