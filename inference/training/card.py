"""The model card: Markdown in the model's metadata and beside it, and the figures that travel with it; made of the pieces that the
experiments have left."""

import hashlib
import json
from collections import Counter
from pathlib import Path

import dataset
from dataset import STRONG, WEAK, Corpus
from learner import Recipe

# A class of the strong tier with less is named among the known failures.
POOR = 0.8


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share for people."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def figure(of: dict, name: str) -> str:
    """Return a figure with its interval, if it has one."""
    if name not in of:
        return "-"
    between = of.get(f"{name}_interval")
    return f"{of[name]:.3f}" + (f" ({between[0]:.3f}-{between[1]:.3f})" if between else "")


def table(header: list[str], rows: list[list]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(header) + " |", "|" + "---|" * len(header), *("| " + " | ".join(map(str, r)) + " |" for r in rows)]


def both(name: str, of: dict) -> list[str]:
    """Return a row: strong tier, all classes."""
    return [name, figure(of["strong"], "accuracy"), figure(of["strong"], "macro_f1"), figure(of["all"], "accuracy"), figure(of["all"], "macro_f1")]


TIERS = ["", "accuracy, strong tier", "macro-F1, strong tier", "accuracy, all classes", "macro-F1, all classes"]


def pieces(results: Path) -> dict[str, dict]:
    """Return all pieces that are there."""
    return {p.stem: json.loads(p.read_text()) for p in sorted(results.glob("*.json"))}


def about(c: Corpus, recipe: Recipe, settled: dict, way: str, parity: dict, cost: dict, size: int) -> dict:
    """Return what is to be said of the model itself."""
    scored = c.scored
    return {
        "recipe": recipe.describe(), "temperature": settled["T"], "tau": dict(zip(c.names, settled["tau"])), "unknown_by": way,
        "important": settled["important"], "parity": parity, "microseconds": cost, "bytes": size,
        "schema_sha256": c.manifest["schema_sha256"], "dataset_sha256": c.digest, "labels_sha256": c.manifest.get("labels_sha256", ""),
        "rows": len(c), "sessions": int(scored.sum()), "groups": len(set(c.group[scored])),
        "heads": c.manifest.get("options", {}).get("heads", []), "augment": c.manifest.get("options", {}).get("augment", []),
        "corrections": int((c.variant == "correction").sum()),
        "sources": dict(sorted(Counter(c.source[scored].tolist()).items())),
        "tiers": {n: {"tier": t, "category": k} for n, t, k in zip(c.names, c.tiers, c.categories)},
    }


def metrics(p: dict[str, dict]) -> dict:
    """Return the figures for the model's metadata."""
    cv = p["cross_validation"]
    out = {"cross_validation": {k: cv[k] for k in ("tiers", "learners", "baselines", "calibration", "abstaining", "moments", "dpi_and_path")},
           "classes": {n: {k: v[k] for k in ("tier", "sessions", "groups", "precision", "recall", "f1", "f1_interval")} for n, v in cv["classes"].items()}}
    for name, part in (("sources", "pooled"), ("unknown", "mean_of_classes"), ("payload", "sizes_and_times"), ("names", "names")):
        if name in p:
            out[name] = p[name][part]
    return out


def worse(p: dict[str, dict]) -> list[str]:
    """Return reasons not to ship: a baseline that is as good."""
    cv = p["cross_validation"]
    ours = cv["tiers"]["strong"]
    return [f"{name} reaches {f} {b['strong'][f]}, the model {ours[f]}" for name, b in cv["baselines"].items() for f in ("accuracy", "macro_f1") if ours[f] <= b["strong"][f]]


