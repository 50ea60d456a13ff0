"""Score what `sonde analyze --json` said of the corpus, the whole way from capture file to stored result, on the groups of a fold
that the model has not seen: one of `train.py --holdout`. The figures are to be those that this printed of the tensors, but for
sessions that are cut in another way.

    cd CORPUS/captures && sonde analyze --json */* > results.jsonl
    python confusion.py --results results.jsonl --corpus CORPUS --model build/models/sonde/1/model.onnx
"""

import argparse
import csv
import ipaddress
import json
from collections import Counter, defaultdict
from pathlib import Path

import onnxruntime as ort
from sklearn.metrics import f1_score

import dataset

# Names of IP protocols in labels.csv; others stand there as numbers.
PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp"}

# Sessions of one five-tuple that take its row's label: as `sonde features` bounds it.
PER_ROW = 3


def ends(a: str, a_port: str, b: str, b_port: str) -> frozenset:
    """Return both ends without direction."""
    return frozenset({(ipaddress.ip_address(a), int(a_port)), (ipaddress.ip_address(b), int(b_port))})


def read_labels(corpus: Path) -> dict[tuple, dict]:
    """Return the rows of labels.csv by file, protocol and ends; the first one of those that are the same."""
    rows: dict[tuple, dict] = {}
    with open(corpus / "labels.csv", newline="") as f:
        for r in csv.DictReader(f):
            rows.setdefault((r["file"], r["proto"], ends(r["src_ip"], r["src_port"], r["dst_ip"], r["dst_port"])), r)
    return rows


def key(result: dict) -> tuple:
    """Return what a result's row is found by."""
    c, s, number = result["client"], result["server"], result["ip_protocol"]
    file = result["capture_point"].rpartition("captures/")[2]
    return file, PROTOCOLS.get(number, str(number)), ends(c["address"], c["port"], s["address"], s["port"])


def read_tiers(model: Path) -> dict[str, str]:
    """Return the tier of each label that the model has."""
    metadata = ort.InferenceSession(model.read_bytes()).get_modelmeta().custom_metadata_map
    return {label["name"]: dataset.WEAK if label["weak"] else dataset.STRONG for label in json.loads(metadata["sonde.labels"]) if label["name"] != dataset.UNKNOWN}


def join(results: Path, corpus: Path, names: dict[str, str], fold: int) -> tuple[list[tuple], Counter]:
    """Return (label, answer, unknown) of each session that counts, and how many there were of every kind."""
    rows, taxonomy = read_labels(corpus), dataset.read_taxonomy(corpus)
    with open(results) as f:
        found = sorted((json.loads(line) for line in f), key=lambda r: r["session_id"])  # by time
    kinds: Counter = Counter(results=len(found))
    uses: Counter = Counter()
    capped: Counter = Counter()
    scored = []
    for result in found:
        k = key(result)
        row = rows.get(k)
        if row is None:
            kinds["without a row"] += 1
            continue
        kinds["joined"] += 1
        uses[k] += 1
        if dataset.fold(row["group"]) != fold:
            kinds["of training groups"] += 1
        elif not dataset.usable(row):
            kinds["not usable or duplicate"] += 1
        elif uses[k] > PER_ROW:
            kinds["more of one five-tuple"] += 1
        elif capped[row["file"], row["label"]] >= dataset.CAP:
            kinds["more of one capture and label"] += 1
        else:
            capped[row["file"], row["label"]] += 1
            target = dataset.target(row["label"], taxonomy)
            label = target if target in names else dataset.UNKNOWN
            said = result["classification"] or {"label": "(failed)", "unknown": True}
            scored.append((label, said["label"], said["unknown"]))
    kinds["scored"] = len(scored)
    kinds["rows without a result"] = len(rows) - len(uses)
    return scored, kinds


def report(scored: list[tuple], tiers: dict[str, str], largest: int) -> None:
    """Print figures, and what the largest labels were taken for."""
    known = [s for s in scored if s[0] != dataset.UNKNOWN]
    answered = [s for s in known if not s[2]]
    others = [s for s in scored if s[0] == dataset.UNKNOWN]
    y, h = [label for label, _, _ in known], [answer for _, answer, _ in known]
    strong = [(a, b) for a, b in zip(y, h) if tiers[a] == dataset.STRONG]
    print(f"sessions {len(known)}, labels {len(set(y))}")
    print(f"accuracy {sum(a == b for a, b in zip(y, h)) / len(y):.4f}")
    print(f"macro-F1 {f1_score(y, h, labels=sorted(set(y)), average='macro', zero_division=0):.4f}")
    print(f"strong tier: sessions {len(strong)}, accuracy {sum(a == b for a, b in strong) / len(strong):.4f}, "
          f"macro-F1 {f1_score(y, h, labels=sorted({a for a, _ in strong}), average='macro', zero_division=0):.4f}")
    print(f"unknown rate {1 - len(answered) / len(known):.4f} of {len(known)} sessions with a label")
    print(f"right when answered {sum(a == b for a, b, _ in answered) / len(answered):.4f}")
    if others:
        print(f"named though of no label {sum(not u for _, _, u in others)} of {len(others)}")
    said: dict[str, Counter] = defaultdict(Counter)
    for label, answer, unknown in scored:
        said[label]["unknown" if unknown else answer] += 1
    print(f"\n{'label':<18} {'sessions':>8} {'right':>6}  otherwise")
    for label, answers in sorted(said.items(), key=lambda e: (-e[1].total(), e[0]))[:largest]:
        wrong = ", ".join(f"{a} {n}" for a, n in answers.most_common() if a != label)
        print(f"{label:<18} {answers.total():>8} {answers[label]:>6}  {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--results", type=Path, required=True, help="what sonde analyze --json has written")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with labels.csv, taxonomy.csv and captures/")
    parser.add_argument("--model", type=Path, required=True, help="the model that answered")
    parser.add_argument("--largest", type=int, default=30, help="labels to print, the largest first")
    parser.add_argument("--fold", type=int, default=0, help="the fold that it has not seen")
    options = parser.parse_args()
    tiers = read_tiers(options.model)
    scored, kinds = join(options.results, options.corpus, tiers, options.fold)
    print("; ".join(f"{n} {kind}" for kind, n in kinds.items()))
    report(scored, tiers, options.largest)


if __name__ == "__main__":
    main()
