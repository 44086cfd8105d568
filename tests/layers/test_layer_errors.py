"""Wrong inputs and wrong hyper-parameters: one line that says what was expected and what came."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kernels
from kernels import Ops, activation
from minigan.layer import Layer
from minigan.layers import (
    ELU,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    LeakyReLU,
    MaxPool2d,
    Reshape,
    Residual,
    Upsample2d,
)

SHAPES: list[tuple[Layer, Any, list[str]]] = [
    (Dense(4, 2), (5,), ["Dense", "(5,)", "5 features", "expected 4"]),
    (Dense(4, 2), (), ["Dense", "(..., 4)", "()"]),
    (Dense(4, 2), ((4,), (4,)), ["Dense", "one input (..., 4)", "((4,), (4,))"]),
    (Conv2d(3, 2, 3), (8, 8, 1), ["Conv2d", "(8, 8, 1)", "1 channels", "expected 3"]),
    (Conv2d(3, 2, 3), (3,), ["Conv2d", "(H, W, 3)", "(3,)"]),
    (Conv2d(3, 2, 5, padding="valid"), (4, 9, 3), ["kernel of 5x5", "4x9"]),
    (ConvTranspose2d(3, 2, 4, 2), (8, 8, 1), ["ConvTranspose2d", "(8, 8, 1)", "1 channels", "expected 3"]),
    (ConvTranspose2d(3, 2, 4, 2), (3,), ["ConvTranspose2d", "(H, W, 3)", "(3,)"]),
    (BatchNorm(4), (7, 7, 3), ["BatchNorm", "(7, 7, 3)", "3 features", "expected 4"]),
    (LayerNorm(4), (3,), ["LayerNorm", "(3,)", "3 features", "expected 4"]),
    (Reshape(2, 3), (7,), ["Reshape", "(7,)", "(2, 3)"]),
    (Reshape(2, 3), ((6,), (6,)), ["Reshape", "((6,), (6,))", "(2, 3)"]),
    (Flatten(), ((6,), (6,)), ["Flatten", "one input", "((6,), (6,))"]),
    (Upsample2d(), (6,), ["Upsample2d", "(H, W, C)", "(6,)"]),
    (AvgPool2d(), (6,), ["AvgPool2d", "(H, W, C)", "(6,)"]),
    (AvgPool2d(3), (2, 5, 1), ["3x3", "2x5"]),
    (MaxPool2d(), (6, 2), ["MaxPool2d", "(H, W, C)", "(6, 2)"]),
    (MaxPool2d((1, 6)), (2, 5, 1), ["1x6", "2x5"]),
    (Embedding(10, 4), (1,), ["Embedding", "()", "(1,)"]),
]

HYPER_PARAMETERS: list[tuple[Callable[[], Layer], list[str]]] = [
    (lambda: Dense(0, 2), ["Dense", "in", "at least 1", "0"]),
    (lambda: Dense(3, 2.0), ["Dense", "out", "at least 1", "2.0"]),  # type: ignore[arg-type]
    (lambda: Dense(3, 2, "swish"), ["unknown activation 'swish'", "tanh"]),
    (lambda: Dense(3, 2, "silu"), ["Dense", "silu cannot be fused", "as a layer"]),
    (lambda: Conv2d(3, 2, 3, activation=activation("silu")), ["Conv2d", "silu cannot be fused"]),
    (lambda: LayerNorm(3, activation="silu"), ["LayerNorm", "silu cannot be fused"]),
    (lambda: Conv2d(3, 2, 0), ["Conv2d", "kernel_size", "at least 1", "0"]),
    (lambda: Conv2d(3, 2, 3, stride=(1, 0)), ["Conv2d", "stride", "(1, 0)"]),
    (lambda: Conv2d(3, 2, 3, padding="full"), ["padding", '"same"', "'full'"]),
    (lambda: Conv2d(3, 2, 3, padding=(1, 1)), ["(top, bottom, left, right)", "(1, 1)"]),
    (lambda: ConvTranspose2d(3, 2, 3, padding=-1), ["padding", "-1"]),
    (lambda: ConvTranspose2d(3, 2, 3, output_size=(0, 4)), ["ConvTranspose2d", "output_size", "(0, 4)"]),
    (lambda: BatchNorm(0), ["BatchNorm", "features", "at least 1", "0"]),
    (lambda: Dropout(1.0), ["Dropout", "[0, 1)", "1.0"]),
    (lambda: Dropout(-0.1), ["Dropout", "[0, 1)", "-0.1"]),
    (lambda: LeakyReLU(1.0), ["leaky_relu", "[0, 1)", "1.0"]),
    (lambda: ELU(0.0), ["elu", "above 0", "0.0"]),
    (lambda: Reshape(), ["Reshape", "at least 1", "()"]),
    (lambda: Reshape(-1, 3), ["Reshape", "at least 1", "(-1, 3)"]),
    (lambda: Upsample2d(0), ["Upsample2d", "factor", "0"]),
    (lambda: AvgPool2d((2, 0)), ["AvgPool2d", "kernel_size", "(2, 0)"]),
    (lambda: MaxPool2d(2, 0), ["MaxPool2d", "stride", "0"]),
    (lambda: Embedding(0, 4), ["Embedding", "labels", "0"]),
    (lambda: Embedding(10, 0), ["Embedding", "features", "0"]),
]


def one_line(message: str, parts: list[str]) -> None:
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(("layer", "shape", "parts"), SHAPES, ids=lambda v: str(v) if isinstance(v, tuple) else None)
def test_wrong_input_shape(layer: Layer, shape: Any, parts: list[str]):
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        layer.spec(shape)
    one_line(str(caught.value), parts)


@pytest.mark.parametrize(
    ("build", "parts"), HYPER_PARAMETERS, ids=lambda v: " ".join(v) if isinstance(v, list) else None
)
def test_wrong_hyper_parameter(build: Callable[[], Layer], parts: list[str]):
    """At construction, not in the first step."""
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        build()
    one_line(str(caught.value), parts)


def test_a_wrong_array_names_both_shapes(ops: Ops):
    """The sentence of the design, for those who call forward without spec."""
    layer = Dense(100, 128)
    p = layer.init(0, (100,), np.float64)
    expected = r"Dense: x has 784 features, W expects 100 \(x \(64, 784\), W \(100, 128\)\)"
    with pytest.raises(ValueError, match=expected):
        layer.forward(ops, p, np.zeros((64, 784)))


def test_labels_out_of_range(ops: Ops):
    layer = Embedding(10, 4)
    with pytest.raises(ValueError, match=r"labels run from 3 to 10, expected \[0, 10\)"):
        layer.forward(ops, layer.init(0, (), np.float64), np.array([3, 10]))


def test_mixing_dtypes_raises(ops: Ops):
    layer = Dense(3, 2)
    with pytest.raises(TypeError, match=r"matmul: b is float32 \(3, 2\), this backend computes in float64"):
        layer.forward(ops, layer.init(0, (3,), np.float32), np.zeros((2, 3)))


def test_residual_takes_one_input():
    with pytest.raises(ValueError, match=r"^Residual: expected one input, got \(\(2,\), \(2,\)\)$"):
        Residual(Concat(), Concat()).spec(((2,), (2,)))


def test_concat_refuses_labels():
    with pytest.raises(ValueError, match=r"^Concat: expected two or more inputs"):
        Concat().spec(((), ()))


def test_reshape_never_takes_from_the_next_sample():
    ops = kernels.get_ops(dtype="float64")
    with pytest.raises(ValueError, match="reshape"):
        Reshape(3).forward(ops, Reshape(3).init(0, (3,)), np.zeros((2, 6)))