def write(p: dict[str, dict]) -> str:
    """Return the card."""
    m, cv = p["model"], p["cross_validation"]
    strong = [n for n, f in cv["classes"].items() if f["tier"] == STRONG]
    weak = [n for n, f in cv["classes"].items() if f["tier"] == WEAK]
    poor = [f"{n} ({cv['classes'][n]['f1']:.2f})" for n in strong if cv["classes"][n]["f1"] < POOR]
    said = cv["abstaining"]
    lines = [
        "# Model `sonde`, version 1", "",
        "Made by `make train`; do not edit. The whole story with all figures is in `docs/model.md`.", "",
        "**Use**: naming the application protocol of a session from its first 24 packets. **No use**: telling good traffic from bad, naming "
        "services, programs or people, or proving anything. It is a guess with a probability, and says `unknown` when it does not know.", "",
        f"**What it is**: {m['recipe']}; one ONNX graph of {m['bytes'] / 1e6:.1f} MB on feature schema `{m['schema_sha256'][:12]}`, scaling inside; "
        f"{m['microseconds']['64']} us of CPU a session at 64 rows a run.", "",
        f"**Data**: {m['sessions']} sessions of {m['groups']} groups of public test captures, labelled by nDPI: it can at best learn to agree with nDPI. "
        "No addresses, ports, server names, header fields or absolute times.", "",
        f"**Tiers**: strong are classes with at least {dataset.STRONG_SESSIONS} sessions in {dataset.STRONG_GROUPS} groups ({len(strong)}); weak are those with {dataset.WEAK_SESSIONS} "
        f"sessions or {dataset.WEAK_GROUPS} groups ({len(weak)}), which are answered but marked; the rest is trained as `unknown`.", "",
        "## Figures", "", "Each session scored by a model that has not seen its group of captures, or (second line) anything of who published it; 95 % intervals by drawing groups.", "",
        *table(TIERS, [both("cross-validation by group", cv["tiers"]), *([both("leave one source out", p["sources"]["pooled"])] if "sources" in p else []),
                       *[both(f"baseline: {n}", b) for n, b in cv["baselines"].items()]]), "",
        f"It abstains from {percent(said['unknown_rate'])} of the sessions with a class; of the others {percent(said['accuracy_when_answered'])} are right. "
        f"It answers {percent(said['background_answered'])} of {said['background']} sessions that are of no class. Expected calibration error {cv['calibration']['ece']:.3f}.", "",
        *table(["class", "category", "tier", "sessions", "groups", "precision", "recall", "F1", "believed from"], [
            [n, m["tiers"][n]["category"], f["tier"], f["sessions"], f["groups"], f"{f['precision']:.2f}", f"{f['recall']:.2f}",
             f"{f['f1']:.2f} ({f['f1_interval'][0]:.2f}-{f['f1_interval'][1]:.2f})", f"{m['tau'][n]:.2f}"] for n, f in cv["classes"].items()]), "",
        "## Known failures", "",
        "- A session of TCP, UDP or SCTP that has shown no payload yet is unknown by design.",
        *([f"- Strong by the count of sessions, poor by F1: {', '.join(poor)}. These classes gather protocols that are unlike each other; a protocol of which "
           "no capture was shown is called unknown or after its nearest relative."] if poor else []),
        *([f"- It does not know what it does not know: of a class that it was never shown it notices {percent(d['detected'])} at 5 % false alarms "
           f"(mean over {len(p['unknown']['classes'])} classes, AUROC {d['auroc']:.2f})." for d in [p["unknown"]["mean_of_classes"][p["unknown"]["better"]]]] if "unknown" in p else []),
        "- What is encrypted from its first byte and follows no public handshake is told by sizes and times only, and poorly.",
        "- The captures are test cases of 2000 to 2024: how often a class occurs in them says nothing about a network.", "",
        "## Hashes", "", f"- rows trained on: `{m['dataset_sha256']}`", f"- labels.csv: `{m['labels_sha256']}`", f"- feature schema: `{m['schema_sha256']}`", "",
    ]
    return "\n".join(lines)


def beside(text: str, file: bytes) -> str:
    """Return the card as it lies beside the file."""
    return text.rstrip("\n") + f"\n- model.onnx: `{hashlib.sha256(file).hexdigest()}`\n"
