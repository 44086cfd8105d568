"""The matrix product on whole numbers, which leave nothing to round: all edges of all blocks, in poisoned memory."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_products import OPTIONS, Integers, assert_exact

from kernels import activation
from kernels.activations import FORMULAS
from kernels.cpu import NumbaOps, gemm, gemv, unpacked
from kernels.cpu.dot_tile import DOT_ROWS
from kernels.cpu.microkernel import SHORT_ROWS, TILE_BYTES, TILE_ROWS

COLUMNS = TILE_BYTES // 4
WIDE = 2 * COLUMNS
SIZES = {
    "m": (0, 1, 2, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 3 * TILE_ROWS - 1, 37),
    "n": (0, 1, 5, COLUMNS - 1, COLUMNS, COLUMNS + 1, WIDE + 1, WIDE + COLUMNS - 1, WIDE + COLUMNS),
    "k": (0, 1, 2, 7, 8, 9, 17, gemm.KC - 1, gemm.KC, gemm.KC + 1, 2 * gemm.KC + 1),
}
TYPICAL = {"m": TILE_ROWS + 1, "n": WIDE + 3, "k": 19}


@pytest.fixture
def ops(dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> NumbaOps:
    """In memory full of NaN; it packs operands that are too small to gain from it, too."""
    monkeypatch.setattr(unpacked, "wins", lambda *_: False)
    ops = NumbaOps(dtype)
    ops.empty((1 << 20,))
    ops.workspace.poison()
    ops.workspace.reset()
    return ops


def check(ops: NumbaOps, m: int, n: int, k: int, trans_a: bool = False, trans_b: bool = False) -> None:
    """Into the middle of NaNs, of which none may change: with bias, with ReLU, with both, and added to that."""
    numbers = Integers(ops.dtype, seed=0)
    a, b, bias = numbers(m, k), numbers(k, n), numbers(n)
    stored = {
        "a": np.ascontiguousarray(a.T) if trans_a else a,
        "b": np.ascontiguousarray(b.T) if trans_b else b,
        "trans_a": trans_a,
        "trans_b": trans_b,
    }
    around = np.full(m * n + 2 * COLUMNS, np.nan, ops.dtype)
    out = around[COLUMNS : COLUMNS + m * n].reshape(m, n)
    whole = (a.astype(np.float64) @ b.astype(np.float64)).astype(ops.dtype)
    relu = activation("relu")
    for shift, act in ((bias, None), (None, relu), (bias, relu)):
        around.fill(np.nan)
        ops.begin_step(0)
        ops.matmul(**stored, bias=shift, activation=act, out=out)
        shifted = whole if shift is None else whole + shift
        expected = shifted if act is None else np.maximum(shifted, 0)
        assert_exact(out, expected)
    ops.matmul(**stored, out=out, accumulate=True)
    assert_exact(out, expected + whole)
    assert np.isfinite(around).sum() == m * n


@pytest.mark.parametrize(("trans_a", "trans_b"), OPTIONS)
@pytest.mark.parametrize(("one", "other"), [("m", "n"), ("m", "k"), ("n", "k")])
def test_every_pair_of_edges(ops: NumbaOps, one: str, other: str, trans_a: bool, trans_b: bool):
    for sizes in product(SIZES[one], SIZES[other]):
        check(ops, **{**TYPICAL, one: sizes[0], other: sizes[1]}, trans_a=trans_a, trans_b=trans_b)


@pytest.mark.parametrize(("trans_a", "trans_b"), OPTIONS)
def test_tall_which_splits_the_rows_too(ops: NumbaOps, trans_a: bool, trans_b: bool):
    for blocks in (1, 2, 3):
        check(ops, blocks * gemm.ROWS_PER_ITEM + 1, WIDE + 3, 11, trans_a, trans_b)


@pytest.mark.parametrize(("trans_a", "trans_b"), OPTIONS)
def test_batches_that_short_tiles_complete(ops: NumbaOps, trans_a: bool, trans_b: bool):
    for m in (SHORT_ROWS, 2 * SHORT_ROWS, TILE_ROWS + SHORT_ROWS, 2 * TILE_ROWS + 2 * SHORT_ROWS, 64, 128):
        for n in (WIDE + COLUMNS, WIDE + 3):
            check(ops, m, n, 21, trans_a, trans_b)
    for m in (SHORT_ROWS, 2 * SHORT_ROWS):
        check(ops, m, WIDE + COLUMNS + 3, 2 * gemm.KC + 5, trans_a, trans_b)


@given(m=st.integers(0, 5000))
def test_panels_hold_every_row_once(m: int):
    whole, short = gemm.panels_of(m)
    rows = [row for panel in range(whole + short) for row in _rows(panel, m)]
    assert rows == list(range(m))
    assert short < TILE_ROWS / 2
    assert m % 64 or m == 0 or whole * TILE_ROWS + short * SHORT_ROWS == m  # the batches that people take


def _rows(panel: int, m: int) -> range:
    first, count = gemm.rows_of_panel(panel, m)
    return range(first, first + count)


@pytest.mark.parametrize("trans_b", [False, True])
def test_a_single_column(ops: NumbaOps, trans_b: bool):
    """A matrix times a vector, at the edges of its own blocks."""
    item = (gemv.NUMBERS_PER_ITEM // 90 + DOT_ROWS) // DOT_ROWS * DOT_ROWS
    for size in (1, 2, 3, item - 1, item, item + 1, gemv.COLUMNS - 1, gemv.COLUMNS, 2 * gemv.COLUMNS + 1):
        for k in (0, 1, 3, 4, 90):
            check(ops, size, 1, k, trans_a=False, trans_b=trans_b)
            check(ops, size, 1, k, trans_a=True, trans_b=trans_b)
    for trans_a in (False, True):  # a row is more than an item
        check(ops, DOT_ROWS + 3, 1, gemv.NUMBERS_PER_ITEM + 1, trans_a, trans_b)


@pytest.mark.parametrize("name", [None, *(name for name, formula in FORMULAS.items() if formula.keeps == "y")])
def test_every_activation_behind_several_blocks_of_the_sum(ops: NumbaOps, name: str | None):
    numbers, act, k, n = Integers(ops.dtype, seed=1), activation(name), 2 * gemm.KC + 5, WIDE + 1
    a, b, bias = numbers(TILE_ROWS + 2, k), numbers(k, n), numbers(n)
    a /= 64
    z = a @ b + bias
    expected = z if act is None else act.f(z)
    np.testing.assert_allclose(ops.matmul(a, b, bias=bias, activation=act), expected, rtol=8 * np.finfo(ops.dtype).eps)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_reaches_its_row_and_column_alone(ops: NumbaOps, bad: float):
    """So nothing multiplies the zeros that fill a panel with another row's numbers."""
    a, b = np.ones((2 * TILE_ROWS + 1, 9), ops.dtype), np.ones((9, WIDE + 2), ops.dtype)
    a[TILE_ROWS, 3] = bad
    b[4, WIDE] = bad
    expected = np.full((len(a), b.shape[1]), 9, ops.dtype)
    expected[TILE_ROWS] = expected[:, WIDE] = bad
    assert_exact(ops.matmul(a, b), expected)


@given(k=st.integers(0, 5000))
def test_blocks_of_the_sum(k: int):
    """Equal parts of at most KC, none of them empty, as few as there can be."""
    depth = gemm.block_depth(k)
    blocks = -(-k // depth)
    assert 8 <= depth <= gemm.KC
    assert depth % 8 == 0
    assert blocks == -(-k // gemm.KC)
