"""The corpus as `sonde dataset` extracted it: rows, labels and their tiers, splits and weights."""

import csv
import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

# The tiers of a class, chosen before any score was looked at. STRONG is what figures are promised for; WEAK is answered, but
# marked, and reported apart; what has less than that is trained as UNKNOWN.
STRONG, WEAK, BACKGROUND = "strong", "weak", "background"
STRONG_SESSIONS, STRONG_GROUPS = 50, 10
WEAK_SESSIONS, WEAK_GROUPS = 10, 3

# What nothing is known of, or of which nothing has been seen yet. No class that is answered: its threshold is 1.
UNKNOWN = "unknown"

# The corpus's word for protocols outside of its list.
OTHER = "other"

# What is of no class weighs less: it is there to be doubted, not to be found.
UNKNOWN_WEIGHT = 0.4

# Sessions of one capture and label, since a few captures hold most sessions of their class.
CAP = 40

FOLDS = 5

# Payload is where the label comes from; a session of these that has shown none yet can be anything.
PORT_PROTOCOLS = {"tcp", "udp", "sctp"}

TENSORS = ("bytes", "series", "meta")


def fold(group: str) -> int:
    """Return the fold of a group of captures, the same for ever."""
    return hashlib.sha256(b"sonde split 1 " + group.encode()).digest()[0] % FOLDS


@dataclass
class Corpus:
    """Rows of features with what is known of them. Arrays have one entry a row, all else is of the whole."""

    bytes: np.ndarray
    series: np.ndarray
    meta: np.ndarray
    label: np.ndarray  # position in names
    session: np.ndarray
    packets: np.ndarray
    whole: np.ndarray
    empty: np.ndarray  # nothing has been seen: no score
    variant: np.ndarray  # how the head was changed; "" as it was captured
    fold: np.ndarray
    group: np.ndarray
    source: np.ndarray  # who published the capture: the first folder of its path
    port: np.ndarray
    trusted: np.ndarray  # nDPI and the capture's name agree
    names: list[str]
    categories: list[str]
    tiers: list[str]
    manifest: dict
    digest: str  # of everything that was read

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: np.ndarray) -> "Corpus":
        """Return the given rows only."""
        return replace(self, **{f.name: v[rows] for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)})

    @property
    def scored(self) -> np.ndarray:
        """Rows that figures are made of: whole heads, as captured, of which something has been seen."""
        return self.whole & ~self.empty & (self.variant == "")

    @property
    def unknown(self) -> int:
        """Position of UNKNOWN."""
        return self.names.index(UNKNOWN)

    def tier(self, *tiers: str) -> np.ndarray:
        """Positions of the classes of these tiers."""
        return np.array([k for k, t in enumerate(self.tiers) if t in tiers], dtype=np.int64)


def read_taxonomy(corpus: Path) -> dict[str, tuple[str, str]]:
    """Return target class and category of each label."""
    with open(corpus / "taxonomy.csv", newline="") as f:
        return {r["label"]: (r["target"], r["category"]) for r in csv.DictReader(f)}


def target(label: str, taxonomy: dict[str, tuple[str, str]]) -> str:
    """Return the class of a label of the corpus, or of a correction, which names a class itself."""
    return taxonomy[label][0] if label in taxonomy else label


def usable(r: dict) -> bool:
    """Tell whether a row's label can be trusted and counts once. Rows of corrections and of a lab do not say: they can."""
    return r.get("usable", "1") in ("", "1") and r.get("dup", "0") in ("", "0") and r["label"] not in ("", "unlabelled")


def nothing_seen(r: dict) -> bool:
    """Tell whether a row holds no payload of a protocol whose payload tells."""
    return r["proto"] in PORT_PROTOCOLS and r["payloads_held"] == "0"


