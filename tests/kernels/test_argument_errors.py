"""A mistake in a call gets one sentence that names the operation and the shapes at odds."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kernels
from kernels import Ops, Use, activation

ONES, NO_PADS = (1, 1), (0, 0, 0, 0)


class Case:
    """A call that must fail, and what its message must contain."""

    def __init__(self, call: Callable[[Ops, Any], Any], *parts: str, error: type[Exception] = ValueError) -> None:
        self.call, self.parts, self.error = call, parts, error


CASES = {
    "matmul inner axes": Case(lambda ops, a: ops.matmul(a(2, 3), a(4, 5)), "matmul", "(2, 3)", "(4, 5)", "3", "4"),
    "matmul transposed": Case(
        lambda ops, a: ops.matmul(a(2, 3), a(3, 5), trans_a=True), "(2, 3) transposed", "(3, 5)", "2 columns", "3 rows"
    ),
    "matmul of an image": Case(lambda ops, a: ops.matmul(a(2, 3, 4), a(4, 5)), "two matrices", "(2, 3, 4)", "(4, 5)"),
    "matmul bias": Case(lambda ops, a: ops.matmul(a(2, 3), a(3, 5), bias=a(3)), "bias is (3,)", "expected (5,)"),
    "matmul out": Case(lambda ops, a: ops.matmul(a(2, 3), a(3, 5), out=a(5, 2)), "result is (2, 5)", "out is (5, 2)"),
    "matmul accumulate": Case(lambda ops, a: ops.matmul(a(2, 3), a(3, 5), accumulate=True), "accumulate", "out="),
    "matmul accumulate with bias": Case(
        lambda ops, a: ops.matmul(a(2, 3), a(3, 5), out=a(2, 5), bias=a(5), accumulate=True), "accumulate", "no bias"
    ),
    "matmul accumulate with activation": Case(
        lambda ops, a: ops.matmul(a(2, 3), a(3, 5), out=a(2, 5), activation=activation("relu"), accumulate=True),
        "accumulate", "no activation",
    ),
    "matmul fused SiLU": Case(
        lambda ops, a: ops.matmul(a(2, 3), a(3, 5), activation=activation("silu")), "matmul", "silu", "as a layer"
    ),
    "conv2d channels": Case(
        lambda ops, a: ops.conv2d(a(1, 5, 5, 3), a(2, 2, 4, 1), ONES, NO_PADS),
        "conv2d", "3 channels", "expects 4", "(1, 5, 5, 3)", "(2, 2, 4, 1)",
    ),
    "conv2d ranks": Case(
        lambda ops, a: ops.conv2d(a(5, 5, 3), a(2, 2, 3, 1), ONES, NO_PADS),
        "(N, H, W, C)", "(5, 5, 3)",
    ),
    "conv2d kernel too large": Case(
        lambda ops, a: ops.conv2d(a(1, 2, 5, 3), a(4, 2, 3, 1), ONES, (1, 0, 0, 0)),
        "conv2d", "4x2", "2x5", "(1, 0, 0, 0)",
    ),
    "conv2d bias": Case(
        lambda ops, a: ops.conv2d(a(1, 5, 5, 3), a(2, 2, 3, 4), ONES, NO_PADS, bias=a(3)), "bias is (3,)", "(4,)"
    ),
    "conv2d_input_grad channels": Case(
        lambda ops, a: ops.conv2d_input_grad(a(1, 4, 4, 3), a(2, 2, 3, 4), ONES, NO_PADS, (5, 5)),
        "conv2d_input_grad", "3 channels", "expects 4",
    ),
    "conv2d_input_grad windows": Case(
        lambda ops, a: ops.conv2d_input_grad(a(1, 4, 4, 1), a(2, 2, 3, 1), (2, 1), NO_PADS, (5, 5)),
        "4x4", "5x5", "stride (2, 1)", "gives 2x4",
    ),
    "conv2d_input_grad bias": Case(
        lambda ops, a: ops.conv2d_input_grad(a(1, 4, 4, 1), a(2, 2, 3, 1), ONES, NO_PADS, (5, 5), bias=a(1)),
        "bias is (1,)", "(3,)",
    ),
    "conv2d_weight_grad batch": Case(
        lambda ops, a: ops.conv2d_weight_grad(a(2, 5, 5, 3), a(3, 4, 4, 1), ONES, NO_PADS, (2, 2)),
        "conv2d_weight_grad", "2 samples", "has 3",
    ),
    "conv2d_weight_grad windows": Case(
        lambda ops, a: ops.conv2d_weight_grad(a(2, 5, 5, 3), a(2, 5, 4, 1), ONES, NO_PADS, (2, 2)), "5x4", "gives 4x4"
    ),
    "conv2d_weight_grad accumulate": Case(
        lambda ops, a: ops.conv2d_weight_grad(a(2, 5, 5, 3), a(2, 4, 4, 1), ONES, NO_PADS, (2, 2), accumulate=True),
        "accumulate", "out=",
    ),
    "conv2d stride": Case(
        lambda ops, a: ops.conv2d(a(2, 5, 5, 3), a(2, 2, 3, 1), (0, 1), NO_PADS),
        "conv2d: stride", "at least 1", "got (0, 1)",
    ),
    "conv2d stride of fractions": Case(
        lambda ops, a: ops.conv2d(a(2, 5, 5, 3), a(2, 2, 3, 1), (2.0, 1), NO_PADS), "conv2d: stride", "got (2.0, 1)"
    ),
    "conv2d empty kernel": Case(
        lambda ops, a: ops.conv2d(a(2, 5, 5, 3), a(0, 2, 3, 1), ONES, NO_PADS), "conv2d", "at least 1x1", "0x2"
    ),
    "conv2d pads": Case(
        lambda ops, a: ops.conv2d(a(2, 5, 5, 3), a(2, 2, 3, 1), ONES, (0, -1, 0, 0)),
        "conv2d: pads", "at least 0", "(0, -1, 0, 0)",
    ),
    "conv2d nested pads": Case(
        lambda ops, a: ops.conv2d(a(2, 5, 5, 3), a(2, 2, 3, 1), ONES, ((1, 1), (1, 1))),
        "conv2d: pads", "((1, 1), (1, 1))",
    ),
    "conv2d_input_grad size": Case(
        lambda ops, a: ops.conv2d_input_grad(a(1, 4, 4, 1), a(2, 2, 3, 1), ONES, NO_PADS, (5, 5, 3)),
        "conv2d_input_grad: size", "(5, 5, 3)",
    ),
    "conv2d_weight_grad kernel": Case(
        lambda ops, a: ops.conv2d_weight_grad(a(2, 5, 5, 3), a(2, 4, 4, 1), ONES, NO_PADS, (0, 2)),
        "conv2d_weight_grad: kernel", "(0, 2)",
    ),
    "add does not broadcast": Case(lambda ops, a: ops.add(a(2, 3), a(3)), "add", "(2, 3)", "(3,)"),
    "multiply does not broadcast": Case(lambda ops, a: ops.multiply(a(2, 1), a(2, 3)), "multiply", "(2, 1)", "(2, 3)"),
    "axpy": Case(lambda ops, a: ops.axpy(1.0, a(2, 3), a(3, 2)), "axpy", "(2, 3)", "(3, 2)"),
    "copy": Case(lambda ops, a: ops.copy(a(2, 3), a(3, 2)), "copy", "(2, 3)", "(3, 2)"),
    "activation_grad dy": Case(lambda ops, a: ops.activation_grad(None, a(2, 3), a(2, 4)), "(2, 3)", "(2, 4)"),
    "activation_grad of nothing": Case(lambda ops, a: ops.activation_grad(None, None, a(2, 4)), "both None"),
    "activation_grad db": Case(
        lambda ops, a: ops.activation_grad(None, a(2, 4), a(2, 4), db=a(3)), "db is (3,)", "(2, 4)"
    ),
    "activation_double_grad": Case(
        lambda ops, a: ops.activation_double_grad(None, a(2, 3), None, a(2, 4)),
        "(2, 3)", "(2, 4)",
    ),
    "sum_rows out": Case(lambda ops, a: ops.sum_rows(a(2, 3), out=a(2)), "sum_rows", "(3,)", "(2,)"),
    "sum_rows accumulate": Case(lambda ops, a: ops.sum_rows(a(2, 3), accumulate=True), "accumulate", "out="),
    "concat": Case(
        lambda ops, a: ops.concat([a(2, 3), a(4, 3)], axis=-1),
        "concat", "(4, 3)", "(2, 3)", "axis other than 1",
    ),
    "split": Case(lambda ops, a: ops.split(a(2, 5), [2, 2]), "split", "(2, 2)", "(2, 5)"),
    "gather_rows label": Case(lambda ops, a: ops.gather_rows(a(4, 3), np.array([0, 4])), "from 0 to 4", "[0, 4)"),
    "gather_rows negative label": Case(lambda ops, a: ops.gather_rows(a(4, 3), np.array([-1, 2])), "from -1 to 2"),
    "gather_rows float labels": Case(
        lambda ops, a: ops.gather_rows(a(4, 3), a(2)),
        "whole-number", "(2,)", error=TypeError,
    ),
    "gather_rows one-hot labels": Case(
        lambda ops, a: ops.gather_rows(a(4, 3), np.eye(4, dtype=int)), "(N,)", "(4, 4)", error=TypeError
    ),
    "gather_rows table": Case(lambda ops, a: ops.gather_rows(a(4, 3, 2), np.array([0])), "(K, F)", "(4, 3, 2)"),
    "gather_samples index": Case(lambda ops, a: ops.gather_samples(a(4, 3), np.array([4])), "from 4 to 4", "[0, 4)"),
    "gather_samples dtype": Case(
        lambda ops, _: ops.gather_samples(np.zeros((4, 3), np.int16), np.array([0])), "uint8", "int16", error=TypeError
    ),
    "gather_samples of nothing": Case(
        lambda ops, _: ops.gather_samples(np.zeros((), np.uint8), np.array([0])), "(K, ...)", "()"
    ),
    "scatter_add_rows": Case(
        lambda ops, a: ops.scatter_add_rows(a(4, 3), np.array([0, 1]), a(3, 3)), "(3, 3)", "(2,)", "(4, 3)"
    ),
    "softmax_cross_entropy labels": Case(
        lambda ops, a: ops.softmax_cross_entropy(a(3, 4), np.array([0, 1])), "(2,)", "(3, 4)"
    ),
    "softmax_cross_entropy label": Case(
        lambda ops, a: ops.softmax_cross_entropy(a(2, 4), np.array([0, 4])), "from 0 to 4", "[0, 4)"
    ),
    "dropout_mask": Case(lambda ops, _: ops.dropout_mask((2,), 1.0), "dropout_mask", "[0, 1)", "1.0"),
    "batch_norm": Case(
        lambda ops, a: ops.batch_norm(a(2, 3), a(4), a(3), 0.1),
        "3 channels", "gamma is (4,)", "(2, 3)",
    ),
    "layer_norm": Case(lambda ops, a: ops.layer_norm(a(2, 3), a(3), a(4), 0.1), "3 channels", "beta is (4,)"),
    "layer_norm_grad statistics": Case(
        lambda ops, a: ops.layer_norm_grad(a(2, 3), a(2, 3), a(3), a(3), a(3), 0.1), "must be (2,)", "got (3,) and (3,)"
    ),
    "channel_norm statistics": Case(
        lambda ops, a: ops.channel_norm(a(2, 3), a(3), None, None, a(2), 0.1), "must be (3,)", "got None and (2,)"
    ),
    "batch_norm_grad dy": Case(
        lambda ops, a: ops.batch_norm_grad(a(3, 3), a(2, 3), a(3), a(3), a(3), 0.1), "dy is (3, 3)", "x is (2, 3)"
    ),
    "batch_norm_grad y": Case(
        lambda ops, a: ops.batch_norm_grad(a(2, 3), a(2, 3), a(3), a(3), a(3), 0.1, y=a(3, 3)),
        "y is (3, 3)", "x is (2, 3)",
    ),
    "batch_norm_grad activation": Case(
        lambda ops, a: ops.batch_norm_grad(a(2, 3), a(2, 3), a(3), a(3), a(3), 0.1, activation=activation("tanh")),
        "tanh needs y",
    ),
    "batch_norm_grad dgamma": Case(
        lambda ops, a: ops.batch_norm_grad(a(2, 3), a(2, 3), a(3), a(3), a(3), 0.1, dgamma=a(2)), "(2,)", "(3,)"
    ),
    "layer_norm_double_grad": Case(
        lambda ops, a: ops.layer_norm_double_grad(a(2, 4), a(2, 3), a(2, 3), a(3), a(2), a(2), 0.1), "(2, 4)", "(2, 3)"
    ),
    "avg_pool2d": Case(lambda ops, a: ops.avg_pool2d(a(2, 3), (2, 2), ONES), "avg_pool2d", "(N, H, W, C)", "(2, 3)"),
    "max_pool2d": Case(lambda ops, a: ops.max_pool2d(a(1, 2, 2, 1), (3, 2), ONES), "max_pool2d", "3x2", "2x2"),
    "max_pool2d kernel": Case(
        lambda ops, a: ops.max_pool2d(a(1, 2, 2, 1), (0, 2), ONES),
        "max_pool2d: kernel", "(0, 2)",
    ),
    "max_pool2d_gather stride": Case(
        lambda ops, a: ops.max_pool2d_gather(a(1, 4, 4, 1), np.zeros((1, 2, 2, 1), np.int32), (2, 2), (2, 0)),
        "max_pool2d_gather: stride", "(2, 0)",
    ),
    "avg_pool2d_grad size": Case(
        lambda ops, a: ops.avg_pool2d_grad(a(1, 2, 2, 1), (4, 4, 1), (2, 2), (2, 2)),
        "avg_pool2d_grad: size", "(4, 4, 1)",
    ),
    "avg_pool2d_grad": Case(
        lambda ops, a: ops.avg_pool2d_grad(a(1, 2, 2, 1), (4, 4), (2, 2), ONES), "(1, 2, 2, 1)", "4x4", "3x3"
    ),
    "max_pool2d_grad": Case(
        lambda ops, a: ops.max_pool2d_grad(a(1, 2, 2, 1), np.zeros((1, 2, 1, 1), np.int32), (4, 4), (2, 2), (2, 2)),
        "(1, 2, 2, 1)", "(1, 2, 1, 1)",
    ),
    "max_pool2d_gather": Case(
        lambda ops, a: ops.max_pool2d_gather(a(1, 4, 4, 1), np.zeros((1, 2, 1, 1), np.int32), (2, 2), (2, 2)),
        "(1, 2, 2, 1)", "(1, 2, 1, 1)",
    ),
    "upsample_nearest": Case(lambda ops, a: ops.upsample_nearest(a(4, 3), (2, 2)), "(N, H, W, C)", "(4, 3)"),
    "upsample_nearest_grad": Case(
        lambda ops, a: ops.upsample_nearest_grad(a(1, 3, 4, 1), (2, 2)), "(1, 3, 4, 1)", "2x2 blocks"
    ),
    "upsample_nearest factor": Case(
        lambda ops, a: ops.upsample_nearest(a(1, 3, 4, 1), (0, 2)), "upsample_nearest: factor", "(0, 2)"
    ),
    "upsample_nearest_grad factor": Case(
        lambda ops, a: ops.upsample_nearest_grad(a(1, 4, 4, 1), (2, 0)), "upsample_nearest_grad: factor", "(2, 0)"
    ),
    "adam shapes": Case(
        lambda ops, a: ops.adam(
            a(3), a(4), a(3), a(3), None, a(), lr=1, beta1=0, beta2=0, eps=1, weight_decay=0, step=1
        ),
        "adam", "g is (4,)", "(3,)",
    ),
    "adam step": Case(
        lambda ops, a: ops.adam(
            a(3), a(3), a(3), a(3), None, a(), lr=1, beta1=0, beta2=0, eps=1, weight_decay=0, step=0
        ),
        "adam", "from 1", "0",
    ),
    "moving_average": Case(lambda ops, a: ops.moving_average(a(3), a(4), 0.5), "x is (4,)", "(3,)"),
    "clip_norm": Case(lambda ops, a: ops.clip_norm(a(3), 0.0), "clip_norm", "above 0", "0.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_mistake(ops: Ops, case: Case):
    if ops.xp is not np and case.parts[0].startswith("from "):
        pytest.skip("a device does not wait to look at labels; one out of range gives NaN")
    with pytest.raises(case.error) as caught:
        case.call(ops, lambda *shape: np.ones(shape, ops.dtype))
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in case.parts if part not in message] == []
    assert not ops.calls, "a call that failed was counted"


@pytest.mark.parametrize("which", ["a", "b", "bias"])
def test_out_may_not_overlap_an_input(host_ops: Ops, which: str):
    """Partly overlapping memory counts too."""
    ops = host_ops
    memory = np.ones(20, ops.dtype)
    inputs = {"a": np.ones((2, 3), ops.dtype), "b": np.ones((3, 2), ops.dtype), "bias": np.ones(2, ops.dtype)}
    inputs[which] = memory[: inputs[which].size].reshape(inputs[which].shape)
    out = memory[1:5].reshape(2, 2)
    with pytest.raises(ValueError, match=r"^matmul: out \(2, 2\) overlaps an input \("):
        ops.matmul(inputs["a"], inputs["b"], bias=inputs["bias"], out=out)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, "complex128"])
def test_only_float32_and_float64(backend: str, dtype: np.typing.DTypeLike):
    with pytest.raises(TypeError, match=f"must be float32 or float64, got {np.dtype(dtype)}"):
        kernels.get_ops(backend, dtype=dtype)


def test_unknown_backend_is_told_which_there_are():
    with pytest.raises(ValueError, match=re.escape("unknown backend 'torch'; there are auto, numpy")):
        kernels.get_ops("torch")


def test_auto_is_one_that_works_here():
    assert kernels.available()[kernels.get_ops("auto").name] is None


def test_defaults_are_single_precision_and_seed_0():
    ops = kernels.get_ops()
    assert (ops.dtype, ops.rng.seed) == (np.float32, 0)


def test_two_ops_can_share_a_workspace_and_a_stream(backend: str):
    """Two players that draw from one stream go on where the other stopped."""
    one, alone = kernels.get_ops(backend, seed=7), kernels.get_ops(backend, seed=7)
    other = kernels.get_ops(backend, workspace=one.workspace, rng=one.rng)
    shared = [one.to_host(ops.random_normal((4,), Use.SAMPLE)) for ops in (one, other)]
    np.testing.assert_array_equal(shared, [one.to_host(alone.random_normal((4,), Use.SAMPLE)) for _ in range(2)])
    assert other.workspace is one.workspace


def test_read_only_out(host_ops: Ops):
    a, out = np.ones((2, 2), host_ops.dtype), np.zeros((2, 2), host_ops.dtype)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"matmul: out \(2, 2\) is read-only"):
        host_ops.matmul(a, a, out=out)


def test_a_list_is_no_array(ops: Ops):
    with pytest.raises(TypeError, match="matmul: a is a list, expected an array"):
        ops.matmul([[1.0]], np.ones((1, 1), ops.dtype))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [(0, 1), (1, 0)])
def test_convolutions_need_channels(ops: Ops, channels: tuple[int, int]):
    c, o = channels
    x, w, dy = (np.ones(shape, ops.dtype) for shape in ((1, 2, 2, c), (1, 1, c, o), (1, 2, 2, o)))
    one, none = (1, 1), (0, 0, 0, 0)
    for product in (
        lambda: ops.conv2d(x, w, one, none),
        lambda: ops.conv2d_input_grad(dy, w, one, none, (2, 2)),
        lambda: ops.conv2d_weight_grad(x, dy, one, none, one),
    ):
        with pytest.raises(ValueError, match=f"at least one channel on both sides, got {c} and {o}"):
            product()
