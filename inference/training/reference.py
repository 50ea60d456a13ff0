"""What a model saw in training, as histograms: the service compares what it sees with them and so notices drift."""

import numpy as np

import score
from dataset import Corpus
from learner import Model

FEATURES = 20
BINS = 10
ROWS = 1500  # that importance is measured on


def features(schema: dict) -> list[tuple[str, str, int]]:
    """Return name, tensor and place of each number that the service can bin."""
    tensors = {t["name"]: t for t in schema["tensors"]}
    meta = [(f"meta: {n}", "meta", i) for i, n in enumerate(tensors["meta"]["columns"]) if n]
    _, packets = tensors["series"]["shape"]
    rows = [n.split(":")[0] for n in tensors["series"]["columns"]]
    return meta + [(f"series: {row}, packet {p + 1}", "series", r * packets + p) for r, row in enumerate(rows[:3]) for p in range(packets)]


def importance(model: Model, c: Corpus, schema: dict) -> list[tuple[float, tuple[str, str, int]]]:
    """Return features by how much less probable the right classes of sessions become when a feature is another session's.
    The order is fixed where they are equal."""
    random = np.random.default_rng(score.SEED)
    some = c.take(np.sort(random.permutation(len(c))[:ROWS]))
    other = random.permutation(len(some))
    at = np.arange(len(some)), some.label
    whole = np.log(score.softmax(model.margins(some))[at].clip(1e-6)).mean()
    found = []
    for name, tensor, index in features(schema):
        flat = getattr(some, tensor).reshape(len(some), -1)
        kept = flat[:, index].copy()
        flat[:, index] = kept[other]
        loss = whole - np.log(score.softmax(model.margins(some))[at].clip(1e-6)).mean()
        flat[:, index] = kept
        found.append((float(loss), (name, tensor, index)))
    return sorted(found, key=lambda f: (-f[0], f[1][0]))


def histogram(values: np.ndarray) -> dict:
    """Return the inner edges of ten bins of equal share, fewer where values are equal, and each bin's share; the last one is of what
    is absent. Bin i holds edges[i-1] <= x < edges[i]."""
    values = values.astype(np.float64)
    there = values[~np.isnan(values)]
    edges = np.unique(np.quantile(there, np.arange(1, BINS) / BINS, method="lower")) if len(there) else np.zeros(0)
    counts = np.bincount(np.searchsorted(edges, there, side="right"), minlength=len(edges) + 1)
    return {"edges": [float(e) for e in edges], "shares": [round(float(s), 6) for s in [*(counts / len(values)), 1 - len(there) / len(values)]]}


def histograms(c: Corpus, important: list[tuple[float, tuple[str, str, int]]], probs: np.ndarray, energy: np.ndarray, abstains: np.ndarray) -> dict:
    """Return sonde.refhist: of scored sessions, with probabilities and energies by models that have not seen them."""
    rows = np.flatnonzero(c.scored)
    flat = {n: getattr(c, n).reshape(len(c), -1) for n in ("meta", "series")}
    said = np.bincount(probs[rows].argmax(axis=1), minlength=len(c.names))
    return {
        "features": [{"name": name, "tensor": tensor, "index": index, "importance": round(loss, 5), **histogram(flat[tensor][rows, index])}
                     for loss, (name, tensor, index) in important[:FEATURES]],
        "confidence": histogram(probs[rows].max(axis=1)), "energy": histogram(energy[rows]),
        "classes": [round(float(s), 6) for s in said / len(rows)], "unknown_rate": round(float(abstains[rows].mean()), 4),
    }
