"""The model and nDPI on a lab: sessions labelled by the program that made them, which is truth and not the word of a dissector.

The lab is no part of training. It is scored apart, with payload and without, and never in one figure with the corpus.
"""

import argparse
import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort

import dataset
import experiments
import intervals
import learner
import ndpi

# What kernels say by themselves wherever a program runs; it is scored only where it is all that a program makes them say.
KERNEL = {"icmp", "icmpv6", "igmp"}

# nDPI's words for mail inside of TLS, which is TLS to a lab.
MAIL_IN_TLS = {"IMAPS", "POPS", "SMTPS"}

# Sessions of one program and label: a browser's look-ups would be half of the lab.
CAP = 20


class Served:
    """A model file, asked as the inference service asks it."""

    def __init__(self, path: Path):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        labels, calibration = json.loads(about["sonde.labels"]), json.loads(about["sonde.calibration"])
        self.schema = about["sonde.schema_sha256"]
        self.names = [label["name"] for label in labels]
        self.weak = {label["name"] for label in labels if label.get("weak")}
        self.tau = np.broadcast_to(np.array(calibration["tau"], dtype=np.float32), len(labels))
        self.energy = calibration.get("energy")

    def answers(self, octets: np.ndarray, series: np.ndarray, meta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the position of the class that is most probable, and whether it is not believed."""
        parts = [self.session.run(["probs", "energy"], {"bytes": octets[i:i + 256], "series": series[i:i + 256], "meta": meta[i:i + 256]})
                 for i in range(0, len(meta), 256)]
        probs, energy = np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts])
        best = probs.argmax(axis=1)
        unknown = probs.max(axis=1) < self.tau[best]
        if self.energy is not None:
            unknown |= ~(energy <= self.energy)
        if dataset.UNKNOWN in self.names:
            unknown |= best == self.names.index(dataset.UNKNOWN)
        return best, unknown


def masked(octets: np.ndarray, series: np.ndarray, meta: np.ndarray, manifest: dict) -> SimpleNamespace:
    """Return rows without anything that comes from payload but its sizes."""
    hidden = [at for block in manifest["blocks"] if block["tensor"] == "meta" and block["name"] not in dataset.SIZES_AND_TIMES for at in block["columns"]]
    meta = meta.copy()
    meta[:, hidden] = np.nan
    return SimpleNamespace(bytes=np.zeros_like(octets), series=series, meta=meta)


def choose(everything: list[dict], lab: Path) -> np.ndarray:
    """Return which rows are scored: whole heads with something in them, no duplicates, no kernel's words, not too many alike."""
    with open(lab / "labels.csv", newline="") as f:
        own = {r["group"] for r in csv.DictReader(f) if r["label"] not in KERNEL | {"unlabelled"}}
    counts: Counter = Counter()
    index = []
    for i, r in enumerate(everything):
        if r["whole"] != "true" or not dataset.usable(r) or dataset.nothing_seen(r) or r["label"] in KERNEL and r["group"] in own:
            continue
        counts[r["group"], r["label"]] += 1
        if counts[r["group"], r["label"]] <= CAP:
            index.append(i)
    return np.array(index)


def score_lab(model: Path, features: Path, lab: Path, corpus: Path, c: dataset.Corpus | None = None, recipe: learner.Recipe = learner.NETWORK,
              kept: Path | None = None) -> dict:
    """Score model, a model without payload and nDPI on a lab, by class and by program; return the piece for the report. features
    is what `sonde dataset` made of the lab, corpus is needed for its taxonomy.csv. With the corpus's rows a model is trained on
    their sizes and times only; without them the model itself is asked with its payload masked."""
    served = Served(model)
    manifest = json.loads((features / "manifest.json").read_text())
    if manifest["schema_sha256"] != served.schema or c is not None and c.manifest["schema_sha256"] != served.schema:
        raise ValueError("model, lab and corpus are not of the same feature schema; extract again")
    everything = dataset.read_rows(features)
    tensors = {n: np.load(features / f"{n}.npy", mmap_mode="r") for n in dataset.TENSORS}
    index = choose(everything, lab)
    rows = [everything[i] for i in index]
    octets, series, meta = (np.ascontiguousarray(tensors[n][index]) for n in dataset.TENSORS)

    taxonomy = dataset.read_taxonomy(corpus) | dataset.read_taxonomy(lab)
    classes = [dataset.target(r["label"], taxonomy) for r in rows]
    # Classes that the model does not have: to call them unknown is right.
    names = [*served.names, *sorted(set(classes) - set(served.names))]
    at = {name: k for k, name in enumerate(names)}
    label = np.array([at[name] for name in classes])
    known = label < len(served.names)
    program = np.array([r.get("program") or r["group"] for r in rows])

    best, unknown = served.answers(octets, series, meta)
    blind = masked(octets, series, meta, manifest)
    if c is None:
        other, other_unknown = served.answers(blind.bytes, blind.series, blind.meta)
    else:
        at_c = np.array([at.get(name, ndpi.ELSE) for name in c.names])
        other = at_c[recipe.fit(dataset.sizes_and_times(c.take(c.whole & (c.variant == "")))).margins(blind).argmax(axis=1)]
        other_unknown = other == at_c[c.unknown]
    said = ndpi.answers(lab, rows, kept)
    seen, guessed = (ndpi.positions(said, names, taxonomy, least) for least in (ndpi.SEEN, ndpi.GUESS))
    mail = np.array([a is not None and a.words in MAIL_IN_TLS and name == "tls" for a, name in zip(said, classes)])
    for answer in (seen, guessed):
        answer[mail & (answer != ndpi.NONE)] = at.get("tls", ndpi.ELSE)
    who = {
        "model": np.where(unknown, ndpi.NONE, best), "model without payload": np.where(other_unknown, ndpi.NONE, other),
        "nDPI": seen, "nDPI with guesses by port": guessed,
    }
    best_guess = {"model, best guess": best, "model without payload, best guess": other}
    over = np.unique(label[known])
    totals = {name: intervals.scores(label[known], answer[known], program[known], over)
              | {"no_answer": ndpi.share(answer[known] == ndpi.NONE), "right_of_answers": ratio(answer[known] == label[known], answer[known] != ndpi.NONE)}
              for name, answer in (who | best_guess).items()}

    def by(key: np.ndarray, which: np.ndarray) -> dict:
        return {str(k): {"sessions": int((key[which] == k).sum()), "programs": len(set(program[which][key[which] == k])),
                         "classes": dict(Counter(names[i] for i in label[which][key[which] == k])),
                         **{name: ndpi.share((answer == label)[which][key[which] == k]) for name, answer in who.items()},
                         "model no answer": ndpi.share(unknown[which][key[which] == k]), "nDPI no answer": ndpi.share((seen == ndpi.NONE)[which][key[which] == k])}
                for k in sorted(set(key[which]))}

    right = who["model"] == label
    return {
        "version": ndpi.version(), "sessions": int(len(rows)), "programs": len(set(program)), "retrained": c is not None, "cap": CAP,
        "without_a_flow": sum(a is None for a in said), "totals": totals,
        "weak": sorted(served.weak & {names[k] for k in over}),
        "by_class": by(np.array(classes), known), "by_program": by(program, known),
        "no_class": by(np.array([r["label"] for r in rows]), ~known), "no_class_named_by_model": ndpi.share(~unknown[~known]),
        "model_only": contrast(classes, program, known & right & (seen != label)), "ndpi_only": contrast(classes, program, known & ~right & (seen == label)),
        "model_wrong": [[a, b, n] for (a, b), n in Counter((classes[i], names[best[i]]) for i in np.flatnonzero(known & ~unknown & (best != label))).most_common(12)],
        "ndpi_wrong": [[a, b, n] for (a, b), n in Counter((classes[i], said[i].words) for i in np.flatnonzero(known & (seen != ndpi.NONE) & (seen != label))).most_common(12)],
        "others": others(lab),
    }


def ratio(right: np.ndarray, of: np.ndarray) -> float | None:
    """Return how many of some are right."""
    return round(float(right[of].mean()), 4) if of.any() else None


def contrast(classes: list[str], program: np.ndarray, which: np.ndarray) -> list:
    """Return class, sessions and programs of some sessions, most first."""
    found: dict[str, list] = defaultdict(list)
    for i in np.flatnonzero(which):
        found[classes[i]].append(str(program[i]))
    return [[name, len(programs), sorted(set(programs))] for name, programs in sorted(found.items(), key=lambda e: -len(e[1]))]


def others(lab: Path) -> list:
    """Return the programs of which there is nothing to score, and why."""
    if not (lab / "programs.csv").exists():
        return []
    with open(lab / "programs.csv", newline="") as f:
        return [[r["program"], r["status"], r["problems"]] for r in csv.DictReader(f) if r["status"] != "ok"]


def section(piece: dict | None) -> str:
    """Return the chapter of docs/model.md."""
    lines = ["## The lab: what programs say of themselves", ""]
    if piece is None:
        return "\n".join([*lines, "Not measured in this run (`make lab` needs Linux and root).", ""])
    blind = "a model that was trained on sizes and times only" if piece["retrained"] else "the same model with everything masked that comes from payload but its sizes"
    lines += [
        f"{piece['sessions']} sessions of {piece['programs']} real programs (`make lab`), labelled by the process that made them, none of it in training; at most {piece['cap']} of a program and "
        f"label, and without what kernels say by themselves (ICMP, IGMP). \"Without payload\" is {blind}: "
        f"what an observer has where all is encrypted. nDPI is Debian's {piece['version']} on the same captures. A session counts as right if the answer is given and right; for the "
        "best guess no answer is held back. Intervals are 95 % over programs.", "",
        "| | accuracy | macro-F1 | no answer | right of answers |", "|---|---|---|---|---|",
        *(f"| {name} | {intervals.text(t['accuracy'], t['accuracy_interval'])} | {intervals.text(t['macro_f1'], t['macro_f1_interval'])} | "
          f"{100 * t['no_answer']:.1f} % | {'-' if t['right_of_answers'] is None else format(100 * t['right_of_answers'], '.1f') + ' %'} |" for name, t in piece["totals"].items()), "",
        "What the model names rightly and nDPI does not: " + listed(piece["model_only"]) + ".", "",
        "What nDPI names rightly and the model does not: " + listed(piece["ndpi_only"]) + ".", "",
        "The model's most frequent wrong answers: " + (", ".join(f"{a} as {b} ({n})" for a, b, n in piece["model_wrong"][:8]) or "none")
        + ". nDPI's other words: " + (", ".join(f"{a} as {b} ({n})" for a, b, n in piece["ndpi_wrong"][:8]) or "none") + ".", "",
    ]
    if piece["no_class"]:
        lines += ["Of protocols that are no class of the model (" + ", ".join(f"{name} {f['sessions']}" for name, f in piece["no_class"].items()) +
                  f") the model wrongly names {100 * piece['no_class_named_by_model']:.0f} %; it should say unknown.", ""]
    for title, key in (("class", "by_class"), ("program", "by_program")):
        lines += [f"| {title} | sessions | {'programs' if key == 'by_class' else 'classes'} | model | without payload | nDPI | nDPI with guesses | model silent | nDPI silent |",
                  "|---|---|---|---|---|---|---|---|---|"]
        for name, f in piece[key].items():
            second = f["programs"] if key == "by_class" else " ".join(f"{k} {n}" for k, n in f["classes"].items())
            mark = " (weak)" if name in piece["weak"] and key == "by_class" else ""
            lines.append(f"| {name}{mark} | {f['sessions']} | {second} | " + " | ".join(f"{100 * f[w]:.0f} %" for w in (
                "model", "model without payload", "nDPI", "nDPI with guesses by port", "model no answer", "nDPI no answer")) + " |")
        lines.append("")
    if piece["others"]:
        lines += ["Not scored: " + "; ".join(f"{name} ({status})" for name, status, _ in piece["others"]) + ".", ""]
    return "\n".join(lines)


def listed(found: list) -> str:
    """Return classes with their sessions and programs, for people."""
    return "; ".join(f"{name} {n} ({', '.join(programs[:4])}{', ...' if len(programs) > 4 else ''})" for name, n, programs in found) or "nothing"


def main() -> None:
    """Do it alone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="the model.onnx that is scored")
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset` made of the lab")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--corpus-features", type=Path, help="what `sonde dataset` made of the corpus, to train without payload")
    parser.add_argument("--lab", type=Path, required=True, help="the lab: labels.csv and captures/")
    parser.add_argument("--results", type=Path, required=True, help="folder for lab.json")
    options = parser.parse_args()
    c = dataset.read(options.corpus_features, options.corpus) if options.corpus_features else None
    piece = score_lab(options.model, options.features, options.lab, options.corpus, c)
    experiments.save(options.results, "lab", piece)
    print(section(piece))


if __name__ == "__main__":
    main()
