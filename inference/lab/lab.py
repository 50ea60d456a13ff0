#!/usr/bin/env python3
"""Runs real programs on networks of their own, captures what they say, and labels each session by the program that made it.

    lab.py --out DIR [--only ssh,curl] [--variants near] [--jobs 3] [--install]

writes DIR/captures/PROGRAM/VARIANT.pcapng, labels.csv, captures.csv, programs.csv and taxonomy.csv: the layout of a corpus, so that
`sonde dataset --corpus DIR` reads it. Needs root and Linux; changes nothing of the host's network.
"""

import argparse
import dataclasses
import json
import os
import queue
import shutil
import string
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import install
import tables
from program import Program, Step
from recipes import ABSENT, PROGRAMS
from rooms import Room
from wire import CLIENT, SERVER, WEATHER, Wire

HERE = Path(__file__).resolve().parent
HOSTS = ["alpha.example.net", "node7.example.org", "srv-12.corp.example", "files.office.example", "edge.example.com", "b3.lan.example"]
SETTLE = 0.3  # seconds that are waited for the last packets


def make_site(folder: Path) -> None:
    """Write certificates and files of many sizes, which all programs share."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    words = (HERE / "README.md").read_text().split()
    for name, size in (("1k.txt", 1 << 10), ("8k.json", 8 << 10), ("20k.html", 20 << 10)):
        text = "".join(words[(i * 7919) % len(words)] + (" " if i % 11 else "\n") for i in range(size // 4))
        (site / name).write_text(text[:size])
    for name, size in (("60k.png", 60 << 10), ("200k.bin", 200 << 10), ("700k.bin", 700 << 10)):
        (site / name).write_bytes(os.urandom(size))
    images = "".join(f'<img src="60k.png?{i}">' for i in range(4))
    (site / "index.html").write_text(f"<!doctype html><title>Lab</title><p>{' '.join(words[:400])}</p>{images}<script>fetch('8k.json')</script>")
    alternatives = ",".join([f"DNS:{h}" for h in (*HOSTS, "localhost")] + [f"IP:{a}" for a in (*SERVER[:2], *CLIENT[:2])])
    if not (folder / "cert.pem").exists():
        for command in (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=Lab -keyout ca.key -out ca.pem",
            "openssl req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out request.pem",
            "openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions.cnf -out cert.pem",
        ):
            (folder / "extensions.cnf").write_text(f"subjectAltName={alternatives}\nextendedKeyUsage=serverAuth,clientAuth\n")
            subprocess.run(command.split(), cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def prepare(folder: Path, program: Program, shared: Path, python: str, tools: Path) -> dict[str, str]:
    """Write a run's files and return the environment of its commands."""
    name = HOSTS[sum(program.name.encode()) % len(HOSTS)]
    environment = {
        "PATH": f"{tools}:{Path(python).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "DIR": str(folder),
        "NAME": name,
        "SITE": str(shared / "site"),
        "SERVER": SERVER[0],
        "SERVER6": SERVER[1],
        "CLIENT": CLIENT[0],
        "CLIENT6": CLIENT[1],
        "CA": str(shared / "ca.pem"),
        "CERT": str(shared / "cert.pem"),
        "KEY": str(shared / "key.pem"),
        "HELPERS": str(HERE / "helpers"),
        "PYTHON": python,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    folder.chmod(0o755)
    hosts = "127.0.0.1 localhost\n::1 localhost\n"
    (folder / "hosts").write_text(hosts if program.names else hosts + f"{SERVER[0]} {name}\n{SERVER[1]} {name}\n")
    (folder / "resolv.conf").write_text(f"nameserver {SERVER[0]}\n" if program.names else "")
    for path, text in program.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(string.Template(text).safe_substitute(environment))
        target.chmod(0o755 if text.startswith("#!") else 0o644)
    return environment


def perform(step: Step, room: Room, number: int) -> None:
    """Do one step of a recipe; an error says what went wrong."""
    log = f"step-{number}.log"
    for _ in range(step.repeat):
        if step.background:
            server = room.start(step.command, log)
            if step.listens:
                room.wait_for(step.listens, server, step.timeout)
            continue
        status = room.run(step.command, log, step.timeout)
        if status != 0 and not step.may_fail:
            said = (room.folder / log).read_text(errors="replace").strip()[-400:]
            raise OSError(f"{'no end' if status is None else f'status {status}'} of: {step.command}\n{said}")


def run_variant(program: Program, variant: str, path: Path, log: Path, shared: Path, python: str, tools: Path) -> str:
    """Run a program once and capture it. Return what went wrong, which a log then tells at length, or nothing."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    rooms: list[Room] = []
    wire = None
    try:
        environment = prepare(folder, program, shared, python, tools)
        rooms = [Room(side, folder, environment) for side in ("client", "server")]
        wire = Wire(*rooms, WEATHER[variant], path, f"{program.name} {variant}")
        side = {room.name: room for room in rooms}
        if program.names:
            resolver = side["server"].start(
                f"dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --user=root --pid-file= "
                f"--address=/{environment['NAME']}/{SERVER[0]} --address=/{environment['NAME']}/{SERVER[1]} --address=/#/",
                "dns.log",
            )
            side["server"].wait_for("udp/53", resolver, 10)
        for number, step in enumerate(program.steps):
            perform(step, side[step.side], number)
        time.sleep(SETTLE + 4 * WEATHER[variant].delay)
        return ""
    except OSError as error:
        said = [f"== {f.name}\n{f.read_text(errors='replace')[-4000:]}\n" for f in sorted(folder.glob("*.log"))]
        log.write_text("".join(said))
        return f"{variant}: {error}"
    finally:
        if wire:
            wire.close()
        for room in rooms:
            room.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_program(program: Program, out: Path, shared: Path, python: str, tools: Path) -> dict:
    """Run all variants of a program, and return what is to be known of it."""
    record = {
        "program": program.name,
        "status": "ok",
        "version": "",
        "problems": [],
        "serves": program.serves,
        "variants": list(program.variants),
        "command": "; ".join(s.command for s in program.steps if s.side == "client"),
        "server": "; ".join(s.command for s in program.steps if s.side == "server"),
    }
    missing = install.missing(program, python, tools)
    if missing:
        return record | {"status": "missing", "problems": missing}
    folder = out / "captures" / program.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    record["version"] = install.version(program, python, tools)
    for variant in program.variants:
        problem = run_variant(program, variant, folder / f"{variant}.pcapng", out / "logs" / f"{program.name}-{variant}.log", shared, python, tools)
        if problem:
            record["status"] = "failed"
            record["problems"].append(problem)
    return record


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that is written, or added to")
    parser.add_argument("--only", help="names of programs, with commas; without it, all")
    parser.add_argument("--variants", help="kinds of wires, with commas, of those that a program has; without it, all: " + ", ".join(WEATHER))
    parser.add_argument("--jobs", type=int, default=3, help="programs at the same time, each on a network of its own")
    parser.add_argument("--minutes", type=float, default=14.0, help="no program is started after that")
    parser.add_argument("--install", action="store_true", help="install what is missing: Debian packages, a Python environment, Go programs")
    parser.add_argument("--python", help="interpreter that has the packages of requirements.txt; --install makes one")
    parser.add_argument("--tools", type=Path, default=Path(".cache/lab"), help="where --install puts what is not a Debian package")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    names = arguments.only.split(",") if arguments.only else list(PROGRAMS)
    unknown = [n for n in names if n not in PROGRAMS]
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")

    out, tools = arguments.out.resolve(), arguments.tools.resolve()
    chosen = [PROGRAMS[n] for n in names]
    if arguments.variants:
        wires = set(arguments.variants.split(","))
        chosen = [dataclasses.replace(p, variants=tuple(v for v in p.variants if v in wires)) for p in chosen]
    if arguments.install:
        install.install(chosen, tools)
    venv = tools / "venv/bin/python"
    python = arguments.python or str(venv if venv.exists() else sys.executable)
    shared = out / "shared"
    make_site(shared)
    for name in ("programs", "logs"):
        (out / name).mkdir(exist_ok=True)

    waiting: queue.SimpleQueue[Program] = queue.SimpleQueue()
    for program in chosen:
        waiting.put(program)
    end = time.monotonic() + 60 * arguments.minutes
    said = threading.Lock()

    def work() -> None:
        while True:
            try:
                program = waiting.get_nowait()
            except queue.Empty:
                return
            started = time.monotonic()
            if started > end:
                record = {"program": program.name, "status": "failed", "problems": ["no time left"], "variants": []}
            else:
                record = run_program(program, out, shared, python, tools / "bin")
            record["seconds"] = round(time.monotonic() - started, 1)
            (out / "programs" / f"{program.name}.json").write_text(json.dumps(record, indent=1))
            with said:
                print(f"{record['status']:8} {program.name:20} {record['seconds']:6.1f} s  {'; '.join(record['problems'])}", flush=True)

    workers = [threading.Thread(target=work) for _ in range(arguments.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if not arguments.only:
        for name, reason in ABSENT.items():
            print(f"absent   {name:28} {reason}")
    print(tables.write(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
