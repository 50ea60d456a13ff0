#!/usr/bin/env python3
"""Starts the Triton that nvidia-pytriton (PyPI) carries on a model repository, behind mutual TLS.

The wheel holds the server and its Python backend, but not as a command. This process becomes the server; what stands after
-- are flags of Triton's own.
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import sys
import sysconfig


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="model repository; repository.py writes one")
    parser.add_argument("--listen", default="0.0.0.0:8001", help="HOST:PORT of gRPC")
    parser.add_argument("--tls-ca", required=True, help="who signs the certificates of callers")
    parser.add_argument("--tls-certificate", required=True)
    parser.add_argument("--tls-key", required=True)
    parser.add_argument("flags", nargs="*", help="flags of Triton's own, after --")
    args = parser.parse_args()

    dist = pathlib.Path(importlib.util.find_spec("pytriton").origin).parent / "tritonserver"  # not imported: it needs more
    stub = dist / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    place = dist / "backends" / "python" / stub.name  # where the backend looks for it; the wheel has one a Python
    if not place.exists():
        copy = place.with_suffix(f".{os.getpid()}")
        shutil.copy(stub, copy)
        copy.chmod(0o755)
        copy.replace(place)
    server = dist / "bin" / "tritonserver"
    server.chmod(0o755)

    host, port = args.listen.rsplit(":", 1)
    command = [
        str(server), "--model-repository", args.folder, "--backend-directory", str(dist / "backends"),
        "--grpc-address", host, "--grpc-port", port, "--allow-http", "false", "--allow-metrics", "false",
        "--grpc-use-ssl-mutual", "true", "--grpc-root-cert", args.tls_ca,
        "--grpc-server-cert", args.tls_certificate, "--grpc-server-key", args.tls_key, *args.flags,
    ]
    environment = dict(
        os.environ,
        # The backend starts a Python of its own, which takes the packages of the first one in the path: this one.
        PATH=os.pathsep.join([str(pathlib.Path(sys.prefix) / "bin"), os.environ.get("PATH", "")]),
        LD_LIBRARY_PATH=os.pathsep.join([str(dist.parent.parent / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]),
    )
    os.execve(server, command, environment)


if __name__ == "__main__":
    main()
