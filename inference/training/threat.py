"""An experiment: can a score tell attacks and malware from the rest, on families that it has not been shown?

The corpus marks threats by capture, from few families, and benign and malicious captures come from different laboratories:
whatever tells the laboratories apart looks like a detector. So a family is scored by models that have seen nothing of it,
at a threshold which benign groups set that the same models have not seen either; and once more by models that have seen
nothing of the sources which the family was published by. A score would ship if it found at least SHIP of the sessions of
families left out, at FALSE_ALARMS of the benign ones.
"""

import argparse
from pathlib import Path

import numpy as np
import xgboost

import dataset
import experiments
import intervals

FALSE_ALARMS = 0.001
SHIP = 0.5

# Beside it, to show how far off it is.
MANY_FALSE_ALARMS = 0.01

# Sessions of one capture and family (or of one benign capture): a scan or a flood would be most of the corpus.
CAP = 40

# Families with fewer sessions say nothing by themselves.
LEAST = 10

# The first bytes of each direction that are features beside all numbers.
PREFIX = 32
CLIENT, SERVER = 0, 512

TREES = {"max_depth": 5, "eta": 0.3, "subsample": 0.8, "colsample_bytree": 0.5, "objective": "binary:logistic", "tree_method": "hist", "max_bin": 64, "nthread": 1, "seed": 1}
ROUNDS = 60


def read(features: Path) -> tuple[np.ndarray, list[dict]]:
    """Return the numbers of the sessions that count and what is known of them: whole heads as captured, of which it is said
    whether they are malicious, no duplicates, at most CAP of a capture."""
    rows = dataset.read_rows(features)
    counts: dict[tuple, int] = {}
    index, kept = [], []
    for i, r in enumerate(rows):
        if r["whole"] != "true" or r["variant"] or r["dup"] != "0" or r["malicious"] not in ("0", "1"):
            continue
        key = r["file"], r["threat"]
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= CAP:
            index.append(i)
            kept.append(r)
    bytes_, series, meta = (np.load(features / f"{n}.npy", mmap_mode="r")[index] for n in ("bytes", "series", "meta"))
    first = [bytes_[:, at:at + PREFIX].astype(np.float32) for at in (CLIENT, SERVER)]
    return np.hstack([meta, series[:, 0] * series[:, 1], series[:, 2], *first]), kept


def fit(x: np.ndarray, malicious: np.ndarray, group: np.ndarray) -> xgboost.Booster:
    """Train one score. Each side weighs the same, and each group within its side by the root of its sessions."""
    _, of, sessions = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(sessions[of])
    for side in (False, True):
        weight[malicious == side] /= weight[malicious == side].sum()
    return xgboost.train(TREES, xgboost.DMatrix(x, malicious, weight=weight * len(weight)), ROUNDS)


