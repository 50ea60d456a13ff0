"""One ONNX graph out of what was trained: inputs as the feature schema has them, calibrated outputs."""

import io
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8

# No probability is greater: UNKNOWN, whose threshold is 1, is never believed however sure the model is.
MOST = float(np.float32(0.99999))

INPUTS = {"bytes": (TensorProto.UINT8, [784]), "series": (TensorProto.FLOAT, [4, 24]), "meta": (TensorProto.FLOAT, [96])}
OUTPUTS = {"probs": TensorProto.FLOAT, "energy": TensorProto.FLOAT, "label": TensorProto.INT64}


def inputs() -> list[onnx.ValueInfoProto]:
    """Return the inputs that every graph has."""
    return [helper.make_tensor_value_info(n, t, ["N", *shape]) for n, (t, shape) in INPUTS.items()]


def of_network(network: torch.nn.Module) -> onnx.GraphProto:
    """Return a network's graph, with one output, scores."""
    network.eval()
    example = (torch.zeros(2, 784, dtype=torch.uint8), torch.zeros(2, 4, 24), torch.zeros(2, 96))
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants that it folds
        torch.onnx.export(network, example, out, input_names=list(INPUTS), output_names=["scores"], opset_version=OPSET,
                          dynamic_axes={n: {0: "N"} for n in [*INPUTS, "scores"]})
    return onnx.load_from_string(out.getvalue()).graph


def of_trees(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], classes: int) -> onnx.GraphProto:
    """Return the graph of nodes that make scores of the inputs."""
    return helper.make_graph(nodes, "trees", inputs(), [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", classes])], constants)


def prefixed(g: onnx.GraphProto, prefix: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return nodes and constants with names of their own, but for the inputs."""

    def name(n: str) -> str:
        return n if n in INPUTS or not n else prefix + n

    nodes, constants = [], []
    for i, node in enumerate(g.node):
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = f"{prefix}{i}"
        copied.ClearField("doc_string")
        copied.input[:] = [name(n) for n in node.input]
        copied.output[:] = [name(n) for n in node.output]
        nodes.append(copied)
    for constant in g.initializer:
        copied = onnx.TensorProto()
        copied.CopyFrom(constant)
        copied.name = name(constant.name)
        constants.append(copied)
    return nodes, constants


def build(parts: list[onnx.GraphProto], classes: int, temperature: float, properties: dict[str, str]) -> bytes:
    """Return the file: the mean of the parts' scores, divided by the temperature, as probabilities; the energy, which is low for
    what the model knows; and the position of the most probable label."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for i, part in enumerate(parts):
        more, values = prefixed(part, f"part{i}_")
        nodes += more
        constants += values

    def constant(name: str, value: float) -> str:
        constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def add(kind: str, of: list[str], name: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, of, [name], name=name + "_node", **attributes))
        return name

    total = "part0_scores"
    for i in range(1, len(parts)):
        total = add("Add", [total, f"part{i}_scores"], f"sum{i}")
    logits = add("Div", [total, constant("divisor", len(parts) * temperature)], "logits")
    add("Clip", [add("Softmax", [logits], "shares", axis=1), "", constant("most", MOST)], "probs")
    # The last class is UNKNOWN: what is near to it is no more known for that.
    indexes = [numpy_helper.from_array(np.array([v], np.int64), n) for n, v in (("first", 0), ("last", classes - 1), ("columns", 1))]
    constants += indexes
    answered = add("Slice", [logits, "first", "last", "columns"], "answered")
    free = add("ReduceLogSumExp", [answered], "free", axes=[1], keepdims=0)
    add("Mul", [free, constant("minus_temperature", -temperature)], "energy")
    add("ArgMax", [logits], "label", axis=1, keepdims=0)
    graph = helper.make_graph(nodes, "sonde", inputs(), [
        helper.make_tensor_value_info(n, t, ["N", classes] if n == "probs" else ["N"]) for n, t in OUTPUTS.items()], constants)
    opsets = [helper.make_opsetid("", OPSET)]
    if any(n.domain == "ai.onnx.ml" for n in nodes):
        opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
    model = helper.make_model(graph, producer_name="sonde", ir_version=IR_VERSION, opset_imports=opsets)
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def run(model: bytes, octets: np.ndarray, series: np.ndarray, meta: np.ndarray, rows: int = 256) -> dict[str, np.ndarray]:
    """Run the file as it is served: one thread, at most so many rows at a time."""
    session = open_session(model)
    parts = [session.run(list(OUTPUTS), {"bytes": octets[i:i + rows], "series": series[i:i + rows], "meta": meta[i:i + rows]}) for i in range(0, len(meta), rows)]
    return {n: np.concatenate([p[k] for p in parts]) for k, n in enumerate(OUTPUTS)}


def open_session(model: bytes) -> ort.InferenceSession:
    """Open a file with the settings of the service."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
