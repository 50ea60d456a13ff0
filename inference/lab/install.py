"""Installs what recipes need, and tells what is missing: Debian packages, a Python environment, programs in Go."""

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from program import Program

HERE = Path(__file__).resolve().parent
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Debian's packages start the servers that they bring unless this says no.
POLICY = Path("/usr/sbin/policy-rc.d")


def run(*command: str, **options) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, **options).returncode == 0


def install(programs: list[Program], tools: Path) -> None:
    """Install what the programs need. What cannot be installed is told by missing afterwards."""
    packages = sorted({package for p in programs for tool, package in p.tools.items() if not have(tool, tools / "bin")})
    if packages:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-qq", "--no-install-recommends", "--no-remove"]
        quiet = not POLICY.exists()
        if quiet:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
        try:
            run("apt-get", "update", "-qq")
            if not run(*apt, *packages, env=environment):
                for package in packages:  # so that one that is not to be had does not take the others with it
                    run(*apt, package, env=environment)
        finally:
            if quiet:
                POLICY.unlink()
    if any(p.modules for p in programs):
        run("python3", "-m", "venv", str(tools / "venv"))
        run(str(tools / "venv/bin/pip"), "install", "--quiet", "--requirement", str(HERE / "requirements.txt"))
    for name in sorted({p.go for p in programs if p.go}):
        run("go", "build", "-o", str(tools / "bin" / name), f"./{name}", cwd=HERE / "go")


def have(tool: str, binaries: Path) -> bool:
    return shutil.which(tool, path=f"{binaries}:{SYSTEM}:{os.environ.get('PATH', '')}") is not None


@functools.cache
def importable(module: str, python: str) -> bool:
    return run(python, "-c", f"import {module}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def missing(program: Program, python: str, binaries: Path) -> list[str]:
    """Return what a program needs and this machine does not have."""
    lacks = [f"{tool} (Debian package {package})" for tool, package in program.tools.items() if not have(tool, binaries)]
    lacks += [f"Python module {module}" for module in program.modules if not importable(module, python)]
    if program.go and not have(program.go, binaries):
        lacks.append(f"Go program {program.go}")
    return lacks


def version(program: Program, python: str, binaries: Path) -> str:
    """Return the first line in which a program says its version."""
    environment = os.environ | {"PYTHON": python, "PATH": f"{binaries}:{SYSTEM}:{os.environ.get('PATH', '')}", "HELPERS": str(HERE / "helpers")}
    said = subprocess.run(
        ["sh", "-c", program.version], env=environment, capture_output=True, text=True, errors="replace", timeout=30, stdin=subprocess.DEVNULL
    )
    lines = [line.strip() for line in (said.stdout + "\n" + said.stderr).splitlines() if re.search(r"\d", line)]
    return lines[0][:120] if lines else ""
