"""The experiments behind docs/model.md. Each returns what report.py makes a section of, as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import baselines
import dataset
import score
from dataset import STRONG, WEAK, Corpus
from learner import Recipe, out_of_fold

# Sources with fewer sessions are left out all at once.
SMALL_SOURCE = 60

# Experiments beside the main figures are made on so many of the folds, and compared on those.
SIDE_FOLDS = 3

# Shares of the groups that the learning curve is drawn from.
SHARES = (0.1, 0.25, 0.5)


def save(results: Path, name: str, piece: dict) -> dict:
    """Write a piece for report.py."""
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(piece, indent=1) + "\n")
    return piece


def answering(c: Corpus) -> np.ndarray:
    """Return the scored rows that belong to a class."""
    return np.flatnonzero(c.scored & (c.label != c.unknown))


def judge(c: Corpus, rows: np.ndarray, margins: np.ndarray, rounds: bool = True) -> dict:
    """Return the figures of both tiers."""
    return score.tiers(c, c.label[rows], margins[rows].argmax(axis=1), c.group[rows], rounds)


@dataclass
class Calibrated:
    """Scores with what turns them into answers; what a row is judged by was chosen on other folds than its own."""

    temperature: np.ndarray  # one a row
    tau: np.ndarray  # one a row and class
    margins: np.ndarray

    @property
    def probs(self) -> np.ndarray:
        """Probabilities."""
        return score.softmax(self.margins, self.temperature[:, None])

    @property
    def abstains(self) -> np.ndarray:
        """Rows that are called unknown."""
        p = self.probs
        best = p.argmax(axis=1)
        return p.max(axis=1) < self.tau[np.arange(len(p)), best]


def settle(c: Corpus, margins: np.ndarray, rows: np.ndarray) -> tuple[float, list[float]]:
    """Return temperature and thresholds by the given rows."""
    t = score.temperature(margins[rows], c.label[rows])
    return t, score.thresholds(score.softmax(margins[rows], t), c.label[rows])


def calibrate(c: Corpus, margins: np.ndarray) -> Calibrated:
    """Calibrate each fold by the others."""
    usable = c.scored & ~np.isnan(margins).any(axis=1)
    temperature, tau = np.ones(len(c)), np.ones((len(c), len(c.names)))
    for k in range(dataset.FOLDS):
        held = c.fold == k
        temperature[held], tau[held] = settle(c, margins, usable & ~held)
    return Calibrated(temperature, tau, margins)


def cross_validation(c: Corpus, learners: dict[str, np.ndarray], chosen: str) -> dict:
    """Return the figures of all learners, and all that is known of the chosen one. Learners are scores out of fold."""
    rows, margins = answering(c), learners[chosen]
    calibrated = calibrate(c, margins)
    p, unknown, answer = calibrated.probs, calibrated.abstains, margins.argmax(axis=1)
    every = np.flatnonzero(c.scored)
    trusted = rows[c.trusted[rows]]
    rules = {n: np.full(len(c), -1) for n in baselines.ALL}
    for k in range(dataset.FOLDS):
        held = np.flatnonzero(c.scored & (c.fold == k))
        for name, said in baselines.answers(c.take(c.fold != k), c.take(held)).items():
            rules[name][held] = said
    moments = {}
    for packets in score.MOMENTS:
        at = score.at_moment(c, packets)
        moments[str(packets)] = judge(c, at, margins) | score.abstaining(c.label[at], answer[at], unknown[at], c.unknown)
    return {
        "chosen": chosen,
        "learners": {n: judge(c, rows, m) for n, m in learners.items()},
        "side": judge(c, rows[c.fold[rows] < SIDE_FOLDS], margins),
        "folds": [judge(c, rows[c.fold[rows] == k], margins, rounds=False) for k in range(dataset.FOLDS)],
        "tiers": judge(c, rows, margins),
        "dpi_and_path": judge(c, trusted, margins),
        "baselines": {n: score.tiers(c, c.label[rows], a[rows], c.group[rows]) for n, a in rules.items()},
        "classes": score.classes(c, c.label[rows], answer[rows], c.group[rows], unknown[rows]),
        "confusion": score.confusion(c, c.label[every], answer[every]), "names": c.names,
        "calibration": score.calibration(p[rows], c.label[rows]) | {"uncalibrated": score.calibration(score.softmax(margins[rows]), c.label[rows]),
                                                                     "temperatures": [round(float(calibrated.temperature[c.fold == k][0]), 3) for k in range(dataset.FOLDS)]},
        "reliability": {"confidence": [round(float(v), 4) for v in p[rows].max(axis=1)], "right": (answer[rows] == c.label[rows]).astype(int).tolist()},
        "abstaining": score.abstaining(c.label[every], answer[every], unknown[every], c.unknown),
        "moments": moments,
    }


def sources(c: Corpus, recipe: Recipe) -> dict:
    """Train without a source, and without groups that it shares with others; test on it. Pooled, each session is scored once."""
    pooled = np.full((len(c), len(c.names)), np.nan, dtype=np.float32)
    each, rows = {}, answering(c)
    names, counts = np.unique(c.source[rows], return_counts=True)
    small = set(names[counts < SMALL_SOURCE])
    of = {n: ("small ones together" if n in small else n) for n in names}
    for source in sorted(set(of.values())):
        there = np.isin(c.source, [n for n in names if of[n] == source])
        mine = rows[there[rows]]
        learn = ~there & ~np.isin(c.group, np.unique(c.group[there]))
        pooled[mine] = recipe.fit(c.take(learn)).margins(c.take(mine))
        seen = np.unique(c.label[learn & c.whole])
        each[source] = judge(c, mine, pooled) | {"never_seen": sorted({c.names[k] for k in np.unique(c.label[mine]) if k not in seen})}
    return {"pooled": judge(c, rows, pooled), "sources": each,
            "classes": score.classes(c, c.label[rows], pooled[rows].argmax(axis=1), c.group[rows], np.zeros(len(rows), dtype=bool))}


def compare(c: Corpus, recipe: Recipe) -> dict:
    """Return the figures of a model of these rows, on some of the folds."""
    rows = answering(c)
    return judge(c, rows[c.fold[rows] < SIDE_FOLDS], out_of_fold(recipe, c, folds=SIDE_FOLDS))


def learning_curve(c: Corpus, recipe: Recipe, whole: np.ndarray) -> dict:
    """Return the figures of models that were shown some of the groups; whole are the scores of one that was shown all."""
    rows = answering(c)
    rows = rows[c.fold[rows] < SIDE_FOLDS]
    groups = np.unique(c.group)
    order = np.random.default_rng(score.SEED).permutation(len(groups))
    out = {}
    for share in SHARES:
        some = np.isin(c.group, groups[order[:round(share * len(groups))]])
        out[str(share)] = judge(c, rows, out_of_fold(recipe, c, some, SIDE_FOLDS))
    return out | {"1.0": judge(c, rows, whole)}


def left_out(c: Corpus, recipe: Recipe) -> dict:
    """Leave every strong class out once, a fifth of them and a fold of the groups at a time; tell sessions of the classes that were
    left out from those of the held groups whose classes were shown."""
    strong = c.tier(STRONG)
    scores: dict[str, dict[str, list]] = {}
    by_class: dict[str, dict] = {}
    known_all: dict[str, list] = {}
    for k in range(dataset.FOLDS):
        out = strong[k::dataset.FOLDS]
        learn = (c.fold != k) & ~np.isin(c.label, out)
        model = recipe.fit(c.take(learn))
        rows = answering(c)
        known = rows[(c.fold[rows] == k) & ~np.isin(c.label[rows], out) & np.isin(c.label[rows], np.unique(c.label[learn]))]
        m = model.margins(c.take(known))
        mine = {n: f(m) for n, f in WAYS.items()}
        for n, v in mine.items():
            known_all.setdefault(n, []).append(v)
        for label in out:
            foreign = rows[c.label[rows] == label]
            f = model.margins(c.take(foreign))
            by_class[c.names[label]] = {"sessions": len(foreign), "called": most_called(c, f)}
            for n, way in WAYS.items():
                by_class[c.names[label]][n] = score.detection(mine[n], way(f))
                scores.setdefault(n, {}).setdefault("foreign", []).append(way(f))
    pooled = {n: score.detection(np.concatenate(known_all[n]), np.concatenate(scores[n]["foreign"])) for n in WAYS}
    mean = {n: {f: round(float(np.mean([v[n][f] for v in by_class.values()])), 4) for f in ("auroc", "detected")} for n in WAYS}
    return {"pooled": pooled, "mean_of_classes": mean, "classes": by_class, "better": max(WAYS, key=lambda n: mean[n]["auroc"])}


def most_called(c: Corpus, margins: np.ndarray) -> list:
    """Return what sessions are most called, and how many are."""
    counts = np.bincount(margins.argmax(axis=1), minlength=len(c.names))
    return [c.names[int(counts.argmax())], int(counts.max())]


# Scores that are high for what is foreign.
WAYS = {"max probability": lambda m: 1 - score.softmax(m)[:, :-1].max(axis=1), "energy": score.energy}


def unlabelled(features: Path, c: Corpus, temperature: float, tau: list[float], model) -> dict:
    """Return how often the shipped model abstains from sessions of which no label is known."""
    rows = dataset.unlabelled(features)
    p = score.softmax(np.mean([part.margins(rows["bytes"], rows["series"], rows["meta"]) for part in model.parts], axis=0), temperature)
    best = p.argmax(axis=1)
    believed = p.max(axis=1) >= np.array(tau)[best]
    said = np.bincount(best[believed], minlength=len(c.names))
    return {"sessions": len(p), "unknown_rate": round(float(1 - believed.mean()), 4),
            "most_answered": [[c.names[k], int(said[k])] for k in said.argsort()[::-1][:6] if said[k]]}