def choose_tiers(rows: list[dict], taxonomy: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Return the tier of each class, by what was published of it."""
    sessions: dict[str, set] = {}
    groups: dict[str, set] = {}
    for r in rows:
        name = target(r["label"], taxonomy)
        sessions.setdefault(name, set()).add(r["session"])
        groups.setdefault(name, set()).add(r["group"])

    def tier(name: str) -> str:
        s, g = len(sessions[name]), len(groups[name])
        if name in (OTHER, UNKNOWN):
            return BACKGROUND
        if s >= STRONG_SESSIONS and g >= STRONG_GROUPS:
            return STRONG
        return WEAK if s >= WEAK_SESSIONS or g >= WEAK_GROUPS else BACKGROUND

    return {name: tier(name) for name in sessions}


def categories(names: list[str], taxonomy: dict[str, tuple[str, str]]) -> list[str]:
    """Return each class's category: its own label's, or else that of the label it is made of that comes first."""
    return [taxonomy[n][1] if n in taxonomy else next((c for t, c in taxonomy.values() if t == n), "") for n in names]


def read_rows(features: Path) -> list[dict]:
    """Return rows.csv."""
    with open(features / "rows.csv", newline="") as f:
        return [r | {"variant": r.get("variant") or ""} for r in csv.DictReader(f)]


def read(features: Path, corpus: Path, tiers: dict[str, str] | None = None) -> Corpus:
    """Read the rows that training and scores may use. With tiers, classes are those; otherwise what the rows themselves
    suffice for."""
    manifest = json.loads((features / "manifest.json").read_text())
    tensors = {n: np.load(features / f"{n}.npy", mmap_mode="r") for n in TENSORS}
    rows = read_rows(features)
    if any(len(t) != len(rows) for t in tensors.values()):
        raise ValueError("rows.csv and the tensors differ in length; extract again")

    taxonomy = read_taxonomy(corpus)
    tiers = tiers or choose_tiers([r for r in rows if usable(r) and r["whole"] == "true" and r["variant"] in ("", "correction")], taxonomy)
    kept, seen, counts = [], set(), {}
    chosen: dict[str, bool] = {}
    # A session's whole head first, then its shorter ones, then what was made of it.
    for i, r in sorted(enumerate(rows), key=lambda e: (e[1]["variant"] not in ("", "correction"), -e[0])):
        if usable(r):
            name = target(r["label"], taxonomy)
            name = UNKNOWN if nothing_seen(r) or tiers.get(name, BACKGROUND) == BACKGROUND else name
        elif r["label"] == "unlabelled" and nothing_seen(r) and r["whole"] == "true":
            name = UNKNOWN  # a scan: nothing can be known of it
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
    names = sorted({name for name, t in tiers.items() if t != BACKGROUND}) + [UNKNOWN]
    position = {name: n for n, name in enumerate(names)}
    taken = {n: np.ascontiguousarray(t[index]) for n, t in tensors.items()}
    digest = hashlib.sha256()
    for n in TENSORS:
        digest.update(taken[n].tobytes())
    digest.update("\n".join(f"{name},{r['group']},{r['variant']}" for _, name, r in kept).encode())
    each = [r for _, _, r in kept]
    return Corpus(
        **taken,
        label=np.array([position[name] for _, name, _ in kept]),
        session=np.array([r["session"] for r in each]),
        packets=np.array([int(r["packets_held"]) for r in each]),
        whole=np.array([r["whole"] == "true" for r in each]),
        empty=np.array([nothing_seen(r) for r in each]),
        variant=np.array([r["variant"] for r in each]),
        fold=np.array([fold(r["group"]) for r in each]),
        group=np.array([r["group"] for r in each]),
        source=np.array([r["file"].split("/")[0] for r in each]),
        port=np.array([int(r["server_port"]) for r in each]),
        trusted=np.array([r.get("confidence") == "dpi+path" for r in each]),
        names=names, categories=[*categories(names[:-1], taxonomy), ""], tiers=[*(tiers[n] for n in names[:-1]), BACKGROUND],
        manifest=manifest, digest=digest.hexdigest(),
    )


def weights(c: Corpus) -> np.ndarray:
    """Weigh classes by the inverse square root of their sessions, and a session's short heads less than its whole one."""
    counts = np.bincount(c.label[c.whole], minlength=len(c.names)).clip(min=5)
    by_class = np.minimum(np.sqrt(counts.max() / counts), 12.0)
    by_class[c.unknown] *= UNKNOWN_WEIGHT
    return by_class[c.label] * np.where(c.whole & (c.variant == ""), 1.0, 0.35) * np.where(c.empty, 0.1, 1.0)


# Blocks of meta that tell nothing of what payload says: how many packets, how large, when.
SIZES_AND_TIMES = ("transport", "sizes", "times")

# Columns that name how a message opens, and so know protocols by their documents.
OPENINGS = ("token", "family")


def sizes_and_times(c: Corpus) -> Corpus:
    """Return the rows without payload: bytes and what was read from them are absent."""
    meta = c.meta.copy()
    hidden = [at for block in c.manifest["blocks"] if block["tensor"] == "meta" and block["name"] not in SIZES_AND_TIMES for at in block["columns"]]
    meta[:, hidden] = np.nan
    return replace(c, bytes=np.zeros_like(c.bytes), meta=meta)


def without_openings(c: Corpus) -> Corpus:
    """Return the rows without the columns that name openings; bytes and numbers stay."""
    columns = next(t for t in c.manifest["schema"]["tensors"] if t["name"] == "meta")["columns"]
    meta = c.meta.copy()
    meta[:, [i for i, n in enumerate(columns) if n.split(": ")[-1] in OPENINGS]] = np.nan
    return replace(c, meta=meta)


def unlabelled(features: Path, most: int = 4000) -> dict[str, np.ndarray]:
    """Return the tensors of sessions without a trusted label of which something has been seen, at most so many, evenly drawn."""
    rows = [i for i, r in enumerate(read_rows(features)) if r["label"] == "unlabelled" and r["whole"] == "true" and not r["variant"] and not nothing_seen(r)]
    rows = rows[::max(1, len(rows) // most)]
    return {n: np.load(features / f"{n}.npy", mmap_mode="r")[rows] for n in TENSORS}
