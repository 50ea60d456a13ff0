"""The tables beside the captures: labels.csv, captures.csv, programs.csv, taxonomy.csv."""

import collections
import csv
import hashlib
import json
from pathlib import Path

import sessions
from recipes import ABSENT
from taxonomy import TAXONOMY

LABELS = (
    "file,proto,src_ip,src_port,dst_ip,dst_port,first_seen,packets,bytes,label,category,confidence,payload_packets,payload_bytes,service,"
    "dpi,dpi_confidence,malicious,threat,server_name,snapped,group,dup,usable,target,program,version,variant,command"
).split(",")
CAPTURES = "file,program,variant,version,command,server,sessions,labels,unlabelled,size,sha256".split(",")
PROGRAMS = "program,status,version,captures,sessions,usable,labels,seconds,problems".split(",")


def write_table(path: Path, columns: list[str], rows: list[dict]) -> None:
    with open(path, "w", newline="") as f:
        table = csv.DictWriter(f, columns, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def counts(rows: list[dict]) -> str:
    """Return labels with their numbers: dns:2 tls:7."""
    return " ".join(f"{label}:{n}" for label, n in sorted(collections.Counter(r["label"] for r in rows).items()))


def label_capture(path: Path, name: str, record: dict, seen: set[bytes]) -> list[dict]:
    """Return the rows of one capture. seen grows by its openings."""
    rows = []
    for s in sessions.read(path):
        label, _, service = sessions.label(s, record["serves"]).partition(":")
        target, category = TAXONOMY.get(label, ("", ""))
        opening = hashlib.sha256(repr((s.proto, label, s.opening)).encode()).digest()
        duplicate = bool(s.opening) and opening in seen
        seen.add(opening)
        usable = label != "unlabelled" and (s.payload_packets > 0 or s.proto not in sessions.PORTS)
        rows.append(
            {
                "file": name,
                "proto": s.proto,
                "src_ip": s.src_ip,
                "src_port": s.src_port,
                "dst_ip": s.dst_ip,
                "dst_port": s.dst_port,
                "first_seen": f"{s.first_seen:.6f}",
                "packets": s.packets,
                "bytes": s.bytes,
                "label": label,
                "category": category,
                "confidence": "process",
                "service": service,
                "payload_packets": s.payload_packets,
                "payload_bytes": s.payload_bytes,
                "malicious": 0,
                "snapped": 0,
                "group": record["program"],
                "dup": int(duplicate),
                "usable": int(usable),
                "target": target,
                "program": record["program"],
                "version": record["version"],
                "variant": path.stem,
                "command": record["command"],
            }
        )
    return rows


def write(out: Path) -> str:
    """Write all tables from the captures and what is known of the programs, and return a line that sums them up."""
    labels, captures, programs, seen = [], [], [], set()
    for path in sorted((out / "programs").glob("*.json")):
        record = json.loads(path.read_text())
        mine = []
        for variant in record["variants"]:
            capture = out / "captures" / record["program"] / f"{variant}.pcapng"
            if record["status"] == "missing" or not capture.exists():
                continue
            name = str(capture.relative_to(out / "captures"))
            rows = label_capture(capture, name, record, seen)
            mine += rows
            data = capture.read_bytes()
            captures.append(
                record
                | {
                    "file": name,
                    "variant": variant,
                    "sessions": len(rows),
                    "labels": counts(rows),
                    "size": len(data),
                    "unlabelled": sum(r["label"] == "unlabelled" for r in rows),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            )
        labels += mine
        programs.append(
            record
            | {
                "captures": sum(c["program"] == record["program"] for c in captures),
                "sessions": len(mine),
                "labels": counts(mine),
                "usable": sum(r["usable"] and not r["dup"] for r in mine),
                "problems": " | ".join(record["problems"]).replace("\n", " ")[:400],
            }
        )
    programs += [{"program": name, "status": "absent", "problems": reason} for name, reason in ABSENT.items()]
    write_table(out / "labels.csv", LABELS, labels)
    write_table(out / "captures.csv", CAPTURES, captures)
    write_table(out / "programs.csv", PROGRAMS, programs)
    write_table(
        out / "taxonomy.csv",
        ["label", "target", "category"],
        [{"label": label, "target": target, "category": category} for label, (target, category) in sorted(TAXONOMY.items())],
    )
    status = collections.Counter(p["status"] for p in programs)
    nobody = sum(r["label"] == "unlabelled" for r in labels)
    return (
        f"{status['ok']} programs, {status['failed']} failed, {status['missing']} missing; {len(captures)} captures, {len(labels)} sessions, "
        f"{sum(p.get('usable', 0) for p in programs)} usable and no duplicates, {nobody} of nobody"
    )
