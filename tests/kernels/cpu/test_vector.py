"""The vector toolbox against its definitions, between NaNs: nothing else is written, nothing else reaches a result."""

from collections.abc import Callable

import numba
import numpy as np
import pytest

from kernels.cpu import vector
from kernels.cpu.target import TARGET

GAP = 7


def compiled(intrinsic: Callable[..., None]) -> Callable[..., None]:
    """An intrinsic as a function that Python can call."""
    return numba.njit(lambda *arguments: intrinsic(*arguments))


def nans(count: int, dtype: np.dtype) -> np.ndarray:
    return np.full(count, np.nan, dtype)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-9, 10, shape)


@pytest.mark.parametrize("count", [0, 1, 3, 8, 17, 1000])
def test_copy_and_clear(dtype: np.dtype, count: int):
    source, target = nans(count + 2 * GAP, dtype), nans(count + 3 * GAP, dtype)
    source[GAP : GAP + count] = numbers(count)
    expected = target.copy()
    compiled(vector.copy_run)(source, GAP, target, 2 * GAP, count)
    expected[2 * GAP : 2 * GAP + count] = numbers(count)
    np.testing.assert_array_equal(target, expected)
    compiled(vector.clear_run)(target, 2 * GAP, count)
    expected[2 * GAP : 2 * GAP + count] = 0
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("vectors", [0, 1, 2, 5])
def test_copy_of_whole_vectors(dtype: np.dtype, vectors: int):
    count = vectors * TARGET.vector_bytes // dtype.itemsize
    source, target = nans(count + 2 * GAP, dtype), nans(count + 3 * GAP, dtype)
    source[GAP : GAP + count] = numbers(count)
    expected = target.copy()
    expected[2 * GAP : 2 * GAP + count] = numbers(count)
    compiled(vector.copy_vectors)(source, GAP, target, 2 * GAP, vectors)
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("most_rows", [1, 2, 3, 4, 6, 8, 12, 16, 100])
def test_transpose(dtype: np.dtype, most_rows: int, monkeypatch: pytest.MonkeyPatch):
    """Rows that are not there are not read: behind the last one the source is NaN."""
    lanes = TARGET.vector_bytes // dtype.itemsize
    rows, row_stride, column_stride = min(lanes, most_rows), lanes + 3, lanes + 5
    block = numbers(rows, lanes)
    source, target = nans(GAP + lanes * row_stride, dtype), nans(GAP + lanes * column_stride, dtype)
    source[GAP:].reshape(lanes, row_stride)[:rows, :lanes] = block
    expected = target.copy()
    expected[GAP:].reshape(lanes, column_stride)[:, :lanes] = 0
    expected[GAP:].reshape(lanes, column_stride)[:, :rows] = block.T
    own = compiled(vector.transpose_of(most_rows))
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    for transpose in (own, vector.transpose_of(most_rows)):
        result = target.copy()
        transpose(source, GAP, row_stride, result, GAP, column_stride)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("rows", [3, 6])
def test_transposed_columns_may_overlap(dtype: np.dtype, rows: int):
    """With a column_stride of as many rows as there are, each column overwrites the zeros of the one before it."""
    lanes = TARGET.vector_bytes // dtype.itemsize
    rows = min(rows, lanes)
    block, target = numbers(rows, lanes).astype(dtype), nans(lanes * rows + lanes, dtype)
    compiled(vector.transpose_of(rows))(block.reshape(-1), 0, lanes, target, 0, rows)
    np.testing.assert_array_equal(target[: lanes * rows].reshape(lanes, rows), block.T)
    np.testing.assert_array_equal(target[lanes * rows :][: lanes - rows], 0)
    assert np.isnan(target[lanes * rows + lanes - rows :]).all()
