"""Train, calibrate, score and write the model that ships. See README.md."""

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnxruntime as ort
from threadpoolctl import threadpool_limits

import card
import dataset
import graph
import score
from network import Layout, Network

MAX_BYTES = 5_000_000
PARITY = 1e-4

# Classes that one model never sees, to measure how many of their sessions it calls unknown.
LEFT_OUT = ("kerberos", "sip", "snmp", "stun")


def fit(c: dataset.Corpus, rows: np.ndarray) -> Network:
    """Train on the given rows."""
    network = Network(Layout.of(c.manifest["schema"]), len(c.names))
    return network.fit(c.bytes[rows], c.series[rows], c.meta[rows], c.label[rows], dataset.weights(c)[rows])


def margins(network: Network, c: dataset.Corpus, rows: np.ndarray) -> np.ndarray:
    """Return the scores before calibration."""
    return network.margins(c.bytes[rows], c.series[rows], c.meta[rows])


def calibrate(c: dataset.Corpus, training: np.ndarray) -> tuple[float, list[float], dict]:
    """Return temperature and thresholds, from scores of training groups by models that have not seen them, and the figures
    of these models: one for each fold."""
    out = np.zeros((len(c.label), len(c.names)), dtype=np.float32)
    for fold in sorted(set(c.fold[training])):
        rest, held = training & (c.fold != fold), training & (c.fold == fold)
        out[held] = margins(fit(c, rest), c, held)
    whole = training & c.whole & ~c.empty
    right = [float((out[rows].argmax(axis=1) == c.label[rows]).mean()) for f in sorted(set(c.fold[training])) if (rows := whole & (c.fold == f)).any()]
    f1 = score.macro_f1(c.label[whole], out[whole].argmax(axis=1))
    cross = {"accuracy": [round(r, 4) for r in right], "pooled_accuracy": round(float((out[whole].argmax(axis=1) == c.label[whole]).mean()), 4),
             "pooled_macro_f1": f1}
    rows = training & ~c.empty
    t = score.temperature(out[rows], c.label[rows])
    return t, score.thresholds(score.softmax(out[rows], t), c.label[rows], c.names), cross


def open_set(c: dataset.Corpus, training: np.ndarray, t: float, tau: list[float]) -> dict[str, float]:
    """Return the share of sessions called unknown of classes that were left out of training."""
    left = np.array([c.names.index(n) for n in LEFT_OUT])
    network = fit(c, training & ~np.isin(c.label, left))
    rates = {}
    for k in left:
        rows = (c.label == k) & c.whole & ~c.empty
        probs = score.softmax(margins(network, c, rows), t)
        rates[c.names[k]] = round(float((probs.max(axis=1) < np.array(tau)[probs.argmax(axis=1)]).mean()), 3)
    return rates


def run(model: bytes, c: dataset.Corpus) -> dict[str, np.ndarray]:
    """Run the graph as it is served."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip(("probs", "energy", "label"), session.run(["probs", "energy", "label"], {"bytes": c.bytes, "series": c.series, "meta": c.meta})))


def check(model: bytes, network: Network, c: dataset.Corpus, t: float) -> float:
    """Compare the graph with what was trained, and rows alone with rows in a batch."""
    out = run(model, c)
    want = score.softmax(margins(network, c, np.arange(len(c.label))), t)
    worst = float(np.abs(out["probs"] - want).max())
    alone = c.take(np.arange(3))
    for i in range(3):
        one = run(model, alone.take(np.array([i])))
        worst = max(worst, float(np.abs(one["probs"][0] - out["probs"][i]).max()))
    if worst > PARITY or (out["label"] != out["probs"].argmax(axis=1)).any() or not np.isfinite(out["energy"]).all():
        sys.exit(f"the graph differs from what was trained by {worst}")
    return worst


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="what `sonde features` wrote")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model's version, for example inference/models/sonde/1")
    arguments = parser.parse_args()

    c = dataset.read(arguments.features, arguments.corpus)
    validation, training = c.fold == dataset.VALIDATION, c.fold != dataset.VALIDATION
    t, tau, cross = calibrate(c, training)
    network = fit(c, training)
    held = c.take(validation)
    figures = score.figures(held, score.softmax(margins(network, c, validation), t), tau)
    metrics = {
        "validation": figures,
        "cross_validation": cross,
        "baselines": score.baselines(c.take(training), held),
        "unknown_rate_of_left_out_classes": open_set(c, training, t, tau),
        "sessions": {"training": int((training & c.whole).sum()), "validation": int((validation & c.whole).sum())},
        "groups": {"training": len(set(c.group[training])), "validation": len(set(c.group[validation]))},
    }
    properties = {
        "sonde.schema_sha256": c.manifest["schema_sha256"],
        "sonde.schema": json.dumps(c.manifest["schema"], separators=(",", ":")),
        "sonde.labels": json.dumps([{"id": i, "name": n, "category": k} for i, (n, k) in enumerate(zip(c.names, c.categories))]),
        "sonde.calibration": json.dumps({"T": t, "tau": tau}),
        "sonde.metrics": json.dumps(metrics),
        "sonde.dataset_sha256": c.digest,
        "sonde.created": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    model = graph.build(network, t, properties).SerializeToString(deterministic=True)
    if len(model) > MAX_BYTES:
        sys.exit(f"the model has {len(model)} bytes, at most {MAX_BYTES}")
    parity = check(model, network, held, t)
    text = card.write(c, metrics, t, tau, model, parity)
    print(text)
    if any(figures["whole_heads"][f] <= b[f] for b in metrics["baselines"].values() for f in ("accuracy", "macro_f1")):
        sys.exit("the model does not beat the baselines and is not written")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "model.onnx").write_bytes(model)
    (arguments.out / "README.md").write_text(text)


if __name__ == "__main__":
    with threadpool_limits(1):  # the same sums in the same order on every machine, and no threads that wait for each other
        main()
