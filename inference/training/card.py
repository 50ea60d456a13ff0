"""The model card: Markdown beside the model, made of the same figures as its metadata."""

import hashlib

import numpy as np

from dataset import CAP, MIN_GROUPS, MIN_SESSIONS, OTHER, Corpus
from network import HIDDEN


def percent(share: float | None) -> str:
    """Return a share for people."""
    return "-" if share is None else f"{100 * share:.1f} %"


def table(header: list[str], rows: list[list]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *("| " + " | ".join(map(str, r)) + " |" for r in rows)]


def write(c: Corpus, metrics: dict, t: float, tau: list[float], model: bytes, parity: float) -> str:
    """Return the card's text."""
    v = metrics["validation"]
    whole = v["whole_heads"]
    weak = [n for n, f in v["by_class"].items() if n != OTHER and (f["groups"] < 3 or f["sessions"] < 10 or f["f1"] < 0.8)]
    absent = [n for n in c.names if n not in v["by_class"]]
    trusted = v["whole_heads_dpi_and_path"]
    seen = c.whole & ~c.empty
    missed = [n for n, r in metrics["unknown_rate_of_left_out_classes"].items() if r < 0.5]
    lines = [
        "# Model `sonde`, version 1", "",
        "Made by `inference/training/train.py`; do not edit.", "",
        "What it is for: naming the application protocol of a session from its first packets. What it is not for: telling good traffic from "
        "bad, naming services or people, or proving anything; it is a guess with a probability.", "",
        f"- A network with one hidden layer of {HIDDEN} on the tensors of feature schema `{c.manifest['schema_sha256'][:12]}`; one ONNX graph "
        f"of {len(model) / 1e6:.1f} MB with {len(c.names)} labels",
        f"- SHA-256 of the file `{hashlib.sha256(model).hexdigest()}`", f"- SHA-256 of the rows trained and scored on `{c.digest}`",
        f"- The graph differs from what was trained by at most {parity:.1e} in any probability of the validation rows", "",
        "## Data", "",
        f"Public test captures labelled by nDPI: it can at best learn to agree with nDPI. {metrics['sessions']['training']} sessions of "
        f"{metrics['groups']['training']} groups of captures trained, {metrics['sessions']['validation']} of {metrics['groups']['validation']} other groups "
        "scored; a group of captures that share sessions, content, lab or device is never on both sides (fold 0 of 5 by SHA-256 of "
        "`sonde split 1 GROUP` is validation). Left out: duplicates, labels that nDPI only guessed, all but "
        f"{CAP} sessions of a capture and class. A label with fewer than {MIN_SESSIONS} sessions or {MIN_GROUPS} groups is joined with its relatives, or "
        f"becomes `{OTHER}`. Short heads (1, 2, 3, 5 and 10 packets) of the same sessions are trained on, too. Server names, addresses, ports, header "
        "fields and absolute times are no features.", "",
        "## Figures on the validation groups", "",
        *table(["", "accuracy", "macro-F1"], [
            ["**this model, whole heads**", percent(whole["accuracy"]), f"{whole['macro_f1']:.3f}"],
            ["of these, nDPI and the capture's name agree", percent(trusted["accuracy"]), f"{trusted['macro_f1']:.3f}"],
            *[[f"baseline: {n}", percent(b["accuracy"]), f"{b['macro_f1']:.3f}"] for n, b in metrics["baselines"].items()]]), "",
        f"It abstains (`unknown`) for {percent(whole['unknown_rate'])} of the sessions with a label; of the others {percent(whole['accuracy_when_answered'])} are right. "
        f"Of sessions that are none of its labels it names {percent(whole['other_answered'])}. Expected calibration error {v['ece']:.3f} "
        f"(temperature {t:.2f}).", "",
        "The validation groups turned out easier than the others. Across four folds of the training groups, each scored by a model that "
        f"had not seen it, accuracy is {' / '.join(percent(a) for a in metrics['cross_validation']['accuracy'])}, pooled "
        f"{percent(metrics['cross_validation']['pooled_accuracy'])} with macro-F1 {metrics['cross_validation']['pooled_macro_f1']:.3f}. "
        "Temperature, thresholds and the network's settings were chosen on these folds; that it is a network and not trees was first seen on the "
        "validation groups, and that the temperature goes by calibration error and not by likelihood was decided after an error of 0.09 had been "
        "seen on them. Take the validation figures as a little too good.", "",
        *table(["packets held", "heads", "accuracy", "macro-F1", "unknown", "right when answered"], [
            [k, f["sessions"], percent(f["accuracy"]), f"{f['macro_f1']:.3f}", percent(f["unknown_rate"]), percent(f["accuracy_when_answered"])]
            for k, f in v["by_packets_held"].items()]), "",
        "Classes that one model was not shown, and the share of their sessions that it called unknown: " +
        ", ".join(f"{n} {percent(r)}" for n, r in metrics["unknown_rate_of_left_out_classes"].items()) + ".", "",
        "The most frequent wrong answers: " + ", ".join(f"{a} as {b} ({n})" for a, b, n in v["confusion"][:10]) + ".", "",
        "## Labels", "",
        *table(["label", "category", "sessions trained", "groups trained", "scored", "precision", "recall", "F1", "unknown", "believed from"], [
            [n, c.categories[k], int((seen & (c.fold != 0) & (c.label == k)).sum()), len(set(c.group[(c.fold != 0) & (c.label == k)])),
             *((f["sessions"], f["precision"], f["recall"], f["f1"], percent(f["unknown_rate"])) if (f := v["by_class"].get(n)) else ("-",) * 5),
             f"{tau[k]:.2f}" if n != OTHER else "never"]
            for k, n in enumerate(c.names)]), "",
        "## Weak classes", "",
        "Few sessions, few groups or an F1 below 0.8 on the validation groups; take their figures with care: " + ", ".join(weak) + ".",
        "Not in the validation groups at all, hence not measured: " + ", ".join(absent) + "." if absent else "", "",
        "## Known failures", "",
        "- A session that has shown no payload yet, of TCP, UDP or SCTP, is unknown by design.",
        *([f"- It does not know what it does not know: of {', '.join(missed)}, when it was not shown them, it called fewer than half unknown and "
           "named the rest after their nearest relative."] if missed else []),
        "- What is encrypted from its first byte and follows no public handshake is told by sizes and times only, and poorly.",
        "- The corpus is mostly test captures of 2000 to 2024: how often a class occurs in it says nothing about a network.", "",
    ]
    return "\n".join(lines)
