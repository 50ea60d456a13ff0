"""Gradient-boosted trees on the numbers and first bytes of a row, and the same trees as an ONNX graph."""

import json
from dataclasses import dataclass

import numpy as np
import onnx
import xgboost
from onnx import TensorProto, helper, numpy_helper

import graph
from network import CLIENT, SERVER


@dataclass(frozen=True)
class Settings:
    """What can be tried."""

    rounds: int = 10  # one tree a class in each
    depth: int = 6
    rate: float = 0.4
    rows: float = 0.8
    columns: float = 0.4
    bins: int = 64
    prefix: int = 16  # bytes of each direction


def columns(octets: np.ndarray, series: np.ndarray, meta: np.ndarray, prefix: int) -> np.ndarray:
    """Return what the trees look at; NaN is absent."""
    return np.hstack([meta, series[:, 0] * series[:, 1], series[:, 2] * series[:, 3],
                      octets[:, CLIENT:CLIENT + prefix], octets[:, SERVER:SERVER + prefix]]).astype(np.float32)


class Trees:
    """Trees: fit them, ask them for scores."""

    def __init__(self, classes: int, settings: Settings = Settings(), seed: int = 1):
        self.classes, self.settings, self.seed = classes, settings, seed

    def fit(self, octets: np.ndarray, series: np.ndarray, meta: np.ndarray, label: np.ndarray, weight: np.ndarray) -> "Trees":
        """Train on weighted cross entropy."""
        s = self.settings
        data = xgboost.DMatrix(columns(octets, series, meta, s.prefix), label, weight=weight)
        self.booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": self.classes, "max_depth": s.depth, "eta": s.rate, "subsample": s.rows, "colsample_bytree": s.columns,
             "max_bin": s.bins, "tree_method": "hist", "nthread": 1, "seed": self.seed, "base_score": 0.5}, data, s.rounds)
        return self

    def margins(self, octets: np.ndarray, series: np.ndarray, meta: np.ndarray) -> np.ndarray:
        """Return the scores before calibration."""
        return self.booster.predict(xgboost.DMatrix(columns(octets, series, meta, self.settings.prefix)), output_margin=True)

    def graph(self) -> onnx.GraphProto:
        """Return the graph, with one output, scores."""
        constants: list[onnx.TensorProto] = []
        nodes: list[onnx.NodeProto] = []

        def constant(name: str, value) -> str:
            constants.append(numpy_helper.from_array(np.array(value, np.int64), name))
            return name

        def add(kind: str, of: list[str], name: str, **attributes) -> str:
            nodes.append(helper.make_node(kind, of, [name], **attributes))
            return name

        def row(index: int) -> str:
            return add("Gather", ["series", constant(f"row{index}", index)], f"series{index}", axis=1)

        def part(begin: int) -> str:
            picked = add("Slice", ["bytes", constant(f"from{begin}", [begin]), constant(f"to{begin}", [begin + self.settings.prefix]), axis], f"part{begin}")
            return add("Cast", [picked], f"octets{begin}", to=TensorProto.FLOAT)

        axis = constant("axis", [1])
        sizes, gaps = add("Mul", [row(0), row(1)], "sizes"), add("Mul", [row(2), row(3)], "gaps")
        x = add("Concat", ["meta", sizes, gaps, part(CLIENT), part(SERVER)], "columns", axis=1)
        nodes.append(helper.make_node("TreeEnsembleClassifier", [x], ["best", "scores"], domain="ai.onnx.ml", **self.ensemble()))
        return graph.of_trees(nodes, constants, self.classes)

    def ensemble(self) -> dict:
        """Return the trees as the operator has them. XGBoost's thresholds are float32 as the operator's are: x < t goes left, and a
        missing value goes where training found it better."""
        model = json.loads(self.booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
        n: dict[str, list] = {k: [] for k in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
        leaves: dict[str, list] = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
        for tree, (t, k) in enumerate(zip(model["trees"], model["tree_info"])):
            for node, left in enumerate(t["left_children"]):
                leaf = left == -1
                n["treeids"].append(tree)
                n["nodeids"].append(node)
                n["featureids"].append(0 if leaf else t["split_indices"][node])
                n["values"].append(0.0 if leaf else t["split_conditions"][node])
                n["modes"].append("LEAF" if leaf else "BRANCH_LT")
                n["truenodeids"].append(0 if leaf else left)
                n["falsenodeids"].append(0 if leaf else t["right_children"][node])
                n["missing_value_tracks_true"].append(0 if leaf else int(t["default_left"][node]))
                if leaf:
                    leaves["treeids"].append(tree)
                    leaves["nodeids"].append(node)
                    leaves["ids"].append(k)
                    leaves["weights"].append(t["split_conditions"][node])
        return {**{f"nodes_{k}": v for k, v in n.items()}, **{f"class_{k}": v for k, v in leaves.items()},
                "classlabels_int64s": list(range(self.classes)), "base_values": [0.5] * self.classes, "post_transform": "NONE"}
