"""docs/model.md, made whole of the pieces that the experiments have left. What was not measured is said to be missing.

    python inference/training/report.py --results .cache/training-results --out docs
"""

import argparse
from pathlib import Path

import numpy as np

import augmented
import corrections_experiment
import dataset
import experiments
import ndpi
import ndpi_lab
import pictures
import score
import threat
from card import POOR, TIERS, both, figure, percent, pieces, table

MISSING = "Not measured in this run."


def between(low_high: list[float]) -> str:
    """Return an interval."""
    return f"{low_high[0]:.2f}-{low_high[1]:.2f}"


def opening(p: dict) -> list[str]:
    """What it is, and what it is not."""
    m, cv = p["model"], p["cross_validation"]
    strong, said = cv["tiers"]["strong"], cv["abstaining"]
    sources = f" and {p['sources']['pooled']['strong']['accuracy']:.3f} / {p['sources']['pooled']['strong']['macro_f1']:.3f} when all captures of the session's publisher were left out" if "sources" in p else ""
    return [
        "# The model", "",
        "Made by `make train`; do not edit. It says what the model that ships is worth, and what it is not.", "",
        f"**In short.** Given the first 24 packets of a session it names the application protocol. Over {strong['classes']} classes (strong tier) accuracy and macro-F1 are "
        f"{strong['accuracy']:.3f} / {strong['macro_f1']:.3f} on captures of groups that were not trained on{sources}. It says `unknown` for {percent(said['unknown_rate'])} of the "
        f"sessions that have a class; of its answers {percent(said['accuracy_when_answered'])} are right.", "",
        "**Right means: as nDPI says.** The labels are nDPI's, so these figures are agreement with nDPI on old public test captures, and the mix of classes in them is no network's. "
        "The lab, whose sessions are labelled by the program that made them, is the only truth on this page and stands apart.", "",
        "**What it is not.** No detector of attacks or malware (see *Threats*). It does not name services, users or programs; it never sees addresses, ports, server names or absolute times. It is no "
        "replacement for a dissector where payload is in the clear: nDPI knows more protocols. It is a guess with a probability.", "",
        f"The file is {m['recipe']}: {m['bytes'] / 1e6:.1f} MB, {m['microseconds']['64']} us of CPU a session at 64 rows a run and {m['microseconds']['1']} us alone (ONNX Runtime, one thread, other load on the machine), "
        f"{len(m['tiers'])} outputs. What it goes by most: " + ", ".join(n for n, _ in m["important"][:8]) + ".", "",
    ]


def method(p: dict) -> list[str]:
    """How figures were made."""
    m = p["model"]
    return [
        "## How it was measured", "",
        f"- {m['sessions']} sessions of {m['groups']} groups of captures from {len(m['sources'])} publishers. A group is what shares sessions, content, lab or device; it is never on both sides of a split.",
        f"- Left out: what nDPI only guessed; sessions whose first payloads an earlier one has; more than {dataset.CAP} of a capture and label; rows whose sizes, directions and bytes another row has, also across "
        "groups. Sessions of TCP, UDP and SCTP without payload are unknown by design and not scored.",
        f"- Strong tier: at least {dataset.STRONG_SESSIONS} sessions in {dataset.STRONG_GROUPS} groups. Weak: {dataset.WEAK_SESSIONS} sessions or {dataset.WEAK_GROUPS} groups; answered, marked weak (`weak` of a classification), never "
        "counted with the strong. All else is trained as `unknown`. The limits were chosen before any score was seen.",
        f"- Five folds by SHA-256 of the group's name; each session is scored by a model that has not seen its group. Intervals are of 95 %: {score.ROUNDS} times as many groups are drawn, with replacement. "
        "A session of a weak class that is wrongly given a strong label counts against that label.",
        f"- Trained on whole heads, on their first {', '.join(map(str, m['heads']))} packets" + (f", and on heads as other networks would have shown them ({', '.join(m['augment'])})" if m["augment"] else "") + "; scored are heads as captured.",
        "- Temperature and thresholds that a session is judged by come from the other folds, from scores out of fold.",
        "- Features that name openings (`internal/feature`, tokens and families) were written by hand from protocols' own documents, partly after earlier figures on this corpus had shown which protocols were missed. No fold holds that "
        "knowledge back, nor does leaving sources out: the row \"without named openings\" further down shows what the model is without it, the lab what it is on traffic that is no part of the corpus.",
        "- The learner, its settings, the augmentation, the weight of `unknown` and the floor of 0.70 under every threshold were chosen on these same "
        "folds, the floor also because the sample capture's Redis session was called http at 0.66. Nothing was chosen by leaving sources out, though its "
        "figures had been seen before augmentation was taken.",
        "- *Threats*, *Other networks* and *What corrections are worth* are experiments of their own on rows of the same feature schema, trained apart from the model that ships.", "",
    ]


