"""The model of an ONNX file in PyTorch.

A file's graph is turned into PyTorch calls once, one closure a node with its constants bound, so that a run costs what the
same lines written by hand cost. Only the operators below are known; another one ends the start with its name. That the
answers are those of ONNX Runtime the loader checks.
"""

import functools
from collections.abc import Callable

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from trees import Trees

DTYPES = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.DOUBLE: torch.float64, onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.INT64: torch.int64, onnx.TensorProto.BOOL: torch.bool,
}


def divide(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def clip(x: torch.Tensor, low: torch.Tensor | None = None, high: torch.Tensor | None = None) -> torch.Tensor:
    return torch.clamp(x, None if low is None else low.item(), None if high is None else high.item())


def reduced(how: Callable) -> Callable:
    """Reductions take their axes as an attribute, or since opset 13 and 18 as an input."""
    def run(x: torch.Tensor, axes: torch.Tensor | list[int] | None = None, keepdims: int = 1, **_) -> torch.Tensor:
        dims = list(range(x.dim())) if axes is None else [int(axis) for axis in axes]
        return how(x, dim=dims, keepdim=bool(keepdims))
    return run


def take(x: torch.Tensor, indices: torch.Tensor, axis: int = 0) -> torch.Tensor:
    if indices.dim() == 0:
        return x.select(axis, indices.item())
    if axis == 0 and x.dim() == 2:
        return torch.nn.functional.embedding(indices, x)
    picked = x.index_select(axis, indices.reshape(-1))
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1:])


def part(x: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, axes: torch.Tensor | None = None, steps: torch.Tensor | None = None) -> torch.Tensor:
    at = [slice(None)] * x.dim()
    count = len(starts)
    for axis, start, end, step in zip(axes.tolist() if axes is not None else range(count), starts.tolist(), ends.tolist(),
                                      steps.tolist() if steps is not None else [1] * count):
        at[axis] = slice(start, end, step)
    return x[tuple(at)]


def shaped(x: torch.Tensor, shape: torch.Tensor, **_) -> torch.Tensor:
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def dense(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None, alpha: float = 1, beta: float = 1, transA: int = 0, transB: int = 0) -> torch.Tensor:
    a, b = (a.t() if transA else a), (b.t() if transB else b)
    return torch.addmm(c, a, b, beta=beta, alpha=alpha) if c is not None else alpha * (a @ b)


def normalised(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None, axis: int = -1, epsilon: float = 1e-5, **_) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


def convolved(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, strides=None, pads=None, dilations=None, group: int = 1, **_) -> torch.Tensor:
    spatial = w.dim() - 2
    call = torch.nn.functional.conv1d if spatial == 1 else torch.nn.functional.conv2d
    pads = pads or [0] * 2 * spatial
    if pads[:spatial] != pads[spatial:]:
        raise ValueError("Conv: uneven pads")
    return call(x, w, b, strides or [1] * spatial, pads[:spatial], dilations or [1] * spatial, group)


OPERATORS: dict[str, Callable] = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "Div": divide, "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp,
    "Greater": torch.gt, "Less": torch.lt, "Log": torch.log, "MatMul": torch.matmul, "Mod": lambda a, b, **_: torch.remainder(a, b), "Mul": torch.mul,
    "Neg": torch.neg, "Not": torch.logical_not, "Or": torch.logical_or, "Pow": torch.pow, "Relu": torch.relu, "Sigmoid": torch.sigmoid,
    "Sign": torch.sign, "Sqrt": torch.sqrt, "Sub": torch.sub, "Tanh": torch.tanh, "Where": torch.where, "Xor": torch.logical_xor, "IsNaN": lambda x: x != x,
    "Identity": lambda x: x, "Clip": clip, "Gather": take, "Slice": part, "Reshape": shaped, "Gemm": dense, "Conv": convolved,
    "LayerNormalization": normalised,
    "Cast": lambda x, to: x.to(DTYPES[to]),
    "Concat": lambda *xs, axis: torch.cat(xs, axis),
    "Flatten": lambda x, axis=1: x.reshape(x.shape[:axis].numel(), -1),
    "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": lambda x, axes: x[(slice(None),) * axes.item() + (None,)],
    "Squeeze": lambda x, axes: x.squeeze(axes.item()),
    "Max": lambda *xs: functools.reduce(torch.maximum, xs), "Min": lambda *xs: functools.reduce(torch.minimum, xs),
    "Shape": lambda x, **_: torch.tensor(x.shape),
    "ConstantOfShape": lambda shape, value=None: torch.full(shape.tolist(), 0.0) if value is None
    else torch.from_numpy(np.array(numpy_helper.to_array(value))).repeat(shape.tolist()),
    "Expand": lambda x, shape: x * torch.ones(shape.tolist(), dtype=x.dtype),
    "Softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "LogSoftmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "ArgMax": lambda x, axis=0, keepdims=1, **_: torch.argmax(x, axis, bool(keepdims)),
    "ReduceSum": reduced(torch.sum), "ReduceMean": reduced(torch.mean), "ReduceMax": reduced(torch.amax),
    "ReduceLogSumExp": reduced(torch.logsumexp),
}


class Graph:
    """One file's model. Several threads may run it."""

    def __init__(self, path: str):
        graph = onnx.load(path).graph
        constants = {t.name: torch.from_numpy(np.array(numpy_helper.to_array(t))) for t in graph.initializer}
        self.inputs = [i.name for i in graph.input if i.name not in constants]
        slots = {name: n for n, name in enumerate(self.inputs)}
        self.steps: list[tuple[Callable, list[int | None], list, dict, list[int]]] = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                constants[node.output[0]] = torch.from_numpy(np.array(numpy_helper.to_array(attributes["value"])))
                continue
            call = OPERATORS.get(node.op_type)
            if node.op_type == "TreeEnsembleClassifier":
                call, attributes = Trees(**attributes), {}
            if call is None:
                raise SystemExit(f"operator {node.domain or 'ai.onnx'}.{node.op_type} has no form in PyTorch here: graph.py")
            bound = [constants.get(name) for name in node.input]
            places = [slots.get(name) for name in node.input]
            for name in node.output:
                slots[name] = len(slots)
            self.steps.append((call, places, bound, attributes, [slots[name] for name in node.output]))
        self.size = len(slots)
        self.outputs = {o.name: slots[o.name] for o in graph.output}

    @torch.inference_mode()
    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs of a batch."""
        values: list[torch.Tensor | None] = [torch.from_numpy(inputs[name]) for name in self.inputs]
        values += [None] * (self.size - len(values))
        for call, places, bound, attributes, out in self.steps:
            result = call(*[constant if at is None else values[at] for at, constant in zip(places, bound)], **attributes)
            if len(out) == 1:
                values[out[0]] = result
            else:
                for at, value in zip(out, result):
                    values[at] = value
        return {name: values[at].numpy() for name, at in self.outputs.items()}
