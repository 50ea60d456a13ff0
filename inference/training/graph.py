"""One ONNX graph out of a network: inputs as the feature schema has them, calibrated outputs."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from network import CLIENT, CLIP, PREFIX, SERVER, Network

OPSET = 17


def build(network: Network, temperature: float, properties: dict[str, str]) -> onnx.ModelProto:
    """Return the graph with bytes, series and meta in, probs, energy and label out."""
    layout, p = network.layout, network.parameters
    constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, value, dtype) -> str:
        constants.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def add(kind: str, of: list[str], name: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, of, [name], **attributes))
        return name

    def part(of: str, name: str, begin: int, end: int) -> str:
        return add("Slice", [of, constant(name + "_from", [begin], np.int64), constant(name + "_to", [end], np.int64), axis], name)

    axis = constant("axis", [1], np.int64)

    def row(name: str, index: int) -> str:
        picked = add("Gather", ["series", constant(name + "_index", index, np.int64)], name, axis=1)
        return picked

    # The numbers: signed sizes and gaps of the series behind meta, on a logarithmic scale, standardised.
    sizes = add("Mul", [row("size", 0), row("direction", 1)], "signed_sizes")
    gaps = add("Mul", [row("gap", 2), row("mask", 3)], "masked_gaps")
    numbers = add("Concat", ["meta", sizes, gaps], "numbers", axis=1)
    absent = add("IsNaN", [numbers], "absent")
    present = add("Where", [absent, constant("zero", 0, np.float32), numbers], "present")
    logs = add("Log", [add("Add", [add("Abs", [present], "sizes_of"), constant("one", 1, np.float32)], "plus_one")], "logs")
    signed = add("Mul", [add("Sign", [present], "signs"), logs], "signed_logs")
    scaled = add("Div", [add("Sub", [signed, constant("mean", network.mean, np.float32)], "centred"), constant("deviation", network.deviation, np.float32)], "scaled")
    clipped = add("Clip", [scaled, constant("least", -CLIP, np.float32), constant("most", CLIP, np.float32)], "clipped")
    known = add("Where", [absent, "zero", clipped], "known")
    marks = add("Cast", [absent], "marks", to=TensorProto.FLOAT)
    dense = add("MatMul", [add("Concat", [known, marks], "dense_in", axis=1), constant("dense", p["dense"], np.float32)], "dense_out")

    # The table: half bytes by position, and tokens.
    both = add("Concat", [part("bytes", "client", CLIENT, CLIENT + PREFIX), part("bytes", "server", SERVER, SERVER + PREFIX)], "prefixes", axis=1)
    values = add("Cast", [both], "values", to=TensorProto.INT64)
    sixteen = constant("sixteen", 16, np.int64)
    high = add("Add", [add("Div", [values, sixteen], "high"), constant("high_at", np.arange(2 * PREFIX) * 32, np.int64)], "high_rows")
    low = add("Add", [add("Mod", [values, sixteen], "low"), constant("low_at", np.arange(2 * PREFIX) * 32 + 16, np.int64)], "low_rows")
    picked = add("Gather", ["meta", constant("token_columns", [layout.client_token, layout.server_token], np.int64)], "token_numbers", axis=1)
    # A row that no Go code made may hold anything there; the graph must not look outside of its table.
    bounded = add("Clip", [add("Where", [add("IsNaN", [picked], "no_token"), "zero", picked], "some_token"), "zero",
                           constant("last_token", layout.tokens - 1, np.float32)], "bounded_token")
    tokens = add("Cast", [bounded], "tokens", to=TensorProto.INT64)
    own = add("Add", [tokens, constant("own_at", [layout.halves, layout.halves + layout.tokens], np.int64)], "own_rows")
    either = add("Add", [tokens, constant("either_at", layout.halves + 2 * layout.tokens, np.int64)], "either_rows")
    taken = add("Concat", [high, low, own, either], "taken", axis=1)
    vectors = add("Gather", [constant("table", p["table"], np.float32), taken], "vectors", axis=0)
    table = add("ReduceSum", [vectors, axis], "table_out", keepdims=0)

    total = add("Add", [add("Add", [dense, table], "sum"), constant("bias", p["bias"], np.float32)], "before")
    hidden = add("Relu", [total], "hidden")
    divisor = np.float32(temperature)
    scores = add("MatMul", [hidden, constant("out", p["out"] / divisor, np.float32)], "products")
    logits = add("Add", [scores, constant("out_bias", p["out_bias"] / divisor, np.float32)], "logits")
    add("Softmax", [logits], "probs", axis=1)
    free = add("ReduceLogSumExp", [logits], "free", axes=[1], keepdims=0)
    add("Mul", [free, constant("minus_temperature", -temperature, np.float32)], "energy")
    add("ArgMax", [logits], "label", axis=1, keepdims=0)

    graph = helper.make_graph(
        nodes, "sonde",
        [
            helper.make_tensor_value_info("bytes", TensorProto.UINT8, ["N", 784]),
            helper.make_tensor_value_info("series", TensorProto.FLOAT, ["N", 4, 24]),
            helper.make_tensor_value_info("meta", TensorProto.FLOAT, ["N", 96]),
        ],
        [
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", network.classes]),
            helper.make_tensor_value_info("energy", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        ],
        constants,
    )
    model = helper.make_model(graph, producer_name="sonde", ir_version=8, opset_imports=[helper.make_opsetid("", OPSET)])
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    return model
