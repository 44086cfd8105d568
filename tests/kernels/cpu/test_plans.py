"""Launches of products that are kept: the same bits with other operands, and nothing kept that does not follow."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kernels
from kernels.cpu import NumbaOps
from kernels.cpu.calls import run
from kernels.cpu.ops import plans
from kernels.cpu.ops.plans import Plans
from kernels.types import Array

STRIDE, PADS = (2, 2), (1, 1, 1, 1)


@pytest.fixture
def ops() -> NumbaOps:
    return kernels.get_ops("numba")


def numbers(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def products(ops: NumbaOps, seed: int) -> list[Array]:
    """One of each product, with and without what they can do besides."""
    relu = kernels.activation("relu")
    a, b, bias, y = (numbers(*s, seed=seed) for s in ((7, 9), (9, 20), (20,), (7, 20)))
    x, w, dy, dw = (numbers(*s, seed=seed) for s in ((16, 6, 6, 32), (4, 4, 32, 32), (16, 3, 3, 32), (4, 4, 32, 32)))
    gray, few = numbers(2, 8, 8, 1, seed=seed), numbers(4, 4, 1, 5, seed=seed)
    return [
        ops.matmul(a, b),
        ops.matmul(a, b, bias=bias, activation=relu),
        ops.matmul(a, b, bias=bias, activation=kernels.activation("tanh")),
        ops.matmul(b, a, trans_a=True, trans_b=True),
        ops.matmul(a, b, out=y, accumulate=True),
        ops.conv2d(x, w, STRIDE, PADS, activation=relu),
        ops.conv2d_input_grad(dy, w, STRIDE, PADS, (6, 6)),
        ops.conv2d_weight_grad(x, dy, STRIDE, PADS, (4, 4)),
        ops.conv2d_weight_grad(x, dy, STRIDE, PADS, (4, 4), out=dw, accumulate=True),
        ops.conv2d(gray, few, STRIDE, PADS, bias=bias[:5].copy()),
    ]


@pytest.mark.parametrize("convolution", ["auto", "implicit", "winograd", "kn2row", "im2col", "naive"])
def test_later_calls_compute_what_the_first_one_would(ops: NumbaOps, convolution: str) -> None:
    """Other operands, on the same memory and further on in the workspace."""
    ops.convolution = convolution
    for seed in range(3):
        fresh = kernels.get_ops("numba")
        fresh.convolution = convolution
        if seed < 2:
            ops.begin_step(seed)
        for own, expected in zip(products(ops, seed), products(fresh, seed), strict=True):
            np.testing.assert_array_equal(own, expected)


def test_results_outlive_later_calls(ops: NumbaOps) -> None:
    """The scratch memory of a kept launch is that of where the workspace stood, not of a result handed out since."""
    a, b = numbers(30, 40, seed=0), numbers(40, 50, seed=1)
    results = [ops.matmul(scale * a, b) for scale in (1, 2, 3)]
    for scale, result in zip((1, 2, 3), results, strict=True):
        np.testing.assert_array_equal(result, scale * (a @ b))


def test_a_second_call_works_nothing_out(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else there is nothing to test here."""
    a, y = numbers(8, 8, seed=0), np.empty((8, 8), np.float32)
    ops.matmul(a, a.copy(), out=y)

    def _run_matmul(*arguments: Any) -> None:
        raise AssertionError("worked out again")

    monkeypatch.setattr(NumbaOps, "_run_matmul", _run_matmul)
    ops.matmul(2 * a, 3 * a, out=y)
    np.testing.assert_array_equal(y, 6 * a @ a)


def test_one_array_as_two_operands(ops: NumbaOps) -> None:
    """It does not show which of the two a kernel was given."""
    a, b, y = numbers(8, 8, seed=0), numbers(8, 8, seed=1), np.empty((8, 8), np.float32)
    for left, right in ((a, a), (a, b), (b, a)):
        np.testing.assert_array_equal(ops.matmul(left, right, out=y), left @ right)


def test_what_was_set_since(ops: NumbaOps) -> None:
    """A rung assigned between two calls is the one that computes; the sums are exact on any."""
    a, b = numbers(8, 9, seed=0), numbers(9, 10, seed=1)
    for rung in ("parallel", "naive", "packed", "parallel"):
        ops.matmul_rung = rung
        ops.begin_step(0)
        np.testing.assert_array_equal(ops.matmul(a, b), a @ b)


def test_no_rows(ops: NumbaOps) -> None:
    """Empty operands have no address to be told apart by."""
    for _ in range(2):
        assert ops.matmul(np.empty((0, 3), np.float32), np.empty((3, 2), np.float32)).shape == (0, 2)
        nothing = ops.matmul(np.empty((3, 0), np.float32), np.empty((0, 2), np.float32))
        np.testing.assert_array_equal(nothing, np.zeros((3, 2)))


def test_a_copy_has_memory_of_its_own(ops: NumbaOps) -> None:
    """Its products do not write to the original's scratch memory."""
    a, b, y = numbers(600, 700, seed=0), numbers(700, 16, seed=1), np.empty((600, 16), np.float32)
    ops.matmul(a, b, out=y)
    other = copy.deepcopy(ops)
    ops.workspace.poison()
    np.testing.assert_array_equal(other.matmul(a, b, out=y), a @ b)
    for chunk in ops.workspace._chunks:
        assert (chunk == 0xFF).all()


def double(source: Array, target: Array) -> None:
    np.multiply(source, 2, out=target)


@pytest.mark.parametrize(
    ("work", "kept"),
    [
        (lambda x, y: run(double, x.reshape(-1), y.reshape(-1)), True),
        (lambda x, y: run(double, x, y), False),
        (lambda x, y: [run(double, x[i], y[i]) for i in range(len(x))], False),
        (lambda x, y: run(lambda pair: double(*pair), (x, y)), False),
    ],
    ids=["flat", "of its shape", "rows", "in a tuple"],
)
def test_only_whole_flat_operands_are_replaced(work: Callable[..., Any], kept: bool) -> None:
    """With anything else of an operand's memory the work is done each time."""
    kept_plans, asked = Plans(), []

    def counted(x: Array, y: Array) -> None:
        asked.append(x)
        work(x, y)

    for seed in range(3):
        x, y = numbers(4, 5, seed=seed), np.empty((4, 5), np.float32)
        kept_plans.run("key", counted, (x, y), ())
        np.testing.assert_array_equal(y, 2 * x)
    assert len(asked) == (1 if kept else 3)


def test_there_are_not_ever_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of ever new shapes do not fill the memory."""
    monkeypatch.setattr(plans, "MOST_PLANS", 3)
    kept = Plans()
    for size in range(1, 20):
        kept.run(size, lambda x: run(double, x, x), (numbers(size, seed=0),), ())
        assert len(kept._plans) <= 3
