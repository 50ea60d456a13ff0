#!/usr/bin/env python3
"""Writes a Triton model repository from a model of Sonde's: repository.py MODEL.onnx FOLDER [--backend python].

Needs onnxruntime (PyPI). A collector asks a server what a model's columns mean and which features it was trained on.
Sonde's own server answers from the file's metadata; Triton answers from the model's configuration, so they are copied
there: that is all this does. With --backend python the model is run by model.py beside this file, for Tritons that come
without the onnxruntime backend (as nvidia-pytriton's).
"""

import argparse
import pathlib
import shutil

import onnxruntime

TYPES = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}


def quoted(text):
    """A string of protobuf's text format: anything beyond printable ASCII as octal bytes."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in text.encode()) + '"'


def tensor(kind, t):
    dims = t.shape[1:]
    shape = f"dims: [ {', '.join(map(str, dims))} ]" if dims else "dims: [ 1 ], reshape: { shape: [ ] }"
    return f"{kind} [ {{ name: {quoted(t.name)}, data_type: {TYPES[t.type]}, {shape} }} ]"


def config(session, name, backend):
    lines = [
        f"name: {quoted(name)}",
        'backend: "python"' if backend == "python" else 'platform: "onnxruntime_onnx"',
        "max_batch_size: 4096",
        "dynamic_batching { }",
        "instance_group [ { count: 1, kind: KIND_CPU } ]",
    ]
    lines += [tensor("input", t) for t in session.get_inputs()]
    lines += [tensor("output", t) for t in session.get_outputs()]
    for key, value in sorted(session.get_modelmeta().custom_metadata_map.items()):
        lines.append(f"parameters {{ key: {quoted(key)}, value: {{ string_value: {quoted(value)} }} }}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--name", default="sonde")
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--backend", choices=["onnxruntime", "python"], default="onnxruntime")
    args = parser.parse_args()
    session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
    version = args.folder / args.name / str(args.version)
    version.mkdir(parents=True, exist_ok=True)
    shutil.copy(args.model, version / "model.onnx")
    if args.backend == "python":
        shutil.copy(pathlib.Path(__file__).with_name("model.py"), version / "model.py")
    (args.folder / args.name / "config.pbtxt").write_text(config(session, args.name, args.backend))


if __name__ == "__main__":
    main()
