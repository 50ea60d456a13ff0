"""Scores: what the card and the metadata say of a model."""

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier

from dataset import OTHER, Corpus

PACKETS = (1, 2, 3, 5, 10, 24)


def softmax(margins: np.ndarray, temperature: float) -> np.ndarray:
    """Return calibrated probabilities."""
    z = margins / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def calibration_error(probs: np.ndarray, label: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal mass."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == label
    order = np.argsort(confidence)
    return float(sum(abs(confidence[b].mean() - right[b].mean()) * len(b) for b in np.array_split(order, bins) if len(b)) / len(label))


def temperature(margins: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature with the least calibration error. The one with the least negative log likelihood is larger: a few
    labels that are wrong, or classes of a single laboratory, weigh too much in it."""
    grid = np.geomspace(0.5, 4, 43)
    return float(grid[int(np.argmin([calibration_error(softmax(margins, t), label) for t in grid]))])


def thresholds(probs: np.ndarray, label: np.ndarray, names: list[str], precision: float = 0.95) -> list[float]:
    """Return for each label the least probability from which on it is believed: where that precision is reached, and a
    cautious one where too little is known to say so. OTHER is never believed."""
    predicted, p = probs.argmax(axis=1), probs.max(axis=1)
    out = []
    for k, name in enumerate(names):
        mine = predicted == k
        if name == OTHER:
            out.append(1.0)
            continue
        tau = 0.9
        for candidate in np.arange(0.40, 0.96, 0.025):
            believed = mine & (p >= candidate)
            if believed.sum() >= 5 and (label[believed] == k).mean() >= precision:
                tau = float(candidate)
                break
        out.append(round(tau, 3))
    return out


def macro_f1(label: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur."""
    return round(float(f1_score(label, predicted, labels=np.unique(label), average="macro", zero_division=0)), 4)


def figures(c: Corpus, probs: np.ndarray, tau: list[float]) -> dict:
    """Return the figures of one split; rows in which nothing has been seen are left out."""
    seen, other = ~c.empty, c.names.index(OTHER) if OTHER in c.names else -1
    predicted, p = probs.argmax(axis=1), probs.max(axis=1)
    unknown = p < np.array(tau)[predicted]

    def one(rows: np.ndarray) -> dict:
        y, h, u = c.label[rows], predicted[rows], unknown[rows]
        known = y != other
        answered = ~u & known
        return {
            "sessions": int(len(y)),
            "accuracy": round(float((h == y).mean()), 4),
            "macro_f1": macro_f1(y, h),
            "unknown_rate": round(float(u[known].mean()), 4),
            "accuracy_when_answered": round(float((h == y)[answered].mean()), 4) if answered.any() else None,
            "other_answered": round(float((~u)[~known].mean()), 4) if (~known).any() else None,
        }

    whole = c.whole & seen
    y, h = c.label[whole], predicted[whole]
    precision, recall, f1, support = precision_recall_fscore_support(y, h, labels=range(len(c.names)), zero_division=0)
    return {
        "whole_heads": one(whole),
        "whole_heads_dpi_and_path": one(whole & c.trusted),
        "ece": round(calibration_error(probs[whole], y), 4),
        "by_packets_held": {str(k): one(seen & (c.packets == k)) for k in PACKETS if (seen & (c.packets == k)).any()},
        "by_class": {
            name: {"sessions": int(support[k]), "groups": len(set(c.group[whole & (c.label == k)])), "precision": round(float(precision[k]), 3),
                   "recall": round(float(recall[k]), 3), "f1": round(float(f1[k]), 3),
                   "unknown_rate": round(float(unknown[whole][y == k].mean()), 3)}
            for k, name in enumerate(c.names) if support[k] > 0},
        "confusion": confusion(c, y, h, unknown[whole]),
    }


def confusion(c: Corpus, y: np.ndarray, h: np.ndarray, unknown: np.ndarray) -> list[list]:
    """Return the most frequent answers that are wrong: label, answer, sessions."""
    pairs: dict[tuple[str, str], int] = {}
    for a, b in zip(y[~unknown & (y != h)], h[~unknown & (y != h)]):
        pairs[c.names[a], c.names[b]] = pairs.get((c.names[a], c.names[b]), 0) + 1
    return [[a, b, n] for (a, b), n in sorted(pairs.items(), key=lambda e: -e[1])[:20]]


def baselines(train: Corpus, test: Corpus) -> dict:
    """Return what the simplest rules reach on whole heads."""
    fit, look = train.take(train.whole & ~train.empty), test.take(test.whole & ~test.empty)
    majority = np.bincount(fit.label).argmax()
    ports: dict[int, np.ndarray] = {}
    for port, label in zip(fit.port, fit.label):
        ports.setdefault(int(port), np.zeros(len(fit.names)))[label] += 1
    by_port = np.array([ports[int(p)].argmax() if int(p) in ports else majority for p in look.port])

    def shape(c: Corpus) -> np.ndarray:
        return np.hstack([np.log1p(c.series[:, 0]) * c.series[:, 1], c.series[:, 2] / 4, c.series[:, 3]])

    nearest = KNeighborsClassifier(1, n_jobs=2).fit(shape(fit), fit.label).predict(shape(look))

    def one(h: np.ndarray) -> dict:
        return {"accuracy": round(float((h == look.label).mean()), 4), "macro_f1": macro_f1(look.label, h)}

    return {"majority": one(np.full(len(look.label), majority)), "server port": one(by_port), "1-NN on series": one(nearest)}
