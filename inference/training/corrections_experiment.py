"""What corrections are worth: a class is left out of training as if nobody had ever labelled it, then some of its sessions
come back as people's corrections, and the model is trained again.

Corrections come from groups of captures of their own; recall is measured on groups that neither training nor corrections
have seen. What the other classes lose is compared with what they differ by when nothing but the seed changes.
"""

import argparse
from pathlib import Path

import numpy as np

import dataset
import experiments
import intervals
import learner

LEFT_OUT = ("mdns", "smtp", "dnp3")
CORRECTIONS = (0, 5, 10, 20, 40)
SEEDS = (1, 2)
FOLDS = (0, 1)  # whose groups are tested, each by models that have not seen them

# Sessions of one group among the corrections: people correct what they see, and see many kinds.
PER_GROUP = 8

# Classes with fewer sessions in the test lose or win a point by a single one.
LEAST = 20


def choose(c: dataset.Corpus, k: int, n: int, fold: int) -> np.ndarray:
    """Return the sessions of a class that n corrections are: of the other folds, groups in turn. More corrections hold all
    of the fewer."""
    mine = np.random.default_rng(fold).permutation(np.flatnonzero(c.scored & (c.label == k) & (c.fold != fold)))
    taken: dict[str, int] = {}
    turn = []
    for i in mine:
        taken[c.group[i]] = taken.get(c.group[i], 0) + 1
        turn.append(taken[c.group[i]])
    order = np.argsort(turn, kind="stable")
    return mine[order[np.sort(turn) <= PER_GROUP]][:n]


def answers(c: dataset.Corpus, recipe: learner.Recipe, k: int, n: int, folds: tuple[int, ...], seed: int) -> np.ndarray:
    """Train without a class but for n corrections, once a fold, and return what is answered to the sessions of the folds,
    one fold after the other. In place of the corrections that are not made there are rows of the largest class once more: so
    there are always as many rows, and whatever is random in training is the same."""
    largest = np.bincount(c.label[c.scored]).argmax()
    said = []
    for fold in folds:
        learn = np.flatnonzero((c.fold != fold) & (c.label != k))
        fill = learn[c.label[learn] == largest][:max(CORRECTIONS) - n]
        rows = np.concatenate([learn, choose(c, k, n, fold), fill])
        said.append(recipe.fit(c.take(rows), seed).margins(c.take(c.scored & (c.fold == fold))).argmax(axis=1))
    return np.concatenate(said)


def run(c: dataset.Corpus, recipe: learner.Recipe = learner.NETWORK, classes: tuple[str, ...] = LEFT_OUT, numbers: tuple[int, ...] = CORRECTIONS,
        folds: tuple[int, ...] = FOLDS, seeds: tuple[int, ...] = SEEDS) -> dict:
    """Do the experiment; return the piece for the report. Only whole heads are trained on, which takes a third of the time."""
    c = c.take(c.whole & (c.variant == ""))
    test = c.take(np.concatenate([np.flatnonzero(c.scored & (c.fold == fold)) for fold in folds]))
    piece = {"folds": len(folds), "seeds": len(seeds), "per_group": PER_GROUP, "least": LEAST, "classes": {}}
    for name in classes:
        k = c.names.index(name)
        mine = test.label == k
        others = np.array([o for o in c.tier(dataset.STRONG) if o != k and (test.label == o).sum() >= LEAST])
        before = [answers(c, recipe, k, numbers[0], folds, seed) for seed in seeds]
        by_number = {}
        for n in numbers:
            after = [answers(c, recipe, k, n, folds, seed) for seed in seeds] if n != numbers[0] else before
            right = np.mean([a == test.label for a in after], axis=0)
            by_number[str(n)] = {
                "groups": [len(set(c.group[choose(c, k, n, fold)])) for fold in folds],
                "recall": round(float(right[mine].mean()), 4), "recall_interval": intervals.over_groups(test.group[mine], intervals.accuracy(right[mine])),
                "precision": round(float(np.mean([precision(a, test.label, k) for a in after])), 4),
                "others_accuracy": round(float(right[~mine].mean()), 4),
                "others_macro_f1": round(float(np.mean([np.nanmean(intervals.f1_by_class(test.label, a, len(c.names))[others]) for a in after])), 4),
            } | Change(test, before, after, others).words(c)
        noise = [Change(test, [a], [b], others) for a, b in zip(before, before[1:])]
        piece["classes"][name] = {"sessions": int(mine.sum()), "groups": len(set(test.group[mine])), "others": len(others),
                                  "by_corrections": by_number, "other_seed": [change.words(c) for change in noise]}
    return piece