def comparison(p: dict) -> list[str]:
    """The model beside everything simpler, and beside nDPI."""
    cv = p["cross_validation"]
    rows = [both(f"**{cv['chosen']} (ships)**", cv["tiers"])]
    rows += [both(n, f) for n, f in cv["learners"].items() if n != cv["chosen"]]
    rows += [both(f"baseline: {n}", f) for n, f in cv["baselines"].items()]
    if "ndpi" in p:
        rows += [both(n, f) for n, f in p["ndpi"]["scores"].items() if "nDPI" in n]
    rows.append(both("the model, where nDPI and the capture's name agree", cv["dpi_and_path"]))
    folds = ", ".join(f"{f['strong']['accuracy']:.3f} / {f['strong']['macro_f1']:.3f}" for f in cv["folds"])
    ours = cv["tiers"]["strong"]["macro_f1"]
    better = [n for n, f in {**cv["baselines"], **(p["ndpi"]["scores"] if "ndpi" in p else {})}.items() if "odel" not in n and f["strong"]["macro_f1"] >= ours]
    verdict = (f"By macro-F1 of the strong tier {', '.join(better)} is better: nDPI made the labels, from these captures, with rules that were written beside many of them; no fold holds anything back from it."
               if better else "The model beats every baseline on macro-F1.")
    return [
        "## Cross-validation by group", "", *table(TIERS, rows), "", verdict, "",
        f"The five folds one by one (accuracy / macro-F1 of the strong tier): {folds}. The random forest has scikit-learn's own settings, on the first 48 payload bytes of each direction, sizes and times; the server's port "
        "is what the model must not see. Both learners together must gain a point of macro-F1 to be shipped together.", "",
    ]


def sources(p: dict) -> list[str]:
    """Leave one source out."""
    lines = ["## Leave one source out", ""]
    if "sources" not in p:
        return [*lines, MISSING, ""]
    s = p["sources"]
    return [
        *lines, "The honest figure: trained without all captures of one publisher, and without groups that it shares with others, tested on them. What no other publisher has cannot be known (last column).", "",
        *table(["source", "sessions", "accuracy, strong", "macro-F1, strong", "macro-F1, all", "classes that only it has"], [
            ["**pooled**", s["pooled"]["all"]["sessions"], figure(s["pooled"]["strong"], "accuracy"), figure(s["pooled"]["strong"], "macro_f1"), figure(s["pooled"]["all"], "macro_f1"), ""],
            *[[n, f["all"]["sessions"], figure(f["strong"], "accuracy"), figure(f["strong"], "macro_f1"), figure(f["all"], "macro_f1"), ", ".join(f["never_seen"])] for n, f in s["sources"].items()]]), "",
    ]


def per_class(p: dict) -> list[str]:
    """Each class, the weak ones apart."""
    cv = p["cross_validation"]
    lost = {n: f["f1"] for n, f in p["sources"]["classes"].items()} if "sources" in p else {}

    def rows(tier: str) -> list[list]:
        return [[n, f["sessions"], f["groups"], *(f"{f[k]:.2f} ({between(f[k + '_interval'])})" for k in ("precision", "recall", "f1")), percent(f["unknown_rate"], 0),
                 f"{lost[n]:.2f}" if n in lost else "-"] for n, f in cv["classes"].items() if f["tier"] == tier]

    head = ["class", "sessions", "groups", "precision", "recall", "F1", "called unknown", "F1 without its source"]
    table_ = np.array(cv["confusion"])
    wrong = [(int(table_[i, j]), cv["names"][i], cv["names"][j]) for i in range(len(table_) - 1) for j in range(len(table_)) if i != j and table_[i, j]]
    return [
        "## Classes, strong tier", "", *table(head, rows(dataset.STRONG)), "", "## Classes, weak tier", "",
        "Learnt from too little to promise anything; the intervals show it.", "", *table(head, rows(dataset.WEAK)), "",
        "![confusion matrix](model/confusion.svg)", "", "Best answers, nothing held back; most frequent mistakes: " + ", ".join(f"{a} as {b} ({n})" for n, a, b in sorted(wrong, key=lambda w: -w[0])[:16]) + ".", "",
    ]


