"""Matrix times vector: the products of a layer with one output, such as every discriminator's last.

    y (M,) = A (M, K) b (K,)       a dot product for each row, in parallel over rows
    y (M,) = A^T b, A (K, M)       rows of A added with weights b, in parallel over blocks of columns

Nothing is used twice, so there is nothing to pack: the floor is reading A once, four rows at a time, which the cache
delivers side by side. A micro-tile would compute W columns for the one that there is.
"""

from ..types import Array
from .epilogue import finish
from .fork import fork
from .jit import REASSOCIATE, kernel, parallel_kernel

NUMBERS_PER_ITEM = 1 << 14
"""Numbers of A that a work item reads, about, in whole fours of rows: some two microseconds. Less is not worth a
thread's waking up."""

COLUMNS = 256
"""Columns of A^T that a work item takes at least: a kilobyte of each row."""


@kernel(fastmath=REASSOCIATE)
def _dot_rows(
    item: int, rows: int, a: Array, m: int, k: int, b: Array, bias: Array, slope: float, add: bool, y: Array
) -> None:
    first, end, zero = item * rows, min(m, (item + 1) * rows), y.dtype.type(0)
    fours = first + (end - first) // 4 * 4
    for i in range(first, fours, 4):
        row0, row1, row2, row3 = a[i * k :], a[(i + 1) * k :], a[(i + 2) * k :], a[(i + 3) * k :]
        total0, total1, total2, total3 = zero, zero, zero, zero
        for p in range(k):
            total0 += row0[p] * b[p]
            total1 += row1[p] * b[p]
            total2 += row2[p] * b[p]
            total3 += row3[p] * b[p]
        four = y[i : i + 4]
        if not add:
            four[:] = zero
        four[0] += total0
        four[1] += total1
        four[2] += total2
        four[3] += total3
    for i in range(fours, end):
        row, total = a[i * k : (i + 1) * k], zero
        for p in range(k):
            total += row[p] * b[p]
        y[i] = y[i] + total if add else total
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
def matvec(a: Array, m: int, k: int, trans_a: bool, b: Array, bias: Array, slope: float, add: bool, y: Array) -> None:
    """y (M,) (+)= f(op(a) b + bias (1,) or empty), everything flat."""
    arguments, lines = (a, m, k, b, bias, slope, add, y), (NUMBERS_PER_ITEM // max(k, 1) + 4) // 4 * 4
    if trans_a:
        columns = max(COLUMNS, lines)
        fork(_add_rows, (m + columns - 1) // columns, (columns, *arguments))
    else:
        fork(_dot_rows, (m + lines - 1) // lines, (lines, *arguments))