class Change:
    """How the F1 of each class, averaged over seeds, differs between two sets of answers to the same sessions."""

    def __init__(self, test: dataset.Corpus, before: list[np.ndarray], after: list[np.ndarray], classes: np.ndarray):
        self.test, self.before, self.after, self.classes = test, before, after, classes
        self.by_class = self.figure(np.ones(len(test)))

    def figure(self, times: np.ndarray) -> np.ndarray:
        """Return the change of each class when rows count that often."""
        first, then = (np.mean([intervals.f1_by_class(self.test.label, a, len(self.test.names), times) for a in answers], axis=0)
                       for answers in (self.before, self.after))
        return (then - first)[self.classes]

    def interval(self, of: int) -> list[float]:
        """Return the interval of one class's change over groups."""
        return intervals.over_groups(self.test.group, lambda times: float(self.figure(times)[of]), rounds=400)

    def words(self, c: dataset.Corpus) -> dict:
        """Return which class loses most, and which lose more than a point, surely so if even the interval's end does."""
        worst = int(np.argmin(self.by_class))
        losers = {c.names[self.classes[o]]: (round(float(self.by_class[o]), 4), self.interval(o)) for o in np.flatnonzero(self.by_class < -0.01)}
        return {"worst": c.names[self.classes[worst]], "worst_change": round(float(self.by_class[worst]), 4), "worst_interval": self.interval(worst),
                "mean_change": round(float(np.nanmean(self.by_class)), 4), "lose_more_than_a_point": {o: change for o, (change, _) in losers.items()},
                "surely": [o for o, (_, interval) in losers.items() if interval[1] < -0.01]}


def precision(answer: np.ndarray, label: np.ndarray, k: int) -> float:
    """Return how many answers of a class are right; 1 if there are none."""
    mine = answer == k
    return float((label[mine] == k).mean()) if mine.any() else 1.0


def section(piece: dict | None) -> str:
    """Return the chapter of docs/model.md."""
    lines = ["## What corrections are worth", ""]
    if piece is None:
        return "\n".join([*lines, "Not measured in this run.", ""])
    lines += [
        f"A class is left out of training as if nobody had ever labelled it; then some of its sessions come back as corrections (at most {piece['per_group']} of a group) and the "
        f"model is trained again. Recall is measured on the groups of {piece['folds']} folds, each by models that have seen no session of its groups, neither in training nor as a "
        f"correction; whole heads only are trained on; figures are means over {piece['seeds']} seeds. The other classes are the strong ones with at least {piece['least']} sessions there; "
        "\"loses most\" is the change of F1 against no corrections at all. Intervals are 95 % over groups. The last line of each class compares two trainings without any correction "
        "that differ by their seed alone: so much changes by itself.", "",
        "| class | corrections | recall | precision | the others' accuracy | their macro-F1 | loses most, points of F1 | lose more than a point |", "|---|---|---|---|---|---|---|---|",
    ]
    for name, of in piece["classes"].items():
        for n, r in of["by_corrections"].items():
            lines.append(f"| {name} ({of['sessions']} sessions, {of['groups']} groups) | {n} | {intervals.text(r['recall'], r['recall_interval'], 2)} | {r['precision']:.2f} | "
                         f"{100 * r['others_accuracy']:.1f} % | {r['others_macro_f1']:.3f} | " + (" | |" if n == "0" else losses(r)))
        lines += [f"| {name} | 0, other seed | | | | | {losses(change)}" for change in of["other_seed"]]
    surely = sorted({o for of in piece["classes"].values() for r in of["by_corrections"].values() for o in r["surely"]})
    lines += ["", "By more than a point even at the end of the interval lose: " + (", ".join(surely) if surely else "none") + ".", ""]
    return "\n".join(lines)


def losses(r: dict) -> str:
    """Return the last two cells of a line."""
    low, high = (100 * v for v in r["worst_interval"])
    return (f"{r['worst']} {100 * r['worst_change']:+.1f} ({low:+.1f} to {high:+.1f}) | "
            + (", ".join(f"{o} {100 * change:+.1f}" for o, change in r["lose_more_than_a_point"].items()) or "none") + " |")


def main() -> None:
    """Do it alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset` wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--results", type=Path, required=True, help="folder for corrections.json")
    options = parser.parse_args()
    piece = run(dataset.read(options.features, options.corpus))
    experiments.save(options.results, "corrections", piece)
    print(section(piece))


if __name__ == "__main__":
    main()
