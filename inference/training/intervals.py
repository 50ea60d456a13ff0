"""Confidence intervals over groups of captures: sessions of one group are no independent witnesses, groups are."""

from collections.abc import Callable

import numpy as np

ROUNDS = 1000
SEED = 1


def over_groups(group: np.ndarray, figure: Callable[[np.ndarray], float], rounds: int = ROUNDS, seed: int = SEED) -> list[float]:
    """Return the 2.5th and 97.5th percentile of a figure when groups are drawn with replacement. The figure is a function of
    how often each row counts; rounds in which it is not a number are left out."""
    names, of = np.unique(group, return_inverse=True)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        drawn = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))
        values.append(figure(drawn[of]))
    values = np.array(values)
    values = values[~np.isnan(values)]
    return [round(float(v), 4) for v in np.percentile(values, [2.5, 97.5])] if len(values) else [float("nan")] * 2


def accuracy(right: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return accuracy as a function of how often each row counts."""
    def figure(times: np.ndarray) -> float:
        return float((right * times).sum() / times.sum()) if times.sum() else float("nan")

    return figure


def f1_by_class(label: np.ndarray, answer: np.ndarray, classes: int, times: np.ndarray | None = None) -> np.ndarray:
    """Return the F1 of each class; not a number where the class does not occur. Answers outside of the classes are wrong."""
    times = np.ones(len(label)) if times is None else times
    inside = (answer >= 0) & (answer < classes)
    support = np.bincount(label, times, classes)
    said = np.bincount(answer[inside], times[inside], classes)
    hit = np.bincount(label[answer == label], times[answer == label], classes)
    with np.errstate(invalid="ignore"):
        return np.where(support > 0, 2 * hit / (support + said), np.nan)


def macro_f1(label: np.ndarray, answer: np.ndarray, over: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return the mean F1 of the given classes, as far as they occur, as a function of how often each row counts."""
    classes = int(max(label.max(initial=0), over.max(initial=0))) + 1

    def figure(times: np.ndarray) -> float:
        each = f1_by_class(label, answer, classes, times)[over]
        return float(np.nanmean(each)) if (~np.isnan(each)).any() else float("nan")

    return figure


def scores(label: np.ndarray, answer: np.ndarray, group: np.ndarray, over: np.ndarray, rounds: int = ROUNDS) -> dict:
    """Return accuracy and macro-F1 over some classes, each with its interval over groups."""
    ones = np.ones(len(label))
    out = {"sessions": int(len(label)), "groups": int(len(np.unique(group)))}
    for name, figure in (("accuracy", accuracy(answer == label)), ("macro_f1", macro_f1(label, answer, over))):
        out[name] = round(figure(ones), 4)
        out[f"{name}_interval"] = over_groups(group, figure, rounds)
    return out


def text(value: float, interval: list[float] | None = None, digits: int = 3) -> str:
    """Return a figure for people."""
    if value is None or np.isnan(value):
        return "-"
    return f"{value:.{digits}f}" + (f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})" if interval else "")
