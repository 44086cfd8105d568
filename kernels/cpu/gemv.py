"""Matrix times vector: the products of a layer with one output, such as every discriminator's last.

    y (M,) = A (M, K) b (K,)       a dot product for each row, in parallel over rows
    y (M,) = A^T b, A (K, M)       rows of A added with weights b, in parallel over blocks of columns

Nothing is used twice, so there is nothing to pack: the floor is reading A once. A micro-tile would compute W columns
for the one that there is.
"""

from ..types import Array
from .epilogue import finish
from .fork import fork
from .jit import REASSOCIATE, kernel, parallel_kernel

ROWS = 16
"""Rows of A in a work item."""

COLUMNS = 256
"""Columns of A in a work item: a kilobyte of each row."""


@kernel(fastmath=REASSOCIATE)
def _dot_rows(item: int, a: Array, m: int, k: int, b: Array, bias: Array, slope: float, add: bool, y: Array) -> None:
    for i in range(item * ROWS, min(m, (item + 1) * ROWS)):
        row, total = a[i * k : (i + 1) * k], y.dtype.type(0)
        for p in range(k):
            total += row[p] * b[p]
        y[i] = y[i] + total if add else total
        finish(y, i, 1, bias, 0, slope)


@kernel
def _add_rows(item: int, a: Array, m: int, k: int, b: Array, bias: Array, slope: float, add: bool, y: Array) -> None:
    first = item * COLUMNS
    count = min(m, first + COLUMNS) - first
    run, shift = y[first : first + count], bias[0] if bias.size else y.dtype.type(0)
    if not add:
        run[:] = shift
    for p in range(k):
        row, weight = a[p * m + first : p * m + first + count], b[p]
        for i in range(count):
            run[i] += weight * row[i]
    finish(y, first, count, bias[:0], 0, slope)


@parallel_kernel
def matvec(a: Array, m: int, k: int, trans_a: bool, b: Array, bias: Array, slope: float, add: bool, y: Array) -> None:
    """y (M,) (+)= f(op(a) b + bias (1,) or empty), everything flat."""
    arguments = (a, m, k, b, bias, slope, add, y)
    if trans_a:
        fork(_add_rows, (m + COLUMNS - 1) // COLUMNS, arguments)
    else:
        fork(_dot_rows, (m + ROWS - 1) // ROWS, arguments)
