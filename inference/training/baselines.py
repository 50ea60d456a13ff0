"""What simple rules and a stock forest reach on the same sessions: a model that does not beat them is not worth its weights.
nDPI, which made the labels, is beside them in ndpi.py."""

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from dataset import Corpus
from network import CLIENT, SERVER

# Payload bytes of each direction that the forest looks at.
FOREST_BYTES = 48
FOREST_TREES = 100


def majority(train: Corpus, test: Corpus) -> np.ndarray:
    """Answer the most frequent class."""
    return np.full(len(test), np.bincount(train.label).argmax())


def server_port(train: Corpus, test: Corpus) -> np.ndarray:
    """Answer what most sessions with that server port are. The model does not see ports."""
    ports: dict[int, np.ndarray] = {}
    for port, label in zip(train.port, train.label):
        ports.setdefault(int(port), np.zeros(len(train.names)))[label] += 1
    most = np.bincount(train.label).argmax()
    return np.array([ports[p].argmax() if (p := int(port)) in ports else most for port in test.port])


def nearest(train: Corpus, test: Corpus) -> np.ndarray:
    """Answer the class of the session whose sizes, directions and times are most alike."""
    return KNeighborsClassifier(1).fit(shape(train), train.label).predict(shape(test))


def shape(c: Corpus) -> np.ndarray:
    """Return sizes with their direction, and times, on a like scale."""
    return np.hstack([np.log1p(c.series[:, 0]) * c.series[:, 1], c.series[:, 2] / 4, c.series[:, 3]])


def forest(train: Corpus, test: Corpus) -> np.ndarray:
    """Answer what a random forest says, with the settings that it comes with, of the first payload bytes, sizes and times."""

    def columns(c: Corpus) -> np.ndarray:
        return np.hstack([c.bytes[:, CLIENT:CLIENT + FOREST_BYTES], c.bytes[:, SERVER:SERVER + FOREST_BYTES], c.series[:, 0] * c.series[:, 1], c.series[:, 2]])

    return RandomForestClassifier(FOREST_TREES, random_state=1, n_jobs=1).fit(columns(train), train.label).predict(columns(test))


ALL = {"majority": majority, "server port": server_port, "1-NN on sizes and times": nearest, "random forest": forest}


def answers(train: Corpus, test: Corpus) -> dict[str, np.ndarray]:
    """Return each baseline's answers; all learn from whole heads."""
    learn = train.take(train.scored)
    return {name: rule(learn, test) for name, rule in ALL.items()}
