"""How experiments train: the shipped model's network with its settings, on some rows of a corpus."""

import numpy as np

import dataset
from network import Network


def network(c: dataset.Corpus, rows: np.ndarray, seed: int = 1) -> Network:
    """Train on the given rows."""
    part = c.take(rows)
    return Network(c.manifest["schema"], len(c.names), seed=seed).fit(part.bytes, part.series, part.meta, part.label, dataset.weights(part))


def answers(model: Network, c: dataset.Corpus) -> np.ndarray:
    """Return the position of the class that is most probable for each row."""
    return model.margins(c.bytes, c.series, c.meta).argmax(axis=1)
