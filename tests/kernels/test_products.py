"""Matrix product and convolutions, exactly: on small integers float32 and float64 have no rounding to hide behind."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import Ops, activation
from kernels.reference import naive
from minigan.testing import ConvCase, batches, conv_cases, seeds

SIDES = st.sampled_from((1, 2, 3, 5, 8, 13, 17))
TILES = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129)
"""One below, at and above what a blocked kernel would cut at."""

OPTIONS = list(itertools.product((False, True), repeat=2))


class Integers:
    """Arrays of whole numbers in [-4, 4], of the dtype of the operations."""

    def __init__(self, dtype: np.dtype, seed: int) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-4, 5, shape).astype(self.dtype)


def assert_exact(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal in every bit, and of the dtype asked for."""
    np.testing.assert_array_equal(actual, expected, strict=True)


def dot(a: np.ndarray, b: np.ndarray) -> int:
    """Inner product in whole numbers: no order of summation can change it."""
    return int((a.astype(np.int64) * b.astype(np.int64)).sum())


class Trilinear:
    """x, w and y of a convolution, filled with integers, and the arguments that the three kernels share."""

    def __init__(self, case: ConvCase, batch: int, dtype: np.dtype, seed: int) -> None:
        numbers = Integers(dtype, seed)
        self.x = numbers(batch, *case.size, case.in_channels)
        self.w = numbers(*case.kernel, case.in_channels, case.out_channels)
        self.y = numbers(batch, *case.windows, case.out_channels)
        self.case = case
        self.geometry = case.stride, case.pads


@pytest.mark.parametrize(("trans_a", "trans_b"), OPTIONS)
@given(m=SIDES, k=SIDES, n=SIDES, biased=st.booleans(), seed=seeds())
def test_matmul(new_ops, trans_a: bool, trans_b: bool, m: int, k: int, n: int, biased: bool, seed: int):
    ops: Ops = new_ops()
    numbers = Integers(ops.dtype, seed)
    a, b, bias = numbers(m, k), numbers(k, n), numbers(n) if biased else None
    stored_a, stored_b = (np.ascontiguousarray(v.T) if t else v for v, t in ((a, trans_a), (b, trans_b)))
    expected = naive.matmul(a, b) + (0 if bias is None else bias)
    assert_exact(ops.matmul(stored_a, stored_b, bias=bias, trans_a=trans_a, trans_b=trans_b), expected)


@pytest.mark.parametrize(("trans_a", "trans_b"), OPTIONS)
def test_matmul_at_every_edge_of_a_tile(ops: Ops, trans_a: bool, trans_b: bool):
    """Each axis walks over all sizes while the other two sit just off a tile."""
    numbers = Integers(ops.dtype, seed=0)
    for size, axis in itertools.product(TILES, range(3)):
        m, k, n = (size if i == axis else odd for i, odd in enumerate((33, 17, 9)))
        a, b = numbers(m, k), numbers(k, n)
        expected = (a.astype(np.int64) @ b.astype(np.int64)).astype(ops.dtype)  # integer products never meet BLAS
        stored_a, stored_b = (np.ascontiguousarray(v.T) if t else v for v, t in ((a, trans_a), (b, trans_b)))
        assert_exact(ops.matmul(stored_a, stored_b, trans_a=trans_a, trans_b=trans_b), expected)


@given(case=conv_cases(), n=batches(1, 3), biased=st.booleans(), seed=seeds())
def test_conv2d(new_ops, case: ConvCase, n: int, biased: bool, seed: int):
    ops = new_ops()
    t = Trilinear(case, n, ops.dtype, seed)
    bias = Integers(ops.dtype, seed)(case.out_channels) if biased else None
    expected = naive.conv2d(t.x, t.w, *t.geometry) + (0 if bias is None else bias)
    assert_exact(ops.conv2d(t.x, t.w, *t.geometry, bias=bias), expected)


