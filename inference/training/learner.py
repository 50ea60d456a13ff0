"""What is trained: networks, trees, or the mean of both, behind the same few functions."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import torch

import dataset
import graph
from network import Network
from network import Settings as NetworkSettings
from trees import Settings as TreesSettings
from trees import Trees
from dataset import Corpus

# Networks that differ by their seed only; their scores are averaged in one graph.
SEEDS = 1


@dataclass(frozen=True)
class Recipe:
    """How a model is made."""

    networks: int = SEEDS
    forests: int = 0  # of boosted trees: 0 or 1
    network: NetworkSettings = field(default_factory=NetworkSettings)
    trees: TreesSettings = field(default_factory=TreesSettings)

    def fit(self, c: Corpus, seed: int = 1) -> "Model":
        """Train on all rows given."""
        weights = dataset.weights(c)
        parts: list = []
        for i in range(self.networks):
            n = Network(c.manifest["schema"], len(c.names), self.network, seed + i)
            parts.append(n.fit(c.bytes, c.series, c.meta, c.label, weights))
        for i in range(self.forests):
            parts.append(Trees(len(c.names), self.trees, seed + i).fit(c.bytes, c.series, c.meta, c.label, weights))
        return Model(parts)

    def describe(self) -> str:
        """Return what it is, for people."""
        words = []
        if self.networks:
            n = self.network
            several = f"the mean of {self.networks} networks, each" if self.networks > 1 else "a network"
            words.append(f"{several} with one hidden layer of {n.hidden}, over numbers, {2 * n.prefix} bytes by position and tokens ({n.epochs} epochs)")
        if self.forests:
            words.append(f"gradient-boosted trees ({self.trees.rounds} for each class, depth {self.trees.depth})")
        return " and ".join(words)


NETWORK, TREES, BOTH = Recipe(), Recipe(networks=0, forests=1), Recipe(forests=1)


@dataclass
class Model:
    """What has been trained."""

    parts: list

    def margins(self, c: Corpus) -> np.ndarray:
        """Return the scores before calibration: the mean of the parts'."""
        return np.mean([p.margins(c.bytes, c.series, c.meta) for p in self.parts], axis=0)

    def graphs(self) -> list[onnx.GraphProto]:
        """Return each part's graph."""
        return [graph.of_network(p) if isinstance(p, torch.nn.Module) else p.graph() for p in self.parts]


def out_of_fold(recipe: Recipe, c: Corpus, training: np.ndarray | None = None, folds: int = dataset.FOLDS) -> np.ndarray:
    """Return the scores of each row by a model that has not seen its group. Folds that are not asked for are not a number."""
    out = np.full((len(c), len(c.names)), np.nan, dtype=np.float32)
    for k in range(folds):
        learn = c.fold != k if training is None else training & (c.fold != k)
        held = np.flatnonzero(c.fold == k)
        if len(held):
            out[held] = recipe.fit(c.take(learn)).margins(c.take(held))
    return out
