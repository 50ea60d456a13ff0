"""Train, calibrate, score and write the model that ships. See README.md."""

import argparse
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnxruntime as ort
import xgboost as xgb

import card
import dataset
import graph
import score

ROUNDS = 14
PARAMETERS = {
    "objective": "multi:softprob", "tree_method": "hist", "max_depth": 6, "eta": 0.35, "min_child_weight": 1.0, "subsample": 0.8,
    "colsample_bytree": 0.4, "max_bin": 64, "reg_lambda": 1.0, "nthread": 2, "seed": 1,
}
MAX_BYTES = 5_000_000
PARITY = 1e-5

# Classes that one model never sees, to measure how many of their sessions it calls unknown.
LEFT_OUT = ("kerberos", "sip", "snmp", "stun")


def fit(c: dataset.Corpus, rows: np.ndarray) -> xgb.Booster:
    """Train on the given rows."""
    x = graph.columns(c.bytes[rows], c.series[rows], c.meta[rows])
    data = xgb.DMatrix(x, c.label[rows], weight=dataset.weights(c)[rows])
    return xgb.train({**PARAMETERS, "num_class": len(c.names)}, data, ROUNDS)


def margins(booster: xgb.Booster, c: dataset.Corpus, rows: np.ndarray) -> np.ndarray:
    """Return the scores before calibration."""
    x = graph.columns(c.bytes[rows], c.series[rows], c.meta[rows])
    return booster.predict(xgb.DMatrix(x), output_margin=True)


def calibrate(c: dataset.Corpus, training: np.ndarray) -> tuple[float, list[float]]:
    """Return temperature and thresholds, from scores of training groups by models that have not seen them."""
    out = np.zeros((len(c.label), len(c.names)), dtype=np.float32)
    for fold in sorted(set(c.fold[training])):
        rest, held = training & (c.fold != fold), training & (c.fold == fold)
        out[held] = margins(fit(c, rest), c, held)
    rows = training & ~c.empty
    t = score.temperature(out[rows], c.label[rows], dataset.weights(c)[rows])
    return t, score.thresholds(score.softmax(out[rows], t), c.label[rows], c.names)


def open_set(c: dataset.Corpus, training: np.ndarray, t: float, tau: list[float]) -> dict[str, float]:
    """Return the share of sessions called unknown of classes that were left out of training."""
    left = np.array([c.names.index(n) for n in LEFT_OUT])
    booster = fit(c, training & ~np.isin(c.label, left))
    rates = {}
    for k in left:
        rows = (c.label == k) & c.whole & ~c.empty
        probs = score.softmax(margins(booster, c, rows), t)
        rates[c.names[k]] = round(float((probs.max(axis=1) < np.array(tau)[probs.argmax(axis=1)]).mean()), 3)
    return rates


def run(model: bytes, c: dataset.Corpus) -> dict[str, np.ndarray]:
    """Run the graph as it is served."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    return dict(zip(("probs", "energy", "label"), session.run(["probs", "energy", "label"], {"bytes": c.bytes, "series": c.series, "meta": c.meta})))


def check(model: bytes, booster: xgb.Booster, c: dataset.Corpus, t: float) -> float:
    """Compare the graph with XGBoost, and rows alone with rows in a batch."""
    out = run(model, c)
    want = score.softmax(margins(booster, c, np.arange(len(c.label))), t)
    worst = float(np.abs(out["probs"] - want).max())
    alone = c.take(np.arange(3))
    for i in range(3):
        one = run(model, alone.take(np.array([i])))
        worst = max(worst, float(np.abs(one["probs"][0] - out["probs"][i]).max()))
    if worst > PARITY or (out["label"] != out["probs"].argmax(axis=1)).any() or not np.isfinite(out["energy"]).all():
        sys.exit(f"the graph differs from XGBoost by {worst}")
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
    t, tau = calibrate(c, training)
    booster = fit(c, training)
    held = c.take(validation)
    figures = score.figures(held, score.softmax(margins(booster, c, validation), t), tau)
    metrics = {
        "validation": figures,
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
    model = graph.build(booster, len(c.names), t, properties).SerializeToString(deterministic=True)
    if len(model) > MAX_BYTES:
        sys.exit(f"the model has {len(model)} bytes, at most {MAX_BYTES}")
    parity = check(model, booster, held, t)
    text = card.write(c, metrics, t, tau, model, parity, ROUNDS, PARAMETERS)
    print(text)
    best = max(b["macro_f1"] for b in metrics["baselines"].values())
    if figures["whole_heads"]["macro_f1"] <= best:
        sys.exit("the model does not beat the baselines and is not written")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "model.onnx").write_bytes(model)
    (arguments.out / "README.md").write_text(text)


if __name__ == "__main__":
    main()