@given(case=conv_cases(), n=batches(1, 3), biased=st.booleans(), seed=seeds())
def test_conv2d_input_grad(new_ops, case: ConvCase, n: int, biased: bool, seed: int):
    ops = new_ops()
    t = Trilinear(case, n, ops.dtype, seed)
    bias = Integers(ops.dtype, seed)(case.in_channels) if biased else None
    expected = naive.conv2d_input_grad(t.y, t.w, *t.geometry, case.size) + (0 if bias is None else bias)
    assert_exact(ops.conv2d_input_grad(t.y, t.w, *t.geometry, case.size, bias=bias), expected)


@given(case=conv_cases(), n=batches(1, 3), seed=seeds())
def test_conv2d_weight_grad(new_ops, case: ConvCase, n: int, seed: int):
    ops = new_ops()
    t = Trilinear(case, n, ops.dtype, seed)
    expected = naive.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel)
    assert_exact(ops.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel), expected)


@given(case=conv_cases(max_side=20, max_channels=9, max_kernel=5), n=batches(1, 3), seed=seeds())
def test_the_three_convolutions_are_derivatives_of_one_form(new_ops, case: ConvCase, n: int, seed: int):
    """<conv2d(x, w), y> = <x, conv2d_input_grad(y, w)> = <w, conv2d_weight_grad(x, y)>, exactly: needs no oracle."""
    ops = new_ops()
    t = Trilinear(case, n, ops.dtype, seed)
    form = dot(ops.conv2d(t.x, t.w, *t.geometry), t.y)
    assert form == dot(t.x, ops.conv2d_input_grad(t.y, t.w, *t.geometry, case.size))
    assert form == dot(t.w, ops.conv2d_weight_grad(t.x, t.y, *t.geometry, case.kernel))


def test_strides_and_pads_may_be_lists(ops: Ops):
    numbers = Integers(ops.dtype, seed=0)
    x, w = numbers(1, 5, 4, 2), numbers(3, 3, 2, 2)
    y = ops.conv2d(x, w, (2, 1), (1, 0, 1, 1)).copy()
    assert_exact(ops.conv2d(x, w, [2, 1], [1, 0, 1, 1]), y)
    dx = ops.conv2d_input_grad(y, w, (2, 1), (1, 0, 1, 1), (5, 4)).copy()
    assert_exact(ops.conv2d_input_grad(y, w, [2, 1], [1, 0, 1, 1], [5, 4]), dx)
    dw = ops.conv2d_weight_grad(x, y, (2, 1), (1, 0, 1, 1), (3, 3)).copy()
    assert_exact(ops.conv2d_weight_grad(x, y, [2, 1], [1, 0, 1, 1], [3, 3]), dw)
    assert ops.empty([2, 3]).shape == (2, 3)


def test_numbers_may_be_numpys(ops: Ops):
    """Of small types, whose own sums overflow; and flags of its truth values."""
    numbers = Integers(ops.dtype, seed=0)
    x, w, pads = numbers(2, 5, 4, 2), numbers(3, 3, 2, 2), (200, 100, 1, 1)
    y = ops.conv2d(x, w, (2, 1), pads).copy()
    small = np.uint8
    assert_exact(ops.conv2d(x, w, np.array((2, 1), small), np.array(pads, small)), y)
    dx = ops.conv2d_input_grad(y, w, (2, 1), pads, (5, 4)).copy()
    assert_exact(
        ops.conv2d_input_grad(y, w, np.array((2, 1), small), np.array(pads, small), np.array((5, 4), small)), dx
    )
    dw = ops.conv2d_weight_grad(x, y, (2, 1), pads, (3, 3)).copy()
    out = numbers(3, 3, 2, 2)
    total = dw + out
    ops.conv2d_weight_grad(
        x, y, (2, 1), np.array(pads, small), np.array((3, 3), small), out=out, accumulate=np.array(True)
    )
    assert_exact(out, total)
    a, b = numbers(3, 4), numbers(3, 4)
    assert_exact(ops.matmul(a, b, trans_a=np.array(True)), a.T @ b)
    assert_exact(ops.matmul(a, b, trans_b=np.True_), a @ b.T)


