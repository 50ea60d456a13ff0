"""Figures: what the page, the card and the metadata say of a model. Intervals are of 95 %, by drawing groups of captures: sessions
of one group are no independent witnesses."""

import numpy as np
from sklearn.metrics import roc_auc_score

from dataset import STRONG, WEAK, Corpus

ROUNDS = 1000
SEED = 1
BINS = 15
FALSE_ALARMS = 0.05

# Nothing less probable is believed, however right it was in the corpus: most of a large class's doubtful answers are right for
# being many, and what is of no class is among them.
BELIEVED = 0.7

# Packets after which a session is looked at.
MOMENTS = (1, 2, 4, 8, 16, 24)


def softmax(margins: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Return probabilities."""
    z = margins.astype(np.float64) / temperature
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def energy(margins: np.ndarray, temperature: float | np.ndarray = 1.0) -> np.ndarray:
    """Return the energy over the classes that are answered: the last one, UNKNOWN, is none. Low is known."""
    z = margins[:, :-1].astype(np.float64) / np.reshape(temperature, (-1, 1))
    top = z.max(axis=1, keepdims=True)
    return -np.ravel(temperature) * (top[:, 0] + np.log(np.exp(z - top).sum(axis=1)))


def calibration_error(probs: np.ndarray, label: np.ndarray) -> float:
    """Return the expected calibration error over bins of equal mass."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == label
    order = np.argsort(confidence, kind="stable")
    return float(sum(abs(confidence[b].mean() - right[b].mean()) * len(b) for b in np.array_split(order, BINS) if len(b)) / len(label))


def calibration(probs: np.ndarray, label: np.ndarray) -> dict:
    """Return calibration error, negative log likelihood and Brier score."""
    hot = np.eye(probs.shape[1])[label]
    return {"ece": round(calibration_error(probs, label), 4),
            "nll": round(float(-np.log(probs[np.arange(len(label)), label].clip(1e-12)).mean()), 4),
            "brier": round(float(((probs - hot) ** 2).sum(axis=1).mean()), 4)}


def temperature(margins: np.ndarray, label: np.ndarray) -> float:
    """Return the temperature with the least calibration error. The one with the least negative log likelihood is larger: a few
    labels that are wrong, or classes of a single laboratory, weigh too much in it."""
    grid = np.geomspace(0.5, 4, 43)
    return float(grid[int(np.argmin([calibration_error(softmax(margins, t), label) for t in grid]))])


def thresholds(probs: np.ndarray, label: np.ndarray, precision: float = 0.95) -> list[float]:
    """Return for each class the least probability from which on it is believed: where that precision is reached, at least
    BELIEVED, and a cautious one where too little is known to say so. The last class, UNKNOWN, is never believed."""
    predicted, p = probs.argmax(axis=1), probs.max(axis=1)
    out = []
    for k in range(probs.shape[1] - 1):
        mine = predicted == k
        tau = 0.9
        for candidate in np.arange(BELIEVED, 0.96, 0.025):
            believed = mine & (p >= candidate)
            if believed.sum() >= 5 and (label[believed] == k).mean() >= precision:
                tau = float(candidate)
                break
        out.append(round(tau, 3))
    return [*out, 1.0]


class Counts:
    """Hits, sessions and answers of each group and class, from which figures are made again and again."""

    def __init__(self, c: Corpus, label: np.ndarray, answer: np.ndarray, group: np.ndarray):
        names, of = np.unique(group, return_inverse=True)
        shape = (len(names), len(c.names))
        self.hits, self.sessions, self.answers = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        np.add.at(self.sessions, (of, label), 1)
        np.add.at(self.answers, (of, answer), 1)
        np.add.at(self.hits, (of[label == answer], label[label == answer]), 1)

    def figures(self, over: np.ndarray, times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return figures for each row of times, which says how often each group counts."""
        times = np.ones((1, len(self.hits))) if times is None else times
        hits, sessions, answers = times @ self.hits, times @ self.sessions, times @ self.answers
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = np.where(sessions > 0, 2 * hits / (sessions + answers), np.nan)
            return {"accuracy": hits[:, over].sum(axis=1) / sessions[:, over].sum(axis=1), "macro_f1": np.nanmean(f1[:, over], axis=1),
                    "precision": np.where(answers > 0, hits / answers, 0), "recall": hits / sessions, "f1": f1}

    def draws(self) -> np.ndarray:
        """Return how often each group counts, drawn with replacement, the same way each time."""
        g = len(self.hits)
        return np.random.default_rng(SEED).multinomial(g, np.full(g, 1 / g), ROUNDS).astype(np.float64)


def interval(values: np.ndarray) -> list[float]:
    """Return the 2.5th and 97.5th percentile."""
    return [round(float(v), 4) for v in np.nanpercentile(values, [2.5, 97.5])]


def tiers(c: Corpus, label: np.ndarray, answer: np.ndarray, group: np.ndarray, rounds: bool = True) -> dict:
    """Return accuracy and macro-F1 of the strong tier and of all classes. What a session of a weak class is wrongly called counts
    against the class that it is called."""
    counts, out = Counts(c, label, answer, group), {}
    for name, over in (("strong", c.tier(STRONG)), ("all", c.tier(STRONG, WEAK))):
        inside = np.isin(label, over)
        out[name] = {"sessions": int(inside.sum()), "groups": len(np.unique(group[inside])), "classes": len(np.unique(label[inside]))}
        if not inside.any():
            continue
        one = counts.figures(over)
        many = counts.figures(over, counts.draws()) if rounds else None
        for f in ("accuracy", "macro_f1"):
            out[name][f] = round(float(one[f][0]), 4)
            if rounds:
                out[name][f + "_interval"] = interval(many[f])
    return out


def classes(c: Corpus, label: np.ndarray, answer: np.ndarray, group: np.ndarray, unknown: np.ndarray) -> dict:
    """Return precision, recall and F1 of each class with intervals, and how often it is called unknown."""
    counts = Counts(c, label, answer, group)
    one, many = counts.figures(c.tier(STRONG, WEAK)), counts.figures(c.tier(STRONG, WEAK), counts.draws())
    out = {}
    for k in c.tier(STRONG, WEAK):
        mine = label == k
        if mine.any():
            out[c.names[k]] = {"tier": c.tiers[k], "sessions": int(mine.sum()), "groups": len(np.unique(group[mine])),
                               **{f: round(float(one[f][0, k]), 3) for f in ("precision", "recall", "f1")},
                               "precision_interval": interval(many["precision"][:, k]), "recall_interval": interval(many["recall"][:, k]),
                               "f1_interval": interval(many["f1"][:, k]), "unknown_rate": round(float(unknown[mine].mean()), 3)}
    return out


def confusion(c: Corpus, label: np.ndarray, answer: np.ndarray) -> list[list[int]]:
    """Return sessions by class, and by what they were called."""
    table = np.zeros((len(c.names), len(c.names)), dtype=np.int64)
    np.add.at(table, (label, answer), 1)
    return table.tolist()


def abstaining(label: np.ndarray, answer: np.ndarray, unknown: np.ndarray, background: int) -> dict:
    """Return how often the model abstains, and what its answers are worth."""
    known = label != background
    answered = ~unknown & known
    return {"unknown_rate": round(float(unknown[known].mean()), 4),
            "accuracy_when_answered": round(float((answer == label)[answered].mean()), 4) if answered.any() else None,
            "background": int((~known).sum()), "background_answered": round(float((~unknown)[~known].mean()), 4) if (~known).any() else None}


def at_moment(c: Corpus, packets: int) -> np.ndarray:
    """Return of each scored session the row with the most packets that had come by then, if anything had been seen."""
    latest: dict[str, int] = {}
    wanted = set(c.session[c.scored])
    for i in np.flatnonzero((c.packets <= packets) & (c.variant == "")):
        if c.session[i] in wanted and (c.session[i] not in latest or c.packets[i] > c.packets[latest[c.session[i]]]):
            latest[c.session[i]] = i
    rows = np.array(sorted(latest.values()), dtype=np.int64)
    return rows[~c.empty[rows] & (c.label[rows] != c.unknown)]


def detection(known: np.ndarray, foreign: np.ndarray) -> dict:
    """Return how well a score, high for what is foreign, tells foreign sessions from known ones."""
    y = np.r_[np.zeros(len(known)), np.ones(len(foreign))]
    limit = np.quantile(known, 1 - FALSE_ALARMS)
    return {"auroc": round(float(roc_auc_score(y, np.r_[known, foreign])), 4), "detected": round(float((foreign > limit).mean()), 4)}
