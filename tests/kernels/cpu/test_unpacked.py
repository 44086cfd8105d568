"""The product of operands where they stand on whole numbers, in poisoned memory, at the edges of tiles and blocks."""

import time
from itertools import product

import numba
import numpy as np
import pytest
from test_gemm import check
from test_implicit_gemm import poisoned
from test_products import Integers, assert_exact

from kernels.cpu import NumbaOps, unpacked
from kernels.cpu.dot_tile import DOT_COLUMNS, DOT_ROWS
from kernels.cpu.ops import products
from kernels.cpu.ops.scratch import THREADS
from kernels.cpu.target import TARGET
from kernels.cpu.unpacked_tile import UNPACKED_BYTES, UNPACKED_ROWS, UNPACKED_VECTORS

TRANSPOSED = [(False, False), (True, False), (False, True)]
"""A^T B^T is never left unpacked."""


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


def columns(dtype: np.dtype) -> list[int]:
    """Around whole vectors and whole tiles."""
    lanes, width = TARGET.vector_bytes // dtype.itemsize, UNPACKED_BYTES // dtype.itemsize
    near = {vectors * lanes + d for vectors in range(1, UNPACKED_VECTORS + 1) for d in (-1, 0, 1)}
    return sorted(near | {2, 3, 5, DOT_COLUMNS + 1, 2 * width - 1, 3 * width} - {1})


def depths(dtype: np.dtype) -> list[int]:
    """Around a vector, and around blocks for one vector of columns and for dot products."""
    lanes, numbers = TARGET.vector_bytes // dtype.itemsize, unpacked.DEPTH_BYTES // dtype.itemsize
    near = {depth + d for depth in (lanes, numbers // DOT_ROWS, numbers // lanes) for d in (-1, 0, 1)}
    return sorted(near | {0, 1, 3, 2 * numbers // lanes + 9})


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSED)
def test_rows_and_columns(ops: NumbaOps, trans_a: bool, trans_b: bool):
    for m, n in product((0, 1, 2, UNPACKED_ROWS - 1, UNPACKED_ROWS, UNPACKED_ROWS + 1, 64, 401), columns(ops.dtype)):
        check(ops, m, n, 19, trans_a, trans_b)


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSED)
def test_depths(ops: NumbaOps, trans_a: bool, trans_b: bool):
    for n, k in product((2, 10, 33), depths(ops.dtype)):
        check(ops, 2 * UNPACKED_ROWS + 5, n, k, trans_a, trans_b)


@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSED)
def test_several_items(ops: NumbaOps, trans_a: bool, trans_b: bool):
    """Of rows, of columns, and of both."""
    for m, n, k in ((2003, 7, 100), (16, 3001, 10), (16, 3001, 0), (301, 405, 70)):
        check(ops, m, n, k, trans_a, trans_b)


def test_unpacked_are_few_columns_and_a_small_matrix(dtype: np.dtype):
    few, many = UNPACKED_BYTES // dtype.itemsize, unpacked.MOST_B_BYTES // dtype.itemsize
    assert [unpacked.wins(few, many, trans_a, False, dtype) for trans_a in (False, True)] == [True, True]
    assert [unpacked.wins(n, 1, False, False, dtype) for n in (many, many + 1)] == [True, False]
    assert [unpacked.wins(n, 1, False, True, dtype) for n in (few, few + 1)] == [True, False]
    assert not unpacked.wins(2, 1, True, True, dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("trans_a", "trans_b"), TRANSPOSED)
def test_what_is_not_finite_reaches_its_row_and_column_alone(ops: NumbaOps, trans_a: bool, trans_b: bool, bad: float):
    """Of the numbers that follow a row of B in its last vector nothing is kept, nor of those behind a dot product."""
    m, n, k = UNPACKED_ROWS + 3, 3, 9
    a, b, expected = np.ones((m, k), ops.dtype), np.ones((k, n), ops.dtype), np.full((m, n), k, ops.dtype)
    a[m - 1, 3], b[4, 0] = bad, bad
    expected[m - 1] = expected[:, 0] = bad
    stored_a, stored_b = np.ascontiguousarray(a.T) if trans_a else a, np.ascontiguousarray(b.T) if trans_b else b
    assert_exact(ops.matmul(stored_a, stored_b, trans_a=trans_a, trans_b=trans_b), expected)


@pytest.mark.skipif(numba.get_num_threads() == 1, reason="has one thread")
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="runs on one thread")
def test_each_thread_has_scratch_of_its_own(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch):
    """Which thread takes an item is up to the machine: sooner or later another one takes some, too."""
    made = np.full((THREADS, unpacked.scratch_size(ops.dtype)), 77, ops.dtype)
    monkeypatch.setattr(products, "for_each_thread", lambda *_: made)
    numbers = Integers(ops.dtype, seed=0)
    a, b = numbers(2003, 100), numbers(100, 7)
    expected, written = (a.astype(np.float64) @ b).astype(ops.dtype), 0
    deadline = time.monotonic() + 30
    while written < 2 and time.monotonic() < deadline:
        ops.begin_step(0)
        assert_exact(ops.matmul(a, b), expected)
        written = (made != 77).any(axis=1).sum()
    assert written > 1, "all threads wrote to the scratch memory of one"


def test_scratch_is_as_large_as_what_is_written(ops: NumbaOps, monkeypatch: pytest.MonkeyPatch):
    """Poison cannot tell: what a thread writes behind its rows would be another thread's."""
    made, guard = [], 512

    def for_each_thread(ops: NumbaOps, count: int, dtype: np.typing.DTypeLike | None = None) -> np.ndarray:
        made.append(np.full((THREADS, count + guard), 77, dtype or ops.dtype))
        return made[-1]

    monkeypatch.setattr(products, "for_each_thread", for_each_thread)
    numbers = Integers(ops.dtype, seed=0)
    for m, n, k in product((1, 2 * UNPACKED_ROWS - 1), columns(ops.dtype), (5, 70)):
        a, b, y = numbers(m, k), numbers(k, n), np.empty((m, n), ops.dtype)
        ops.matmul(a, b, out=y)
        assert_exact(y, (a.astype(np.float64) @ b).astype(ops.dtype))
    assert made
    assert any((array != 77).any() for array in made)
    for array in made:
        np.testing.assert_array_equal(array[:, -guard:], 77)