def test_a_kernel_of_one_by_one_is_a_matrix_product(ops: Ops):
    numbers = Integers(ops.dtype, seed=1)
    x, w = numbers(2, 3, 5, 4), numbers(1, 1, 4, 3)
    assert_exact(ops.conv2d(x, w, (1, 1), (0, 0, 0, 0)).reshape(-1, 3), ops.matmul(x.reshape(-1, 4), w[0, 0]))


@pytest.mark.parametrize(("name", "parameter"), [("relu", None), ("leaky_relu", 0.25), ("leaky_relu", 0.5)])
def test_activation_is_fused_behind_the_bias(ops: Ops, name: str, parameter: float | None):
    """Piecewise linear with a power of two as slope: exact still."""
    numbers, act = Integers(ops.dtype, seed=2), activation(name, parameter)
    t = Trilinear(ConvCase((5, 4), (2, 3), (2, 1), "same", 3, 2), 2, ops.dtype, seed=3)
    wide, narrow, slope = numbers(3), numbers(2), parameter or 0

    def f(z: np.ndarray) -> np.ndarray:
        return np.maximum(z, slope * z)

    a, b = t.x.reshape(-1, 3), t.w.reshape(-1, 2)[:3].copy()
    assert_exact(ops.matmul(a, b, bias=narrow, activation=act), f(naive.matmul(a, b) + narrow))
    assert_exact(
        ops.conv2d(t.x, t.w, *t.geometry, bias=narrow, activation=act), f(naive.conv2d(t.x, t.w, *t.geometry) + narrow)
    )
    plain = naive.conv2d_input_grad(t.y, t.w, *t.geometry, t.case.size)
    assert_exact(ops.conv2d_input_grad(t.y, t.w, *t.geometry, t.case.size, bias=wide, activation=act), f(plain + wide))


class TestOut:
    """`out=` is overwritten without being read, or added to if asked."""

    CASE = ConvCase((5, 4), (3, 2), (2, 1), (1, 0, 0, 2), 3, 2)

    @pytest.fixture
    def call(self, ops: Ops, request: pytest.FixtureRequest):
        """The operation named by the parameter as a function of (out, accumulate)."""
        t = Trilinear(self.CASE, 2, ops.dtype, seed=4)
        a, b = t.x.reshape(-1, 3), t.w.reshape(-1, 3)
        return {
            "matmul": lambda **o: ops.matmul(a, b, trans_b=True, **o),
            "matmul transposed": lambda **o: ops.matmul(a, a, trans_a=True, **o),
            "conv2d": lambda **o: ops.conv2d(t.x, t.w, *t.geometry, **o),
            "conv2d_input_grad": lambda **o: ops.conv2d_input_grad(t.y, t.w, *t.geometry, self.CASE.size, **o),
            "conv2d_weight_grad": lambda **o: ops.conv2d_weight_grad(t.x, t.y, *t.geometry, self.CASE.kernel, **o),
            "sum_rows": lambda **o: ops.sum_rows(t.x, **o),
        }[request.param]

    @pytest.mark.parametrize(
        "call",
        ["matmul", "matmul transposed", "conv2d", "conv2d_input_grad", "conv2d_weight_grad", "sum_rows"],
        indirect=True,
    )
    def test_is_overwritten_unread(self, call):
        fresh = call().copy()
        out = np.full_like(fresh, np.nan)
        assert call(out=out) is out
        assert_exact(out, fresh)

    @pytest.mark.parametrize("call", ["matmul", "matmul transposed", "conv2d_weight_grad", "sum_rows"], indirect=True)
    def test_is_added_to(self, call):
        fresh = call().copy()
        out = fresh.copy()
        assert call(out=out, accumulate=True) is out
        assert_exact(out, 2 * fresh)
