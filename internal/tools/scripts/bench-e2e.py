#!/usr/bin/env python3
"""Sends a capture through the whole way, beside two yardsticks on the same file in the same run.

Usage: bench-e2e.py CAPTURE [COPIES]

A capture that is too short to measure is laid behind itself COPIES times, far enough apart that every copy has sessions of
its own. Processor time is what to compare: it does not depend on how busy the machine is, as wall time does. Needs
capinfos, editcap, mergecap and tshark (Debian: tshark) and ndpiReader (libndpi-bin); a yardstick that is missing is
named and left out.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Longer than any idle gap that ends a session.
PAUSE_SECONDS = 600


@dataclass
class Run:
    name: str
    wall: float
    cpu: float
    peak_mib: float
    last: str  # line printed
    stderr: str


def run(name: str, *command: str) -> Run:
    """Runs a program to its end and keeps the last line that it prints."""
    started = time.monotonic()
    with open(".cache/bench/stderr", "w+b") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
        last = b""
        for line in process.stdout:
            last = line
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        stderr.seek(0)
        text = stderr.read().decode(errors="replace")
    if status:
        sys.exit(f"{name} failed ({os.waitstatus_to_exitcode(status)}): {text}")
    return Run(name, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, last.decode(errors="replace"), text)


def info(flag: str, capture: Path) -> float:
    """Asks capinfos for one number."""
    output = subprocess.check_output(["capinfos", "-T", "-r", "-M", flag, capture], text=True)
    return float(output.split("\t")[-1])


def repeat(capture: Path, copies: int) -> Path:
    """Lays a capture behind itself, and keeps the outcome for the next time."""
    target = Path(f".cache/bench/{capture.stem}-{copies}.pcapng")
    if copies == 1:
        return capture
    if target.exists() and target.stat().st_mtime > capture.stat().st_mtime:
        return target
    step = info("-u", capture) + PAUSE_SECONDS
    parts = [Path(f".cache/bench/part-{n}.pcapng") for n in range(copies)]
    for n, part in enumerate(parts):
        subprocess.check_call(["editcap", "-t", str(n * step), capture, part])
    subprocess.check_call(["mergecap", "-a", "-w", target, *parts])
    for part in parts:
        part.unlink()
    return target


def main(capture: str, copies: str = "50") -> None:
    if not shutil.which("capinfos"):
        sys.exit("bench-e2e needs capinfos, editcap and mergecap (Debian: apt-get install tshark)")
    Path(".cache/bench").mkdir(parents=True, exist_ok=True)
    file = repeat(Path(capture), int(copies))
    packets = info("-c", file)

    # A table of sessions, as tshark's; the second run shows what one JSON object a session costs beyond that.
    sonde = run("sonde analyze", "./bin/sonde", "analyze", "--stats", str(file))
    runs = [sonde, run("... --json", "./bin/sonde", "analyze", "--json", str(file))]
    for name, *arguments in (
        ["ndpiReader", "-q", "-i", str(file)],
        ["tshark", "-q", "-z", "conv,tcp", "-z", "conv,udp", "-r", str(file)],
    ):
        if shutil.which(name):
            runs.append(run(name, name, *arguments))
        else:
            print(f"{name}: not installed, left out")

    sessions = int(re.search(r" sessions=(\d+)", sonde.last)[1])
    print(f"{file}: {packets:.0f} packets, {file.stat().st_size / 2**20:.1f} MiB, {sessions} sessions, "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{sonde.name}: {packets / sonde.wall:.0f} packets/s, {sessions / sonde.wall:.0f} sessions/s, "
          f"{sonde.cpu / packets * 1e6:.2f} CPU s per million packets, {sonde.cpu / sessions * 1e3:.2f} CPU s per thousand sessions")
    print(f"{'program':<16}{'wall s':>9}{'CPU s':>9}{'sonde is x':>13}{'peak MiB':>10}")
    for r in runs:
        print(f"{r.name:<16}{r.wall:>9.2f}{r.cpu:>9.2f}{sonde.cpu / r.cpu:>13.2f}{r.peak_mib:>10.0f}")
    # The ledger, and how long results took from hand-over to storing, in sonde's own words.
    print(sonde.last + sonde.stderr, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
