"""What augmentation is worth: models trained without, with each one, and with all of them, scored on sessions as captured and
as another network would have shown them. `sonde dataset --augment` makes the rows, at the level of packets."""

import argparse
from pathlib import Path

import numpy as np

import dataset
import experiments
import intervals
import learner

FOLD = 0  # whose groups are tested; one fold suffices to see an effect, not to rank neighbours

WORDS = {
    "loss": "packets lost", "reorder": "packets out of order", "mtu": "another MTU", "oneway": "one direction only", "midstream": "seen from the middle on",
    "truncate": "packets cut short", "nat": "other addresses and ports",
}


def run(c: dataset.Corpus, recipe: learner.Recipe = learner.NETWORK, fold: int = FOLD) -> dict:
    """Do the experiment on rows with all variants; return the piece for the report."""
    kinds = sorted(v for v in set(c.variant) if v in WORDS)
    plain = c.variant == ""
    over = c.tier(dataset.STRONG)
    test = {kind: c.take(c.whole & ~c.empty & (c.variant == kind) & (c.fold == fold) & np.isin(c.label, over)) for kind in ["", *kinds]}
    training = {"none": plain} | {kind: plain | (c.variant == kind) for kind in kinds} | {"all": plain | np.isin(c.variant, kinds)}
    said: dict[str, dict[str, np.ndarray]] = {}
    for name, rows in training.items():
        model = recipe.fit(c.take(rows & (c.fold != fold)))
        said[name] = {kind: model.margins(t).argmax(axis=1) for kind, t in test.items() if len(t)}

    def figures(name: str, kind: str) -> dict:
        t, a = test[kind], said[name][kind]
        return {"accuracy": round(float((a == t.label).mean()), 4), "macro_f1": round(float(np.nanmean(intervals.f1_by_class(t.label, a, len(c.names))[over])), 4)}

    def gain(name: str, kind: str) -> list[float]:
        """Return the change of accuracy against a model without augmentation, and its interval."""
        t = test[kind]
        change = (said[name][kind] == t.label).astype(float) - (said["none"][kind] == t.label)
        return [round(float(change.mean()), 4), *intervals.over_groups(t.group, intervals.accuracy(change))]

    return {
        "fold": fold, "plain": {name: figures(name, "") | {"gain": gain(name, "")} for name in training}, "sessions": len(test[""]),
        "kinds": {kind: {"sessions": len(test[kind]), "training_rows": int((training["all"] & (c.variant == kind) & (c.fold != fold)).sum()),
                         **{name: figures(name, kind) for name in ("none", kind, "all")}, "gain_own": gain(kind, kind), "gain_all": gain("all", kind),
                         "gain_plain": gain(kind, "")}
                  for kind in kinds if len(test[kind])},
    }


def points(gain: list[float]) -> str:
    """Return a change for people."""
    return f"{100 * gain[0]:+.1f} ({100 * gain[1]:+.1f} to {100 * gain[2]:+.1f})"


def section(piece: dict | None) -> str:
    """Return the chapter of docs/model.md."""
    lines = ["## Other networks: augmentation", ""]
    if piece is None:
        return "\n".join([*lines, "Not measured in this run.", ""])
    plain = piece["plain"]
    lines += [
        f"Sessions of the strong tier of one fold ({piece['fold']}), as captured and as other networks would have shown them; one model trained on heads as captured only, one with "
        "each augmentation, one with all. Changes are of accuracy in points, on the same sessions, with 95 % intervals over groups. All are trained on shorter heads, too. One fold and one seed: a change whose interval "
        "holds zero is none.", "",
        f"As captured ({piece['sessions']} sessions): accuracy {100 * plain['none']['accuracy']:.1f} % and macro-F1 {plain['none']['macro_f1']:.3f} without augmentation, "
        f"{100 * plain['all']['accuracy']:.1f} % and {plain['all']['macro_f1']:.3f} with all: {points(plain['all']['gain'])} points.", "",
        "| sessions changed by | sessions | accuracy, macro-F1 without | with this one | with all | gain of this one | gain of all | effect of this one on sessions as captured |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, f in piece["kinds"].items():
        cells = [f"{100 * f[name]['accuracy']:.1f} %, {f[name]['macro_f1']:.3f}" for name in ("none", kind, "all")]
        lines.append(f"| {WORDS[kind]} (`{kind}`) | {f['sessions']} | " + " | ".join(cells) + f" | {points(f['gain_own'])} | {points(f['gain_all'])} | {points(f['gain_plain'])} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Do it alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset --augment` wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--results", type=Path, required=True, help="folder for augmented.json")
    options = parser.parse_args()
    piece = run(dataset.read(options.features, options.corpus))
    experiments.save(options.results, "augmented", piece)
    print(section(piece))


if __name__ == "__main__":
    main()
