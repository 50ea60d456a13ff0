"""A corpus of noise with a little sense in it, small enough that training takes a second."""

import json
from pathlib import Path

import numpy as np

import dataset

CLASSES = ("dns", "http", "tls", "chat", dataset.UNKNOWN)


def schema() -> dict:
    """Return a schema of the shape of internal/feature's."""
    columns = [f"column {i}" for i in range(96)]
    for i, name in enumerate(("client: token", "server: token", "client: family", "server: family", "IP protocol number")):
        columns[i] = name
    return {"tensors": [{"name": "bytes", "shape": [784]}, {"name": "series", "shape": [4, 24], "columns": ["size: bytes", "direction", "gap", "mask"]},
                        {"name": "meta", "shape": [96], "columns": columns}], "tokens": ["none", *"abcdef"], "families": ["none", "x", "y"]}


def corpus(rows: int = 600, absent: float = 0.2, seed: int = 7) -> dataset.Corpus:
    """Return rows of which a fifth of the numbers is absent."""
    random = np.random.default_rng(seed)
    label = random.integers(0, len(CLASSES), rows)
    meta = random.lognormal(2, 2, (rows, 96)).astype(np.float32)
    meta[:, 10] = label * 20 + random.normal(0, 2, rows)
    meta[:, :2], meta[:, 2:4], meta[:, 4] = random.integers(0, 7, (rows, 2)), random.integers(0, 3, (rows, 2)), 6
    meta[random.random(meta.shape) < absent] = np.nan
    series = np.zeros((rows, 4, 24), np.float32)
    series[:, 0], series[:, 1], series[:, 2] = random.integers(0, 1500, (rows, 24)), random.choice([-1, 1], (rows, 24)), random.random((rows, 24)) * 12
    series[:, 3] = np.arange(24) < random.integers(1, 25, (rows, 1))
    octets = random.integers(0, 256, (rows, 784)).astype(np.uint8)
    octets[:, 0] = label * 40
    group = np.array([f"group {i % 60}" for i in range(rows)])
    blank = np.zeros(rows, dtype=bool)
    return dataset.Corpus(
        bytes=octets, series=series, meta=meta, label=label, session=np.arange(rows).astype(str), packets=series[:, 3].sum(axis=1).astype(int), whole=~blank, empty=blank,
        variant=np.full(rows, ""), fold=np.array([dataset.fold(g) for g in group]), group=group, source=np.array([f"source {i % 3}" for i in range(rows)]),
        port=label + 1000, trusted=blank, names=list(CLASSES), categories=["a", "a", "b", "b", ""],
        tiers=[dataset.STRONG] * 3 + [dataset.WEAK, dataset.BACKGROUND], manifest={"schema": schema(), "schema_sha256": "00", "blocks": [], "options": {}}, digest="00")


def write(folder: Path, rows: list[dict]) -> tuple[Path, Path]:
    """Write a folder as `sonde dataset` does, and one of a corpus with a taxonomy; row i is all i."""
    features, corpus_ = folder / "features", folder / "corpus"
    features.mkdir()
    corpus_.mkdir()
    for name, shape, kind in (("bytes", (784,), np.uint8), ("series", (4, 24), np.float32), ("meta", (96,), np.float32)):
        data = np.zeros((len(rows), *shape), kind)
        for i, r in enumerate(rows):
            data[i] = int(r.pop("all", i)) if name == "bytes" else 0
            rows[i] = r | ({"all": int(data[i].ravel()[0])} if name == "bytes" else {})
        np.save(features / f"{name}.npy", data)
    for r in rows:
        r.pop("all", None)
    header = list(rows[0])
    (features / "rows.csv").write_text("\n".join([",".join(header), *(",".join(str(r[h]) for h in header) for r in rows)]) + "\n")
    (features / "manifest.json").write_text(json.dumps({"schema": schema(), "schema_sha256": "00", "blocks": []}))
    (corpus_ / "taxonomy.csv").write_text("label,target,category\ndns,dns,name-service\npop3,mailbox,mail\nimap,mailbox,mail\nodd,other,other\n")
    return features, corpus_
