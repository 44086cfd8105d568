"""Sums over rows and over samples of arrays flattened to one axis, in float64 as in the reference.

A thread works on whole blocks of rows, so what is added to what depends on shapes alone.

Floor: memory, which each kernel reads once.
"""

import numpy as np

from ..types import Array
from .fork import fork
from .jit import REASSOCIATE, kernel, parallel_kernel
from .lines import fold


@kernel
def sum_lanes(x: Array, lanes: Array) -> None:
    """lanes = sums of the elements `lanes.size` apart: several rows side by side where rows are short.

    Four rows are added for each time that the sums are loaded and stored.
    """
    width = lanes.size
    lanes[:] = 0
    behind = x.size // (4 * width) * (4 * width)
    for at in range(0, behind, 4 * width):
        a, b = x[at : at + width], x[at + width : at + 2 * width]
        c, d = x[at + 2 * width : at + 3 * width], x[at + 3 * width : at + 4 * width]
        for i in range(width):
            lanes[i] += (np.float64(a[i]) + b[i]) + (np.float64(c[i]) + d[i])
    for at in range(behind, x.size, width):
        row = x[at : at + width]
        for i in range(row.size):
            lanes[i] += row[i]


@kernel
def _sum_block(block: int, x: Array, length: int, partial: Array) -> None:
    sum_lanes(x[block * length : (block + 1) * length], partial[block])


@parallel_kernel
def sum_rows(x: Array, length: int, y: Array, partial: Array, accumulate: bool) -> None:
    """y (C,) (+)= sum of the rows of x.

    `partial`, float64 of shape (blocks, lanes), holds the sums of each block of `length` elements of x. Its lanes are a
    multiple of C, and `length` one of the lanes.
    """
    fork(_sum_block, partial.shape[0], (x, length, partial))
    fold(partial, y.size)
    for c in range(y.size):
        y[c] = y[c] + partial[0, c] if accumulate else partial[0, c]


@kernel(fastmath=REASSOCIATE)
def _squared_norm(n: int, x: Array, y: Array) -> None:
    features = x.size // y.size
    sample = x[n * features : (n + 1) * features]
    total = 0.0
    for i in range(features):
        total += np.float64(sample[i]) * np.float64(sample[i])
    y[n] = total


@parallel_kernel
def squared_norms(x: Array, y: Array) -> None:
    """y[n] = sum of x[n, ...]^2, for x flat."""
    fork(_squared_norm, y.size, (x, y))
