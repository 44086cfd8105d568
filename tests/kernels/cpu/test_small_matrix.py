"""Small matrices applied to runs of numbers: exact on whole numbers, and nothing touched between the runs."""

import numba
import numpy as np
import pytest

from kernels.cpu import small_matrix
from kernels.cpu.small_matrix import MOST_INPUTS
from kernels.cpu.target import TARGET

GAP = 3
"""Numbers before and between what may be touched; all of them are NaN."""


def spread(values: np.ndarray, stride: int, step: int) -> np.ndarray:
    """Runs (rows, columns, W) flat behind a gap: row i, column c at GAP + i*stride + c*step, NaN elsewhere."""
    rows, columns, width = values.shape
    flat = np.full(GAP + rows * stride + columns * step + width, np.nan, values.dtype)
    for i in range(rows):
        for c in range(columns):
            flat[GAP + i * stride + c * step :][:width] = values[i, c]
    return flat


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("inputs", range(MOST_INPUTS + 1))
@pytest.mark.parametrize("outputs", [1, 2, 6])
def test_overwrites_or_adds(dtype: np.dtype, outputs: int, inputs: int, count: int, monkeypatch: pytest.MonkeyPatch):
    """Over NaN, then once more added to that; columns of runs far apart, rows between them; the twin does the same."""
    width = TARGET.tile_bytes // dtype.itemsize
    numbers = np.random.default_rng(inputs)
    matrix = np.full((outputs, MOST_INPUTS), np.nan, dtype)
    matrix[:, :inputs] = numbers.integers(-4, 5, (outputs, inputs))
    flat = np.concatenate([np.full(GAP, np.nan, dtype), matrix.ravel()])
    runs = numbers.integers(-9, 10, (inputs, count, width)).astype(dtype)
    product = np.einsum("oi,icw->ocw", matrix[:, :inputs], runs).astype(dtype)
    s_stride, s_step = width + 1, inputs * (width + 1) + 2
    t_stride, t_step = count * (width + 3) + 1, width + 3
    source, empty = spread(runs, s_stride, s_step), spread(np.full_like(product, np.nan), t_stride, t_step)
    compiled = small_matrix.apply_matrix, small_matrix.add_matrix
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    for overwrite, add in compiled, (small_matrix._multiply(add=False), small_matrix._multiply(add=True)):
        target = empty.copy()
        where = (flat, GAP, outputs, inputs, source, GAP, s_stride, s_step, target, GAP, t_stride, t_step, count)
        overwrite(*where)
        np.testing.assert_array_equal(target, spread(product, t_stride, t_step))
        add(*where)
        np.testing.assert_array_equal(target, spread(2 * product, t_stride, t_step))