def trust(p: dict) -> list[str]:
    """Calibration and unknown."""
    cv = p["cross_validation"]
    c, said, m = cv["calibration"], cv["abstaining"], p["model"]
    lines = [
        "## Can its probabilities be believed", "",
        *table(["", "calibration error (15 bins of equal mass)", "negative log likelihood", "Brier score"], [
            ["as served (temperature, clipped)", c["ece"], c["nll"], c["brier"]], ["uncalibrated", *(c["uncalibrated"][k] for k in ("ece", "nll", "brier"))]]), "",
        f"Temperatures by fold {', '.join(map(str, c['temperatures']))}; shipped {m['temperature']:.2f}. Over strong and weak classes. Where the temperature with the least calibration error is not the one with the least "
        "likelihood loss, the former is taken.", "", "![reliability](model/reliability.svg)", "",
        "## Unknown", "",
        f"A label is believed from the probability on at which 95 % of such answers were right, class by class, at least {score.BELIEVED:.2f}; else the session is `unknown`. So {percent(said['unknown_rate'])} of sessions with a class are not answered; "
        f"of {said['background']} sessions of protocols that are no class {percent(said['background_answered'])} are wrongly given one.", "",
    ]
    if "unknown" in p:
        u = p["unknown"]
        lines += [
            f"Each strong class was left out of training once (a fifth of them at a time), and its sessions were to be told from sessions of known classes of held groups, at 5 % false alarms. By {u['better']}, the better one, which decides in the shipped model:", "",
            *table(["by", "AUROC, mean of classes", "found at 5 % false alarms", "AUROC, pooled", "found, pooled"], [
                [n, f"{u['mean_of_classes'][n]['auroc']:.3f}", percent(u["mean_of_classes"][n]["detected"]), f"{u['pooled'][n]['auroc']:.3f}", percent(u["pooled"][n]["detected"])] for n in u["mean_of_classes"]]), "",
            *table(["class left out", "sessions", "AUROC", "found at 5 % false alarms", "taken for, most often"], [
                [n, f["sessions"], f"{f[u['better']]['auroc']:.3f}", percent(f[u["better"]]["detected"], 0), f"{f['called'][0]} ({f['called'][1]})"] for n, f in u["classes"].items()]), "",
        ]
    else:
        lines += ["Left-out classes: " + MISSING, ""]
    if "unlabelled" in p:
        n = p["unlabelled"]
        lines += [f"Of {n['sessions']} sessions with payload that nDPI could not label, {percent(n['unknown_rate'])} are called unknown; the rest is called " + ", ".join(f"{k} {v}" for k, v in n["most_answered"]) + ". Nobody knows what is right.", ""]
    return lines


def what_it_needs(p: dict) -> list[str]:
    """Payload, names, packets, data."""
    cv = p["cross_validation"]
    rows = [both("as shipped: payload, names masked", cv["side"])]
    if "payload" in p:
        rows.append(both("without named openings (tokens and families): bytes and numbers only", p["payload"]["without_openings"]))
        rows.append(both("sizes and times only (trained so)", p["payload"]["sizes_and_times"]))
    if "names" in p:
        rows.append(both("names visible (an experiment, never shipped)", p["names"]["names"]))
    if "packets" in p:
        rows.append(both("24 packets with payload instead of the first 24", p["packets"]["packets"]))
    lines = ["## With and without payload, names, packets", "", f"On {experiments.SIDE_FOLDS} of the five folds, so the first line differs a little from the one above.", "", *table(TIERS, rows), ""]
    lines += [f"{name}: {MISSING.lower()}" for key, name in (("payload", "Sizes and times only"), ("names", "Names visible"), ("packets", "24 packets with payload")) if key not in p]
    if "packets" in p:
        gain = p["packets"]["packets"]["strong"]["macro_f1"] - cv["side"]["strong"]["macro_f1"]
        lines += [f"Heads of 24 packets that carry payload, instead of the first 24, change macro-F1 by {100 * gain:+.1f} points on the same folds; they would cost more bytes on the way up and a later first answer. "
                  "The head stays the first 24 packets. So it was decided before the feature schema was frozen, when the same comparison over all five folds gave a macro-F1 of 0.874 with payload packets and 0.877 without.", ""]
    lines += [
        "After the first packets, of sessions that have shown payload by then:", "",
        *table(["packets", "sessions", "accuracy, strong", "macro-F1, strong", "called unknown", "right of answers"], [
            [k, f["strong"]["sessions"], figure(f["strong"], "accuracy"), figure(f["strong"], "macro_f1"), percent(f["unknown_rate"]), percent(f["accuracy_when_answered"])] for k, f in cv["moments"].items()]), "",
        f"Learning curve (the same {experiments.SIDE_FOLDS} folds; whole groups are left away):", "",
    ]
    if "learning_curve" not in p:
        return [*lines, MISSING, ""]
    return [*lines, *table(["share of the groups", *TIERS[1:]], [both(percent(float(k), 0), f) for k, f in p["learning_curve"].items()]), "", "![learning curve](model/learning_curve.svg)", ""]


