"""Makes the small models that the tests load: python make_models.py [FOLDER].

Needs onnx (PyPI, 1.16 or newer). Each is a classifier of three labels over the
four means of its inputs, small enough to be worked out by hand (modeltest.Fake
does), or something that the loader must refuse.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

WEIGHTS = np.array([[0.5, -0.25, 0.125], [1.0, 0.5, -1.0], [-0.5, 0.25, 0.75], [0.25, 1.0, -0.5]], np.float32)
BIAS = {1: np.array([0.1, 0.0, -0.1], np.float32), 2: np.array([-0.1, 0.3, 0.1], np.float32)}
LABELS = [{"name": "web", "category": "web"}, {"name": "mail", "category": "messages"}, {"name": "dns"}]
SCHEMA = hashlib.sha256(b"the schema of the tests").hexdigest()


def inputs():
    return [
        helper.make_tensor_value_info("bytes", T.UINT8, ["n", 784]),
        helper.make_tensor_value_info("series", T.FLOAT, ["n", 4, 24]),
        helper.make_tensor_value_info("meta", T.FLOAT, ["n", 96]),
    ]


def classifier(version=1, outputs=("probs", "energy", "label"), open_dims=False, nan=False):
    constant = lambda name, value: numpy_helper.from_array(np.asarray(value), name)
    node = helper.make_node
    nodes = [
        node("Cast", ["bytes"], ["bytes_f"], to=T.FLOAT),
        node("ReduceMean", ["bytes_f"], ["f0"], axes=[1], keepdims=1),
        node("Slice", ["series", "zero", "one", "axis"], ["sizes"]),
        node("Slice", ["series", "one", "two", "axis"], ["directions"]),
        node("ReduceMean", ["sizes"], ["f1_"], axes=[1, 2], keepdims=0),
        node("ReduceMean", ["directions"], ["f2_"], axes=[1, 2], keepdims=0),
        node("Unsqueeze", ["f1_", "axis"], ["f1"]),
        node("Unsqueeze", ["f2_", "axis"], ["f2"]),
        node("IsNaN", ["meta"], ["absent"]),
        node("Where", ["absent", "zero_f", "meta"], ["meta_f"]),
        node("ReduceMean", ["meta_f"], ["f3"], axes=[1], keepdims=1),
        node("Concat", ["f0", "f1", "f2", "f3"], ["features"], axis=1),
        node("MatMul", ["features", "weights"], ["product"]),
        node("Add", ["product", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["probs"], axis=1),
        node("ReduceLogSumExp", ["logits"], ["lse"], axes=[1], keepdims=0),
        node("Neg", ["lse"], ["energy"]),
        node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    bias = BIAS[version] if not nan else np.full(3, np.nan, np.float32)
    weights = [
        constant("zero", np.array([0], np.int64)), constant("one", np.array([1], np.int64)),
        constant("two", np.array([2], np.int64)), constant("axis", np.array([1], np.int64)),
        constant("zero_f", np.float32(0)), constant("weights", WEIGHTS), constant("bias", bias),
    ]
    forms = {
        "probs": helper.make_tensor_value_info("probs", T.FLOAT, ["n", "c" if open_dims else 3]),
        "energy": helper.make_tensor_value_info("energy", T.FLOAT, ["n"]),
        "label": helper.make_tensor_value_info("label", T.INT64, ["n"]),
    }
    graph = helper.make_graph(nodes, "tiny", inputs(), [forms[o] for o in outputs], weights)
    return finish(graph)


def finish(graph, imports=(("", 13),), schema=SCHEMA, labels=LABELS, ours=True):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, v) for d, v in imports], producer_name="sonde")
    model.ir_version = 8
    if ours:
        helper.set_model_props(model, {
            "sonde.schema_sha256": schema,
            "sonde.labels": json.dumps(labels),
            "sonde.calibration": json.dumps({"T": 1.0, "tau": 0.4}),
            "sonde.metrics": json.dumps({"macro_f1": 0.5}),
            "sonde.created": "2026-11-24T00:00:00Z",
        })
    return model


def props(model, **changes):
    for p in model.metadata_props:
        p.value = changes.get(p.key.replace("sonde.", ""), p.value)
    return model


KINDS = {
    "BOOL": T.BOOL, "UINT8": T.UINT8, "UINT16": T.UINT16, "UINT32": T.UINT32, "UINT64": T.UINT64, "INT8": T.INT8,
    "INT16": T.INT16, "INT32": T.INT32, "INT64": T.INT64, "FP32": T.FLOAT, "FP64": T.DOUBLE,
}
HALVES = {"FP16": T.FLOAT16, "BF16": T.BFLOAT16}


def types(kinds, columns):
    """Gives every input back, one of each type."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["in_" + k], ["out_" + k]) for k in kinds], "types",
        [info("in_" + k, t, ["n", 2]) for k, t in kinds.items()],
        [info("out_" + k, t, ["n", columns]) for k, t in kinds.items()],
    )
    return finish(graph, ours=False)


def simple(nodes, outputs, rows="n", kind=T.FLOAT, imports=(("", 13),), initializers=()):
    graph = helper.make_graph(
        nodes, "simple", [helper.make_tensor_value_info("x", kind, [rows, 3])], outputs, list(initializers))
    return finish(graph, imports=imports, ours=False)


def external():
    weight = T(name="w", data_type=T.FLOAT, dims=[3], data_location=T.EXTERNAL)
    weight.external_data.add(key="location", value="../../../../etc/hostname")
    y = helper.make_tensor_value_info("y", T.FLOAT, ["n", 3])
    return simple([helper.make_node("Add", ["x", "w"], ["y"])], [y], initializers=[weight])


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "testdata")
    y = lambda kind=T.FLOAT, rows="n": helper.make_tensor_value_info("y", kind, [rows, 3])
    identity = [helper.make_node("Identity", ["x"], ["y"])]
    models = {
        "good/1": classifier(1),
        "good/2": classifier(2, open_dims=True),
        "types/1": types(KINDS, None),
        "halves/1": types(HALVES, 2),
        "halves-open/1": types(HALVES, None),
        "wrong-schema/1": props(classifier(), schema_sha256="ab" * 32),
        "missing-output/1": classifier(outputs=("probs", "label")),
        "wrong-labels/1": props(classifier(), labels=json.dumps(LABELS[:2])),
        "wrong-labels-open/1": props(classifier(open_dims=True), labels=json.dumps(LABELS[:2])),
        "no-labels/1": props(classifier(), labels=""),
        "nonsense/1": classifier(nan=True),
        "external-data/1": external(),
        "custom-operator/1": simple(
            [helper.make_node("Identity", ["x"], ["y"], domain="evil")], [y()], imports=(("", 13), ("evil", 1))),
        "fixed-rows/1": simple(identity, [y(rows=1)], rows=1),
        "strings/1": simple(identity, [y(T.STRING)], kind=T.STRING),
        "sequence/1": simple([helper.make_node("SequenceConstruct", ["x"], ["y"])], [
            helper.make_tensor_sequence_value_info("y", T.FLOAT, None)]),
        "lost-rows/1": simple([helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)], [y()]),
    }
    for name, model in models.items():
        path = folder / name / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString(deterministic=True))
        print(path, path.stat().st_size)
    path = folder / "not-onnx/1/model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("this is no model\n")


if __name__ == "__main__":
    main()
