#!/usr/bin/env python3
"""Starts the Triton that nvidia-pytriton (PyPI) carries on a model repository: serve.py FOLDER [TRITON'S FLAGS].

The wheel holds the server and its Python backend, but not as a command. This process becomes the server.
"""

import importlib.util
import os
import pathlib
import shutil
import sys
import sysconfig


def main():
    folder, flags = sys.argv[1], sys.argv[2:]
    dist = pathlib.Path(importlib.util.find_spec("pytriton").origin).parent / "tritonserver"  # not imported: it needs more
    stub = dist / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    place = dist / "backends" / "python" / stub.name  # where the backend looks for it; the wheel has one a Python
    if not place.exists():
        copy = place.with_suffix(f".{os.getpid()}")
        shutil.copy(stub, copy)
        copy.chmod(0o755)
        copy.replace(place)
    environment = dict(
        os.environ,
        # The backend starts a Python of its own, which takes the packages of the first one in the path: this one.
        PATH=os.pathsep.join([str(pathlib.Path(sys.prefix) / "bin"), os.environ.get("PATH", "")]),
        LD_LIBRARY_PATH=os.pathsep.join([str(dist.parent.parent / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]),
    )
    server = dist / "bin" / "tritonserver"
    server.chmod(0o755)
    os.execve(server, [str(server), "--model-repository", folder, "--backend-directory", str(dist / "backends"), *flags], environment)


if __name__ == "__main__":
    main()