def failures(p: dict) -> list[str]:
    """What is known to go wrong, and how to make all of this again."""
    cv, m = p["cross_validation"], p["model"]
    poor = [f"{n} {f['f1']:.2f}" for n, f in cv["classes"].items() if f["tier"] == dataset.STRONG and f["f1"] < POOR]
    return [
        "## Known failures", "",
        f"- Of the strong tier these stay under an F1 of {POOR}: {', '.join(poor) or 'none'}. They gather protocols that are unlike each other, each with few groups: what was never shown is not recognised.",
        "- A session that starts in the middle, or of which one direction is seen, loses its opening, which is what the model goes by most; see *Other networks*.",
        "- What is encrypted from its first byte, with no public handshake, is told by sizes and times only, and poorly.",
        "- A protocol that is a class of nobody is called after its nearest relative more often than it should be; see *Unknown*.",
        "- Servers that mimic another protocol's opening are believed.", "",
        "## Make it again", "", "```", "make train CORPUS=path/to/data/train [LAB=path/to/lab] [CORRECTIONS=corrections.jsonl]", "```", "",
        "does all of it: features, training, figures, model, card and this page (`inference/training/README.md` has the steps). Seeds are fixed and one thread is used: on one machine two runs make the same weights, and with "
        "`SOURCE_DATE_EPOCH` set the same file, bit for bit, which a test holds. On another CPU or with other library versions the sums may be rounded otherwise; then the figures are the same to about a point, not the bits. Times of runs "
        "and microseconds are never the same.", "",
        *whole_way(p),
        f"The graph differs from what was trained by at most {m['parity']['trained_and_graph']:.1e} in any probability, rows alone from rows in a batch by {m['parity']['alone_and_batch']:.1e} ({m['parity']['rows']} sessions).", "",
        *table(["", "SHA-256"], [["rows trained on", f"`{m['dataset_sha256']}`"], ["labels.csv", f"`{m['labels_sha256']}`"], ["feature schema", f"`{m['schema_sha256']}`"]]), "",
    ]


def whole_way(p: dict) -> list[str]:
    """What `sonde analyze` says of the captures, beside the tensors."""
    if "holdout" not in p or "whole_way" not in p:
        return ["The whole way, from capture file to stored result: " + MISSING.lower(), ""]
    tensors, way = p["holdout"]["strong"], p["whole_way"]["strong"]
    return [f"The whole way, from capture file to stored result: `sonde analyze` on all captures, with a model that was trained without fold {p['whole_way']['fold']}, gives {way['accuracy']:.3f} / {way['macro_f1']:.3f} (accuracy / macro-F1, strong tier) "
            f"for {way['sessions']} sessions of that fold; the same model on the tensors {tensors['accuracy']:.3f} / {tensors['macro_f1']:.3f} for {tensors['sessions']}. There are fewer of the latter since rows that say the same twice count once.", ""]


def write(p: dict) -> str:
    """Return the page."""
    parts = [*opening(p), *method(p), *comparison(p), *sources(p), *per_class(p), *trust(p), *what_it_needs(p)]
    foreign = [ndpi_lab.section(p.get("lab")), ndpi.section(p.get("ndpi")), threat.section(p.get("threat")), augmented.section(p.get("augmented")), corrections_experiment.section(p.get("corrections"))]
    return "\n".join([*parts, *foreign, *failures(p)]).rstrip("\n") + "\n"


def draw(p: dict, folder: Path) -> None:
    """Draw the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    cv = p["cross_validation"]
    counts = np.array(cv["confusion"])
    label, answer = (np.repeat(at.ravel(), counts.ravel()) for at in np.indices(counts.shape))
    pictures.confusion(label, answer, cv["names"], folder / "confusion.svg")
    pictures.reliability(np.array(cv["reliability"]["confidence"]), np.array(cv["reliability"]["right"]), folder / "reliability.svg")
    if "learning_curve" in p:
        curve = p["learning_curve"]
        named = (("accuracy, strong tier", "strong", "accuracy"), ("macro-F1, strong tier", "strong", "macro_f1"), ("macro-F1, all classes", "all", "macro_f1"))
        pictures.learning_curve([float(k) for k in curve], {n: [f[t][k] for f in curve.values()] for n, t, k in named},
                                {n: [f[t][k + "_interval"] for f in curve.values()] for n, t, k in named}, folder / "learning_curve.svg")


def main() -> None:
    """Write page and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="folder with the pieces")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.md and model/")
    options = parser.parse_args()
    found = {name: {k: v for k, v in piece.items() if k != "of"} for name, piece in pieces(options.results).items()}
    draw(found, options.out / "model")
    (options.out / "model.md").write_text(write(found))


if __name__ == "__main__":
    main()
