"""Matrix times vector: the products of a layer with one output, such as every discriminator's last.

    y (M,) = A (M, K) b (K,)       a dot product for each row, in parallel over rows
    y (M,) = A^T b, A (K, M)       rows of A added with weights b, in parallel over blocks of columns

Nothing is used twice, so there is nothing to pack: the floor is reading A once, some rows at a time, which the cache
delivers side by side. A micro-tile would compute W columns for the one that there is.
"""

from ..types import Array
from .dot_tile import DOT_ROWS, multiply_dots
from .epilogue import finish
from .fork import fork
from .jit import kernel, parallel_kernel

NUMBERS_PER_ITEM = 1 << 16
"""Numbers of A that a work item reads, about, in whole tiles of rows: some eight microseconds. Two threads that share
less gain nothing: 64 rows of 1000 numbers, transposed, took 18 us in items of a quarter of this size, and 16 in one."""

COLUMNS = 256
"""Columns of A^T that a work item takes at least: a kilobyte of each row."""


@kernel
def _dot_rows(
    item: int, rows: int, a: Array, m: int, k: int, b: Array, bias: Array, slope: float, add: bool, y: Array
) -> None:
    first, end = item * rows, min(m, (item + 1) * rows)
    multiply_dots(end - first, 1, k, a, first * k, k, b, 0, k, y, first, 1, add)
    if bias.size or slope != 1:
        for i in range(first, end):
            finish(y, i, 1, bias, 0, slope)


@kernel
def _add_rows(
    item: int, columns: int, a: Array, m: int, k: int, b: Array, bias: Array, slope: float, add: bool, y: Array
) -> None:
    first = item * columns
    count = min(m, first + columns) - first
    run, shift = y[first : first + count], bias[0] if bias.size else y.dtype.type(0)
    if not add:
        run[:] = shift
    fours = k // 4 * 4
    for p in range(0, fours, 4):
        at = p * m + first
        row0, row1, row2, row3 = a[at:], a[at + m :], a[at + 2 * m :], a[at + 3 * m :]
        weight0, weight1, weight2, weight3 = b[p], b[p + 1], b[p + 2], b[p + 3]
        for i in range(count):
            run[i] += (weight0 * row0[i] + weight1 * row1[i]) + (weight2 * row2[i] + weight3 * row3[i])
    for p in range(fours, k):
        row, weight = a[p * m + first : p * m + first + count], b[p]
        for i in range(count):
            run[i] += weight * row[i]
    finish(y, first, count, bias[:0], 0, slope)


@parallel_kernel
def matvec(a: Array, trans_a: bool, b: Array, bias: Array, slope: float, add: bool, y: Array) -> None:
    """y (M, 1) (+)= f(op(a) b (K, 1) + bias (1,) or empty)."""
    m, k = (a.shape[1], a.shape[0]) if trans_a else a.shape
    arguments = a.ravel(), m, k, b.ravel(), bias, slope, add, y.ravel()
    lines = (NUMBERS_PER_ITEM // max(k, 1) + DOT_ROWS) // DOT_ROWS * DOT_ROWS
    if trans_a:
        columns = max(COLUMNS, lines)
        fork(_add_rows, (m + columns - 1) // columns, (columns, *arguments))
    else:
        fork(_dot_rows, (m + lines - 1) // lines, (lines, *arguments))
