"""Launches of products that are kept: the same bits with other operands, and nothing kept that does not follow."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

import kernels
from kernels.cpu import NumbaOps
from kernels.cpu.calls import run
from kernels.cpu.native import NativeCalls
from kernels.cpu.ops import plans, rungs
from kernels.cpu.ops.plans import Plans
from kernels.types import Array

STRIDE, PADS = (2, 2), (1, 1, 1, 1)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled when they come again."""
    monkeypatch.setattr(plans, "OFTEN", 2)


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


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="there is no machine code")
def test_only_what_comes_often_is_compiled(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's calls before, machine code from then on."""
    monkeypatch.setattr(plans, "OFTEN", 3)
    a, y = numbers(8, 8, seed=0), np.empty((8, 8), np.float32)
    for uses in range(1, 6):
        ops.matmul(uses * a, a, out=y)
        np.testing.assert_array_equal(y, uses * a @ a)
        (plan,) = ops._plans._plans.values()
        assert isinstance(plan, NativeCalls) == (uses >= 3)


def test_one_array_as_two_operands(ops: NumbaOps) -> None:
    """It does not show which of the two a kernel was given."""
    a, b, y = numbers(8, 8, seed=0), numbers(8, 8, seed=1), np.empty((8, 8), np.float32)
    for left, right in ((a, a), (a, b), (b, a), (b, b)):
        np.testing.assert_array_equal(ops.matmul(left, right, out=y), left @ right)
    np.testing.assert_array_equal(ops.matmul(a, b, bias=b[0], out=y), a @ b + b[0])
    np.testing.assert_array_equal(ops.matmul(a, b, bias=a[0], out=y), a @ b + a[0])


def test_convolutions_follow_their_setting(ops: NumbaOps) -> None:
    """Algorithms round differently, so the bits tell which one computed."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, np.float32) for shape in ((16, 8, 8, 32), (4, 4, 32, 32)))
    seen = set()
    for setting in ("auto", "implicit", "winograd", "kn2row", "im2col", "implicit"):
        fresh = kernels.get_ops("numba")
        ops.convolution = fresh.convolution = setting
        ops.begin_step(0)
        y = ops.conv2d(x, w, STRIDE, PADS)
        np.testing.assert_array_equal(y, fresh.conv2d(x, w, STRIDE, PADS))
        seen.add(y.tobytes())
    assert len(seen) > 2


def test_rungs_are_never_kept(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    """They compute as often as they are asked to, and what they call is counted."""
    a, b, ran = numbers(8, 9, seed=0), numbers(9, 10, seed=1), []
    for rung in ("naive", "packed"):
        own = rungs.PRODUCTS[rung]
        monkeypatch.setitem(rungs.PRODUCTS, rung, lambda *args, own=own, rung=rung: [ran.append(rung), own(*args)])
    for rung in ("parallel", "naive", "packed", "naive", "parallel"):
        ops.matmul_rung = rung
        ops.begin_step(0)
        np.testing.assert_array_equal(ops.matmul(a, b), a @ b)
    assert ran == ["naive", "packed", "naive"]
    ops.matmul_rung, ops.convolution = "parallel", "im2col"
    x, w = numbers(2, 6, 6, 3, seed=0), numbers(4, 4, 3, 5, seed=1)
    before = ops.calls["matmul"]
    for count in (1, 2):
        ops.begin_step(0)
        ops.conv2d(x, w, STRIDE, PADS)
        assert ops.calls["matmul"] == before + count


def test_each_option_and_shape_has_launches_of_its_own(ops: NumbaOps) -> None:
    """Operands of the same shapes that differ in an option, and the same options with other shapes."""
    relu, tanh = kernels.activation("relu"), kernels.activation("tanh")
    a, b, c = (numbers(6, 6, seed=seed) for seed in range(3))
    flags = [{"trans_a": ta, "trans_b": tb} for ta in (False, True) for tb in (False, True)]
    options: list[dict[str, Any]] = [*flags, {"activation": relu}, {"activation": tanh}, {}]
    wide, w = numbers(2, 7, 7, 4, seed=0), numbers(3, 3, 4, 4, seed=1)
    for _ in range(2):
        for how in options:
            expect_as_fresh(ops, lambda o, how=how: o.matmul(a, b, **how))
            expect_as_fresh(ops, lambda o, how=how: o.matmul(a, b, bias=c[0].copy(), **how))
        for accumulate in (False, True):
            expect_as_fresh(ops, lambda o, add=accumulate: o.matmul(a, b, out=c.copy(), accumulate=add))
        for k in (1, 5, 6):
            expect_as_fresh(ops, lambda o, k=k: o.matmul(a[:, :k].copy(), b[:k].copy()))
        for m, n in ((2, 6), (6, 6), (2, 5), (6, 5)):  # of one place in the workspace
            expect_as_fresh(ops, lambda o, m=m, n=n: o.matmul(a[:m].copy(), b[:, :n].copy(), out=c[:m, :n].copy()))
        for stride, pads in (((1, 1), (1, 1, 1, 1)), ((1, 1), (0, 2, 2, 0)), ((1, 1), (2, 0, 1, 1))):
            expect_as_fresh(ops, lambda o, s=stride, p=pads: o.conv2d(wide, w, s, p))
            expect_as_fresh(ops, lambda o, s=stride, p=pads: o.conv2d_input_grad(wide, w, s, p, (7, 7)))
            expect_as_fresh(ops, lambda o, s=stride, p=pads: o.conv2d_weight_grad(wide, 2 * wide, s, p, (3, 3)))


def expect_as_fresh(ops: NumbaOps, work: Callable[[NumbaOps], Array]) -> None:
    ops.begin_step(0)
    np.testing.assert_array_equal(work(ops), work(kernels.get_ops("numba")))


def test_operands_are_let_go(ops: NumbaOps) -> None:
    """Launches are kept, what they were launched with is not."""
    a = numbers(64, 64, seed=0)
    gone = weakref.ref(a)
    for _ in range(2):
        ops.matmul(a, a.copy())
    ops.begin_step(0)
    del a
    assert gone() is None


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
