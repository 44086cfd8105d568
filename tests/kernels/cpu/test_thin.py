"""The product onto few columns on whole numbers, in poisoned memory, at the edges of tiles and blocks."""

from itertools import product

import numpy as np
import pytest
from test_gemm import check
from test_implicit_gemm import poisoned
from test_products import Integers, assert_exact

from kernels.cpu import NumbaOps, gemm, thin
from kernels.cpu.microkernel import THIN_ROWS, TILE_BYTES
from kernels.cpu.ops import products
from kernels.cpu.ops.scratch import THREADS
from kernels.cpu.target import TARGET


@pytest.fixture
def ops(dtype: np.dtype) -> NumbaOps:
    return poisoned(dtype)


def columns(dtype: np.dtype) -> list[int]:
    """Around whole vectors and whole panels, as far as products are thin."""
    lanes, width = TARGET.vector_bytes // dtype.itemsize, TILE_BYTES // dtype.itemsize
    most = thin.MOST_BYTES // dtype.itemsize
    near = {n + d for n in (lanes, width, most) for d in (-1, 0, 1)} | {2, 3}
    return sorted(n for n in near if 2 <= n <= most)


@pytest.mark.parametrize("trans_b", [False, True])
def test_rows_and_columns(ops: NumbaOps, trans_b: bool):
    for m, n in product((0, 1, 2, THIN_ROWS - 1, THIN_ROWS, THIN_ROWS + 1, 64, 401), columns(ops.dtype)):
        check(ops, m, n, 19, trans_b=trans_b)


@pytest.mark.parametrize("trans_b", [False, True])
def test_depths(ops: NumbaOps, trans_b: bool):
    """Around a vector and a block."""
    lanes = TARGET.vector_bytes // ops.dtype.itemsize
    for k in (0, 1, 3, 4, lanes - 1, lanes, lanes + 1, gemm.KC - 1, gemm.KC, gemm.KC + 1, 2 * gemm.KC + 9):
        for n in columns(ops.dtype):
            for m in (2 * THIN_ROWS + 5, 2 * thin.LEAST_TILES * THIN_ROWS + 5):  # one item, several
                check(ops, m, n, k, trans_b=trans_b)


def test_thin_up_to_so_many_columns(dtype: np.dtype):
    most = 128 // dtype.itemsize
    assert [thin.wins(n, False, dtype) for n in (2, most, most + 1)] == [True, True, False]
    assert not thin.wins(2, True, dtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("trans_b", [False, True])
def test_what_is_not_finite_reaches_its_row_and_column_alone(ops: NumbaOps, trans_b: bool, bad: float):
    """Of the numbers that follow a row of B, and of the rows that a last tile repeats, nothing is kept."""
    m, n, k = THIN_ROWS + 3, 3, 9
    a, b, expected = np.ones((m, k), ops.dtype), np.ones((k, n), ops.dtype), np.full((m, n), k, ops.dtype)
    a[m - 1, 3], b[4, 0] = bad, bad
    expected[m - 1] = expected[:, 0] = bad
    assert_exact(ops.matmul(a, np.ascontiguousarray(b.T) if trans_b else b, trans_b=trans_b), expected)


@pytest.mark.parametrize("trans_b", [False, True])
def test_scratch_is_as_large_as_what_is_written(ops: NumbaOps, trans_b: bool, monkeypatch: pytest.MonkeyPatch):
    """Poison cannot tell: what a thread writes behind its panels would be another thread's tile."""
    made, guard = [], 512

    def for_each_thread(ops: NumbaOps, count: int, dtype: np.typing.DTypeLike | None = None) -> np.ndarray:
        made.append(np.full((THREADS, count + guard), 77, dtype or ops.dtype))
        return made[-1]

    monkeypatch.setattr(products, "for_each_thread", for_each_thread)
    numbers = Integers(ops.dtype, seed=0)
    for m, n, k in product((1, 2 * THIN_ROWS - 1), columns(ops.dtype), (5, gemm.KC + 8)):
        a, b, y = numbers(m, k), numbers(k, n), np.empty((m, n), ops.dtype)
        ops.matmul(a, np.ascontiguousarray(b.T) if trans_b else b, trans_b=trans_b, out=y)
        assert_exact(y, (a.astype(np.float64) @ b).astype(ops.dtype))
    assert made
    for array in made:
        np.testing.assert_array_equal(array[:, -guard:], 77)
