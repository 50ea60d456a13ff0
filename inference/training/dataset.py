"""The corpus as `sonde dataset` extracted it: rows, labels, splits and weights."""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# A label keeps its own name if it has this many sessions in this many groups; otherwise the rest of its target class is
# taken together, and what is still too small becomes OTHER. Chosen before any score was looked at.
MIN_SESSIONS = 6
MIN_GROUPS = 3

# What nothing is known of, or of which nothing has been seen yet. Its threshold is 1: the model abstains.
OTHER = "other"

# Sessions of one capture and class, since a few captures hold most sessions of their class.
CAP = 40

FOLDS = 5
VALIDATION = 0  # the fold that no model sees before it is scored

# Payload is where the label comes from; a session of these that has shown none yet can be anything.
PORT_PROTOCOLS = {"tcp", "udp", "sctp"}


def fold(group: str) -> int:
    """Return the fold of a group of captures, the same for ever."""
    return hashlib.sha256(b"sonde split 1 " + group.encode()).digest()[0] % FOLDS


@dataclass
class Corpus:
    """Rows of features with what is known of them. All arrays have one entry a row."""

    bytes: np.ndarray
    series: np.ndarray
    meta: np.ndarray
    label: np.ndarray  # position in names
    session: np.ndarray
    packets: np.ndarray
    whole: np.ndarray
    empty: np.ndarray  # nothing has been seen: no score
    fold: np.ndarray
    group: np.ndarray
    port: np.ndarray
    trusted: np.ndarray  # nDPI and the capture's name agree
    names: list[str]
    categories: list[str]
    manifest: dict
    digest: str  # of everything that was read

    def take(self, rows: np.ndarray) -> "Corpus":
        """Return the given rows only."""
        per_row = ("bytes", "series", "meta", "label", "session", "packets", "whole", "empty", "fold", "group", "port", "trusted")
        return Corpus(**{k: v[rows] if k in per_row else v for k, v in self.__dict__.items()})


def read_taxonomy(corpus: Path) -> dict[str, tuple[str, str]]:
    """Return target class and category of each label."""
    with open(corpus / "taxonomy.csv", newline="") as f:
        return {r["label"]: (r["target"], r["category"]) for r in csv.DictReader(f)}


def choose_labels(rows: list[dict], taxonomy: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Map each label of the corpus to the name that the model gives it."""

    def large(members: list[dict]) -> bool:
        return len({r["session"] for r in members}) >= MIN_SESSIONS and len({r["group"] for r in members}) >= MIN_GROUPS

    by_label: dict[str, list[dict]] = {}
    for r in rows:
        by_label.setdefault(r["label"], []).append(r)
    names = {label: label for label, members in by_label.items() if label != OTHER and large(members)}
    by_target: dict[str, list[str]] = {}
    for label in by_label:
        if label not in names and label != OTHER:
            by_target.setdefault(taxonomy.get(label, (OTHER, OTHER))[0], []).append(label)
    for target, labels in by_target.items():
        members = [r for label in labels for r in by_label[label]]
        joined = target if target != OTHER and (target in names or large(members)) else OTHER
        names.update({label: joined for label in labels})
    names[OTHER] = OTHER
    return names


def usable(r: dict) -> bool:
    """Tell whether a row's label can be trusted and counts once."""
    return r["usable"] == "1" and r["dup"] == "0"


def nothing_seen(r: dict) -> bool:
    """Tell whether a row holds no payload of a protocol whose payload tells."""
    return r["proto"] in PORT_PROTOCOLS and r["payloads_held"] == "0"


def read(features: Path, corpus: Path) -> Corpus:
    """Read the rows that training and scores may use."""
    manifest = json.loads((features / "manifest.json").read_text())
    tensors = {n: np.load(features / f"{n}.npy", mmap_mode="r") for n in ("bytes", "series", "meta")}
    with open(features / "rows.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    if any(len(t) != len(rows) for t in tensors.values()):
        raise ValueError("rows.csv and the tensors differ in length; extract again")

    taxonomy = read_taxonomy(corpus)
    names = choose_labels([r for r in rows if usable(r) and r["whole"] == "true"], taxonomy)
    kept, seen, counts = [], set(), {}
    chosen: dict[str, bool] = {}
    for i, r in reversed(list(enumerate(rows))):  # a session's whole head comes last
        if usable(r):
            name = OTHER if nothing_seen(r) else names[r["label"]]
        elif r["label"] == "unlabelled" and nothing_seen(r) and r["whole"] == "true":
            name = OTHER  # a scan: nothing can be known of it
        else:
            continue
        if r["session"] not in chosen:
            key = (r["file"], r["label"])
            counts[key] = counts.get(key, 0) + 1
            chosen[r["session"]] = counts[key] <= CAP
        if not chosen[r["session"]]:
            continue
        # The same sizes, directions and bytes once more teach nothing, and would leak across the split.
        digest = hashlib.sha256(tensors["bytes"][i].tobytes() + tensors["series"][i][[0, 1, 3]].tobytes() + r["proto"].encode()).digest()
        if (digest, name) in seen:
            continue
        seen.add((digest, name))
        kept.append((i, name, r))
    kept.sort(key=lambda k: k[0])

    index = np.array([i for i, _, _ in kept])
    labels = sorted({name for _, name, _ in kept})
    category = {name: taxonomy[name][1] if name in taxonomy else next((c for t, c in taxonomy.values() if t == name), "") for name in labels}
    category[OTHER] = ""
    position = {name: n for n, name in enumerate(labels)}
    digest = hashlib.sha256()
    for name in ("bytes", "series", "meta"):
        digest.update(tensors[name][index].tobytes())
    digest.update("\n".join(f"{name},{r['group']}" for _, name, r in kept).encode())
    return Corpus(
        bytes=tensors["bytes"][index], series=tensors["series"][index], meta=tensors["meta"][index],
        label=np.array([position[name] for _, name, _ in kept]),
        session=np.array([int(r["session"]) for _, _, r in kept]),
        packets=np.array([int(r["packets_held"]) for _, _, r in kept]),
        whole=np.array([r["whole"] == "true" for _, _, r in kept]),
        empty=np.array([nothing_seen(r) for _, _, r in kept]),
        fold=np.array([fold(r["group"]) for _, _, r in kept]),
        group=np.array([r["group"] for _, _, r in kept]),
        port=np.array([int(r["server_port"]) for _, _, r in kept]),
        trusted=np.array([r["confidence"] == "dpi+path" for _, _, r in kept]),
        names=labels, categories=[category[n] for n in labels], manifest=manifest, digest=digest.hexdigest(),
    )


def weights(c: Corpus) -> np.ndarray:
    """Weigh classes by the inverse square root of their sessions, and a session's short heads less than its whole one."""
    counts = np.bincount(c.label[c.whole], minlength=len(c.names)).clip(min=5)
    by_class = np.minimum(np.sqrt(counts.max() / counts), 12.0)
    return by_class[c.label] * np.where(c.whole, 1.0, 0.35) * np.where(c.empty, 0.1, 1.0)
