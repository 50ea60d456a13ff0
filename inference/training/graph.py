"""One ONNX graph out of an XGBoost model: inputs as the feature schema has them, calibrated outputs."""

import json

import numpy as np
import onnx
import xgboost as xgb
from onnx import TensorProto, helper, numpy_helper

# Of each direction's part of `bytes` the trees see this many.
PREFIX = 40
CLIENT, SERVER = 0, 512

OPSET, ML_OPSET = 17, 3


def columns(bytes_: np.ndarray, series: np.ndarray, meta: np.ndarray) -> np.ndarray:
    """Return the trees' input, as the graph makes it."""
    return np.hstack([
        bytes_[:, CLIENT:CLIENT + PREFIX].astype(np.float32), bytes_[:, SERVER:SERVER + PREFIX].astype(np.float32),
        series.reshape(len(series), -1), meta,
    ])


def tree_attributes(booster: xgb.Booster, classes: int) -> dict:
    """Return the attributes of TreeEnsembleRegressor. XGBoost's thresholds are float32 and compare by <, as BRANCH_LT does."""
    model = json.loads(booster.save_raw("json"))["learner"]
    trees = model["gradient_booster"]["model"]["trees"]
    base = json.loads(model["learner_model_param"]["base_score"])
    base = np.atleast_1d(np.array(base, dtype=np.float32))
    a: dict[str, list] = {k: [] for k in (
        "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
        "nodes_falsenodeids", "nodes_missing_value_tracks_true", "target_treeids", "target_nodeids", "target_ids", "target_weights")}
    for number, tree in enumerate(trees):
        for node, left in enumerate(tree["left_children"]):
            leaf = left == -1
            a["nodes_treeids"].append(number)
            a["nodes_nodeids"].append(node)
            a["nodes_modes"].append("LEAF" if leaf else "BRANCH_LT")
            a["nodes_featureids"].append(0 if leaf else tree["split_indices"][node])
            a["nodes_values"].append(0.0 if leaf else tree["split_conditions"][node])
            a["nodes_truenodeids"].append(0 if leaf else left)
            a["nodes_falsenodeids"].append(0 if leaf else tree["right_children"][node])
            a["nodes_missing_value_tracks_true"].append(0 if leaf else int(tree["default_left"][node]))
            if leaf:
                a["target_treeids"].append(number)
                a["target_nodeids"].append(node)
                a["target_ids"].append(number % classes)
                a["target_weights"].append(tree["split_conditions"][node])
    a["base_values"] = np.broadcast_to(base, classes).tolist()
    return dict(a, n_targets=classes, aggregate_function="SUM", post_transform="NONE")


def build(booster: xgb.Booster, classes: int, temperature: float, properties: dict[str, str]) -> onnx.ModelProto:
    """Return the graph with bytes, series and meta in, probs, energy and label out."""

    def constant(name, value, dtype):
        return numpy_helper.from_array(np.array(value, dtype=dtype), name)

    nodes = [
        helper.make_node("Slice", ["bytes", "client", "client_end", "axis"], ["client_bytes"]),
        helper.make_node("Slice", ["bytes", "server", "server_end", "axis"], ["server_bytes"]),
        helper.make_node("Cast", ["client_bytes"], ["client_floats"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["server_bytes"], ["server_floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["series", "flat"], ["series_floats"]),
        helper.make_node("Concat", ["client_floats", "server_floats", "series_floats", "meta"], ["columns"], axis=1),
        helper.make_node("TreeEnsembleRegressor", ["columns"], ["scores"], domain="ai.onnx.ml", **tree_attributes(booster, classes)),
        helper.make_node("Div", ["scores", "temperature"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
        helper.make_node("ReduceLogSumExp", ["logits"], ["free"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["free", "minus_temperature"], ["energy"]),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    constants = [
        constant("client", [CLIENT], np.int64), constant("client_end", [CLIENT + PREFIX], np.int64),
        constant("server", [SERVER], np.int64), constant("server_end", [SERVER + PREFIX], np.int64),
        constant("axis", [1], np.int64), constant("flat", [0, 96], np.int64),
        constant("temperature", temperature, np.float32), constant("minus_temperature", -temperature, np.float32),
    ]
    graph = helper.make_graph(
        nodes, "sonde",
        [
            helper.make_tensor_value_info("bytes", TensorProto.UINT8, ["N", 784]),
            helper.make_tensor_value_info("series", TensorProto.FLOAT, ["N", 4, 24]),
            helper.make_tensor_value_info("meta", TensorProto.FLOAT, ["N", 96]),
        ],
        [
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", classes]),
            helper.make_tensor_value_info("energy", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        ],
        constants,
    )
    model = helper.make_model(
        graph, producer_name="sonde", ir_version=8,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)])
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return model
