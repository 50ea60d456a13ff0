"""Train, calibrate, score and write the model that ships. See README.md."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import card
import dataset
import experiments
import graph
import learner
import reference
import score

MAX_BYTES = 5_000_000
PARITY = 1e-5
ALONE = 1e-6
MARGIN = 1e-4

# What both learners together must gain in macro-F1 before they are shipped together.
WORTH = 0.01


def choose(c: dataset.Corpus, recipes: dict[str, learner.Recipe], results: Path, resume: bool) -> tuple[str, dict[str, np.ndarray], dict[str, learner.Recipe]]:
    """Train each learner across the folds; return the best, by macro-F1 of the strong tier, and the scores of all. Their mean is
    chosen only if it is better by a point."""
    kept = results / "out_of_fold.npz"
    scores = {}
    if resume and kept.exists() and str((before := np.load(kept))["of"]) == f"{c.digest} {recipes}":
        scores = {name: before[name] for name in recipes}
    scores = scores or {name: learner.out_of_fold(recipe, c) for name, recipe in recipes.items()}
    results.mkdir(parents=True, exist_ok=True)
    np.savez(kept, of=np.array(f"{c.digest} {recipes}"), **scores)
    names = list(scores)
    rows = experiments.answering(c)
    f1 = {n: experiments.judge(c, rows, m, rounds=False)["strong"]["macro_f1"] for n, m in scores.items()}
    best = max(names, key=f1.get)
    if len(names) == 2:
        both = " + ".join(names)
        scores[both] = np.mean(list(scores.values()), axis=0)
        recipes = recipes | {both: learner.Recipe(recipes[names[0]].networks, recipes[names[1]].forests, recipes[names[0]].network, recipes[names[1]].trees)}
        if experiments.judge(c, rows, scores[both], rounds=False)["strong"]["macro_f1"] >= f1[best] + WORTH:
            best = both
    return best, scores, recipes


def check(model: bytes, trained: learner.Model, c: dataset.Corpus, t: float) -> dict:
    """Compare the graph with what was trained, and rows alone with rows in a batch."""
    out, want = graph.run(model, c.bytes, c.series, c.meta), score.softmax(trained.margins(c), t).clip(max=graph.MOST)
    two = np.sort(want, axis=1)[:, -2:]
    apart = two[:, 1] - two[:, 0] > MARGIN
    worst = float(np.abs(out["probs"] - want).max())
    some = np.arange(0, len(c), max(1, len(c) // 50))
    alone = max(float(np.abs(graph.run(model, c.bytes[i:i + 1], c.series[i:i + 1], c.meta[i:i + 1])["probs"][0] - out["probs"][i]).max()) for i in some)
    if worst > PARITY or alone > ALONE or (out["label"] != want.argmax(axis=1))[apart].any() or not np.isfinite(out["energy"]).all():
        sys.exit(f"the graph differs from what was trained by {worst}, rows alone from rows in a batch by {alone}")
    return {"trained_and_graph": worst, "alone_and_batch": alone, "rows": len(c)}


def cost(model: bytes, c: dataset.Corpus, rows: int) -> float:
    """Return microseconds of CPU a session, the best of some tries."""
    session, best = graph.open_session(model), float("inf")
    feed = {n: getattr(c, n)[:rows] for n in graph.INPUTS}
    for _ in range(20):
        begin = time.process_time()
        for _ in range(10):
            session.run(None, feed)
        best = min(best, (time.process_time() - begin) / 10 / rows * 1e6)
    return round(best, 1)


def commit() -> str:
    """Return the commit that is trained with, if that is known."""
    said = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return said.stdout.strip()


def finish(c: dataset.Corpus, recipe: learner.Recipe, margins: np.ndarray, way: str) -> tuple[learner.Model, float, dict[str, str], dict]:
    """Train on all rows; return the model, its temperature and its metadata, with what they rest on."""
    usable = c.scored & ~np.isnan(margins).any(axis=1)
    t, tau = experiments.settle(c, margins, usable)
    probs, energy = score.softmax(margins, t).clip(max=graph.MOST), score.energy(margins, t)
    abstains = probs.max(axis=1) < np.array(tau)[probs.argmax(axis=1)]
    calibration = {"T": t, "tau": tau}
    if way == "energy":  # of what is known, no more than the usual share of false alarms is called unknown by it
        known = usable & (c.label != c.unknown)
        calibration["energy"] = round(float(np.quantile(energy[known], 1 - score.FALSE_ALARMS)), 4)
    model = recipe.fit(c)
    held = c.take(np.flatnonzero(usable))
    important = reference.importance(model, held, c.manifest["schema"])
    properties = {
        "sonde.schema_sha256": c.manifest["schema_sha256"],
        "sonde.schema": json.dumps(c.manifest["schema"], separators=(",", ":")),
        "sonde.labels": json.dumps([{"id": i, "name": n, "category": k, "weak": tier == dataset.WEAK}
                                    for i, (n, k, tier) in enumerate(zip(c.names, c.categories, c.tiers))]),
        "sonde.calibration": json.dumps(calibration),
        "sonde.refhist": json.dumps(reference.histograms(c.take(np.flatnonzero(usable)), important, probs[usable], energy[usable], abstains[usable])),
        "sonde.dataset_sha256": c.digest,
        "sonde.train_commit": commit(),
    }
    return model, t, properties, {"T": t, "tau": tau, "important": [[n, round(loss, 4)] for loss, (n, _, _) in important[:12]]}


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="what `sonde dataset` wrote")
    parser.add_argument("--names", type=Path, help="the same with --names, to measure what names would add")
    parser.add_argument("--payload-packets", type=Path, help="the same with --payload-packets, to compare")
    parser.add_argument("--corpus", type=Path, required=True, help="the labelled captures")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model's version, for example inference/models/sonde/1")
    parser.add_argument("--results", type=Path, required=True, help="folder for the figures that report.py reads")
    parser.add_argument("--holdout", type=int, help="only train without this fold, and write the model: for checks of the whole way")
    parser.add_argument("--resume", action="store_true", help="keep what is there of the same rows: for when a run was broken off")
    parser.add_argument("--quick", action="store_true", help="only cross-validation and the model; other figures stay as they are")
    a = parser.parse_args()

    c = dataset.read(a.features, a.corpus)
    if c.manifest.get("experiment"):
        sys.exit("these features are an experiment, no model of them may ship")
    if a.holdout is not None:
        hold_out(c, a)
        return

    begin = time.time()

    def step(name: str, work: Callable[[], dict]) -> dict:
        """Do an experiment and keep its piece; with --resume one that is there of the same rows is not done again."""
        there = a.results / f"{name}.json"
        piece = json.loads(there.read_text()) if a.resume and there.exists() else {}
        if piece.get("of") != c.digest:
            piece = experiments.save(a.results, name, work() | {"of": c.digest})
        print(f"{time.time() - begin:6.0f} s  {name}", flush=True)
        return piece

    best, scores, recipes = choose(c, {"network": learner.NETWORK, "trees": learner.TREES}, a.results, a.resume)
    recipe, margins = recipes[best], scores[best]
    step("cross_validation", lambda: experiments.cross_validation(c, scores, best))
    way = "max probability"
    if not a.quick:
        way = step("unknown", lambda: experiments.left_out(c, recipe))["better"]
        step("sources", lambda: experiments.sources(c, recipe))
        step("payload", lambda: {"sizes_and_times": experiments.compare(dataset.sizes_and_times(c), recipe),
                                 "without_openings": experiments.compare(dataset.without_openings(c), recipe)})
        for name, folder in (("names", a.names), ("packets", a.payload_packets)):
            if folder:
                step(name, lambda: {name: experiments.compare(dataset.read(folder, a.corpus, tiers_of(c)), recipe)})
        step("learning_curve", lambda: experiments.learning_curve(c, recipe, margins))
    elif (a.results / "unknown.json").exists():
        way = json.loads((a.results / "unknown.json").read_text())["better"]
    model, t, properties, settled = finish(c, recipe, margins, way)
    experiments.save(a.results, "unlabelled", experiments.unlabelled(a.features, c, settled["T"], settled["tau"], model))
    shown = c.take(np.flatnonzero(c.scored))
    draft = graph.build(model.graphs(), len(c.names), t, properties)
    parity = check(draft, model, shown, t)
    about = experiments.save(a.results, "model", card.about(c, recipe, settled, way, parity, {str(n): cost(draft, shown, n) for n in (1, 64)}, len(draft)))
    pieces = card.pieces(a.results)
    properties |= {"sonde.metrics": json.dumps(card.metrics(pieces)), "sonde.card": card.write(pieces), "sonde.created": created()}
    file = graph.build(model.graphs(), len(c.names), t, properties)
    if len(file) > MAX_BYTES:
        sys.exit(f"the model has {len(file)} bytes, at most {MAX_BYTES}")
    reasons = card.worse(pieces)
    if reasons:
        sys.exit("not written: " + "; ".join(reasons))
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "model.onnx").write_bytes(file)
    (a.out / "README.md").write_text(card.beside(properties["sonde.card"], file))
    print(f"{time.time() - begin:6.0f} s  wrote {a.out}: {about['recipe']}")


def created() -> str:
    """Return the time; SOURCE_DATE_EPOCH, where it is set, makes files of two runs equal."""
    at = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(at), timezone.utc) if at else datetime.now(timezone.utc)
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")


def tiers_of(c: dataset.Corpus) -> dict[str, str]:
    """Return the tier of each class, to read other features by."""
    return dict(zip(c.names, c.tiers))


def hold_out(c: dataset.Corpus, a: argparse.Namespace) -> None:
    """Write a model that has not seen a fold."""
    rest = c.take(np.flatnonzero(c.fold != a.holdout))
    margins = np.full((len(rest), len(c.names)), np.nan, dtype=np.float32)
    for k in sorted(set(rest.fold)):
        held = np.flatnonzero(rest.fold == k)
        margins[held] = learner.NETWORK.fit(rest.take(rest.fold != k)).margins(rest.take(held))
    model, t, properties, _ = finish(rest, learner.NETWORK, margins, "max probability")
    properties |= {"sonde.metrics": "{}", "sonde.created": created()}
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "model.onnx").write_bytes(graph.build(model.graphs(), len(c.names), t, properties))
    held = c.take(np.flatnonzero(c.fold == a.holdout))
    rows = experiments.answering(held)
    print(json.dumps(experiments.save(a.results, "holdout", {"fold": a.holdout} | experiments.judge(held, rows, model.margins(held), rounds=False))))


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(1):  # the same sums in the same order on every machine, and no threads that wait for each other
        main()