def judge(x: np.ndarray, rows: list[dict], families: list[str], strict: bool) -> dict:
    """Score each family by models that have not been shown it; with strict, nothing of its sources either."""
    malicious = np.array([r["malicious"] == "1" for r in rows])
    threat, group = np.array([r["threat"] for r in rows]), np.array([r["group"] for r in rows])
    source = np.array([r["file"].split("/")[0] for r in rows])
    fold = np.array([dataset.fold(g) for g in group])
    out = {}
    for family in families:
        mine = malicious & (threat == family)
        away = np.isin(group, group[mine]) | (np.isin(source, source[mine]) & strict)
        benign = np.full(len(rows), np.nan)
        found = []
        for k in range(dataset.FOLDS):
            training = ~away & (malicious | (fold != k))
            booster = fit(x[training], malicious[training], group[training])
            held = ~malicious & (fold == k)
            benign[held] = booster.predict(xgboost.DMatrix(x[held]))
            found.append(booster.predict(xgboost.DMatrix(x[mine])))
        limit, lower = np.nanquantile(benign, [1 - FALSE_ALARMS, 1 - MANY_FALSE_ALARMS], method="higher")
        hits = np.mean([f > limit for f in found], axis=0)
        out[family] = {
            "sessions": int(mine.sum()), "groups": len(set(group[mine])), "found": round(float(hits.mean()), 4),
            "found_interval": intervals.over_groups(group[mine], intervals.accuracy(hits)) if len(set(group[mine])) > 2 else None,
            "found_with_many": round(float(np.mean([f > lower for f in found])), 4), "auroc": round(auroc(np.concatenate(found), benign[~malicious]), 4),
            "benign_sessions": int((~malicious).sum()), "false_alarms": int((benign > limit).sum()),
        }
    return out


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the chance that a positive has the higher score."""
    order = np.sort(negative)
    below, upto = np.searchsorted(order, positive, "left"), np.searchsorted(order, positive, "right")
    return float((below + upto).mean() / 2 / len(order))


def run(features: Path) -> dict:
    """Do the experiment; return the piece for the report."""
    x, rows = read(features)
    sizes: dict[str, int] = {}
    for r in rows:
        if r["malicious"] == "1":
            sizes[r["threat"]] = sizes.get(r["threat"], 0) + 1
    families = sorted(f for f, n in sizes.items() if n >= LEAST)
    unseen, strict = judge(x, rows, families, strict=False), judge(x, rows, families, strict=True)

    def mean(each: dict, what: str = "found") -> float:
        return round(float(np.mean([f[what] for f in each.values()])), 4)

    return {
        "false_alarms": FALSE_ALARMS, "cap": CAP, "families": unseen, "families_without_their_sources": strict,
        "small_families": {f: n for f, n in sorted(sizes.items()) if n < LEAST},
        "mean_found": mean(unseen), "mean_found_without_their_sources": mean(strict), "many_false_alarms": MANY_FALSE_ALARMS,
        "mean_found_with_many": mean(unseen, "found_with_many"), "mean_found_with_many_without_their_sources": mean(strict, "found_with_many"),
        "ships": bool(min(mean(unseen), mean(strict)) >= SHIP),
    }


def section(piece: dict | None) -> str:
    """Return the chapter of docs/model.md."""
    lines = ["## Threats", ""]
    if piece is None:
        return "\n".join([*lines, "Not measured in this run; there is no threat score.", ""])
    verdict = "A threat score would be good enough to ship by this measure." if piece["ships"] else "**There is no threat score, and the model says nothing about whether a session is good or bad.**"
    lines += [
        verdict + f" As an experiment trees were trained to tell the corpus's malicious sessions from its benign ones, and judged on families of "
        f"threats that they had not been shown, at {100 * piece['false_alarms']:.1f} % false alarms among benign sessions of groups that they had not been shown "
        f"either (at most {piece['cap']} sessions of a capture). Such a score would ship if it found at least half.",
        "",
        f"Over the families it finds {100 * piece['mean_found']:.0f} % on average; when the family's whole source is left out of training, too, "
        f"{100 * piece['mean_found_without_their_sources']:.0f} % (at {100 * piece['many_false_alarms']:.0f} % false alarms {100 * piece['mean_found_with_many']:.0f} % "
        f"and {100 * piece['mean_found_with_many_without_their_sources']:.0f} %). The second figure is the honest one: the corpus marks threats by capture, and benign and "
        "malicious captures come from different laboratories, so what tells the laboratories apart looks like a detector.", "",
        "| family | sessions | groups | found | AUROC | found, source left out | AUROC |", "|---|---|---|---|---|---|---|",
    ]
    for name, f in piece["families"].items():
        s = piece["families_without_their_sources"][name]
        lines.append(f"| {name} | {f['sessions']} | {f['groups']} | {share(f)} | {f['auroc']:.3f} | {share(s)} | {s['auroc']:.3f} |")
    if piece["small_families"]:
        lines += ["", "Too small to say anything: " + ", ".join(f"{f} ({n})" for f, n in piece["small_families"].items()) + "."]
    return "\n".join([*lines, ""])


def share(f: dict) -> str:
    """Return what was found of a family, for people."""
    low_high = f["found_interval"]
    return f"{100 * f['found']:.1f} %" + (f" ({100 * low_high[0]:.0f} to {100 * low_high[1]:.0f})" if low_high else "")


def main() -> None:
    """Do it alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset` wrote")
    parser.add_argument("--results", type=Path, required=True, help="folder for threat.json")
    options = parser.parse_args()
    piece = run(options.features)
    experiments.save(options.results, "threat", piece)
    print(section(piece))


if __name__ == "__main__":
    main()
