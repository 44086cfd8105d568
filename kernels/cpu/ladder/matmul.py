"""The ladder of the matrix product: y (M, N) = a (M, K) b (K, N), five times, each rung one idea faster.

All of them do 2 M N K FLOPs. What differs is how many bytes move for them, and between which caches and registers: a
core multiplies and adds faster than it can load what it multiplies. With S bytes a number, the bytes that have to come
from memory are S (M K + K N + M N), which no rung can avoid; those of y in the first-level cache are what the last one
does away with. The sixth rung, the product that the backend computes with, is `kernels/cpu/gemm.py`.

Blocks are cut from the shapes alone, and each number of y is summed in one order.
"""

from collections.abc import Callable

import numpy as np

from ...types import Array
from ..epilogue import place
from ..jit import kernel
from ..microkernel import TILE_ROWS, multiply_tile, tile_width
from ..packing import PANEL_PAD, pack_columns, pack_rows

DEPTH, WIDTH = 64, 512
"""Rows and columns of a block of b: 128 KiB of float32, a quarter of a usual second-level cache."""

PANEL_DEPTH = 256
"""Columns of a block of a, and rows of a panel of b: a panel takes half of a usual first-level cache."""

BLOCK_PANELS = 32
"""Panels in a block of a: 192 rows on AVX2, 192 KiB of float32."""


@kernel
def naive(a: Array, b: Array, y: Array) -> None:
    """The definition, y[i, j] = sum_p a[i, p] b[p, j], as three loops.

    Bytes: the inner loop walks down a column of b, N numbers apart, and so fetches a cache line (64 bytes) for each
    number that it uses. Once the K lines of a column do not fit a cache, that is 64 M N K bytes. Neither can it use
    vector instructions: they load neighbours, and the sum is a chain of additions, each waiting for the one before.
    """
    (m, k), n = a.shape, b.shape[1]
    for i in range(m):
        for j in range(n):
            total = y.dtype.type(0)
            for p in range(k):
                total += a[i, p] * b[p, j]
            y[i, j] = total


@kernel
def reordered(a: Array, b: Array, y: Array) -> None:
    """The two inner loops exchanged: row i of y is the sum of the rows of b, each times a number of row i of a.

    Faster: the inner loop runs along memory, in b and in y. All of a cache line is used, the hardware sees the next
    one coming, and LLVM makes vector instructions of the loop, for no addition waits for another.
    Bytes: all of b for each row of y, S M N K, from whichever cache holds b; and in the first-level cache, for each
    multiply-add, a load of b, a load of y and a store of y.
    """
    (m, k), n = a.shape, b.shape[1]
    y[:] = 0
    for i in range(m):
        row = y[i]
        for p in range(k):
            factor, run = a[i, p], b[p]
            for j in range(n):
                row[j] += factor * run[j]


@kernel
def _add_product(factors: Array, matrix: Array, top: int, left: int, row: Array) -> None:
    """row (C,) += factors (R,) times the R x C block of a matrix whose corner is (top, left), four rows at a time."""
    depth, columns = factors.size, slice(left, left + row.size)
    for p in range(0, depth - 3, 4):
        f0, f1, f2, f3 = factors[p], factors[p + 1], factors[p + 2], factors[p + 3]
        q = top + p
        run0, run1 = matrix[q, columns], matrix[q + 1, columns]
        run2, run3 = matrix[q + 2, columns], matrix[q + 3, columns]
        for j in range(row.size):
            row[j] += f0 * run0[j] + f1 * run1[j] + f2 * run2[j] + f3 * run3[j]
    for p in range(depth // 4 * 4, depth):
        factor, run = factors[p], matrix[top + p, columns]
        for j in range(row.size):
            row[j] += factor * run[j]


@kernel
def blocked(a: Array, b: Array, y: Array) -> None:
    """The same in blocks of b that stay in a cache: all rows of y meet one block before the next one is fetched.

    Faster: b comes from memory once, not M times. And once a row of y is loaded, four rows of the block are added to
    it before it is stored, so it is loaded and stored a quarter as often: blocking for the registers, in small.
    Bytes: b once; a once for every WIDTH columns, S M K N/WIDTH; y read and written once for every DEPTH rows of b,
    2 S M N K/DEPTH. In the first-level cache, for each multiply-add, a load of b and a quarter of a load and a store.
    """
    (m, k), n = a.shape, b.shape[1]
    y[:] = 0
    for k0 in range(0, k, DEPTH):
        for j0 in range(0, n, WIDTH):
            for i in range(m):
                _add_product(a[i, k0 : k0 + DEPTH], b, k0, j0, y[i, j0 : j0 + WIDTH])


@kernel
def packed(a: Array, b: Array, y: Array) -> None:
    """The same, with each block of b copied to memory of its own first, where its rows lie end to end.

    Faster: in b the rows of a block lie N numbers apart. A cache keeps an address in one of a few places that its low
    bits choose; rows that lie a large power of two apart compete for the same ones, and push each other out of a cache
    that is mostly empty. They also lie on as many pages, more than the processor remembers the places of.
    Bytes: those of `blocked`, and 2 S K N for the copy, which M rows share.
    """
    (m, k), n = a.shape, b.shape[1]
    block = np.empty((DEPTH, WIDTH), b.dtype)
    y[:] = 0
    for k0 in range(0, k, DEPTH):
        for j0 in range(0, n, WIDTH):
            width = min(WIDTH, n - j0)
            for p in range(min(DEPTH, k - k0)):
                for j in range(width):
                    block[p, j] = b[k0 + p, j0 + j]
            for i in range(m):
                _add_product(a[i, k0 : k0 + DEPTH], block, 0, 0, y[i, j0 : j0 + width])


@kernel
def microkernel(a: Array, b: Array, y: Array) -> None:
    """Tiles of y, R x W numbers, that stay in the vector registers while a panel of a meets a panel of b.

    Faster: y leaves the first-level cache's traffic altogether. A step of a tile loads R + W numbers for R W
    multiply-adds, where a row at a time loads one for each: now the multiply-adds are what there is to wait for. A
    compiler does not do this of itself, hence LLVM by hand (`microkernel.py`). Both operands are packed into panels in
    the order in which the tile reads them (`packing.py`), which also fills up the edges.
    Bytes: y read and written once for every PANEL_DEPTH of k; b read, packed and read again for every block of a,
    which waits in the second-level cache; a once.
    """
    (m, k), n = a.shape, b.shape[1]
    from_a, from_b, to_y, width = a.reshape(-1), b.reshape(-1), y.reshape(-1), tile_width(y)
    size = TILE_ROWS * PANEL_DEPTH + PANEL_PAD
    a_block, b_panel = np.empty(BLOCK_PANELS * size, a.dtype), np.empty(PANEL_DEPTH * width, b.dtype)
    edge = np.empty(TILE_ROWS * width, y.dtype)
    y[:] = 0
    for k0 in range(0, k, PANEL_DEPTH):
        depth = min(PANEL_DEPTH, k - k0)
        for i0 in range(0, m, BLOCK_PANELS * TILE_ROWS):
            rows = min(BLOCK_PANELS * TILE_ROWS, m - i0)
            for i in range(0, rows, TILE_ROWS):
                pack_rows(from_a, (i0 + i) * k + k0, k, min(TILE_ROWS, rows - i), depth, a_block, i // TILE_ROWS * size)
            for j in range(0, n, width):
                columns = min(width, n - j)
                pack_columns(from_b, k0 * n + j, n, depth, columns, b_panel, 0)
                for i in range(0, rows, TILE_ROWS):
                    panel, at = i // TILE_ROWS * size, (i0 + i) * n + j
                    if rows - i >= TILE_ROWS and columns == width:
                        multiply_tile(depth, a_block, panel, TILE_ROWS, b_panel, 0, width, to_y, at, n, True)
                    else:  # a tile that sticks out of y is computed elsewhere, and what belongs to y is added
                        multiply_tile(depth, a_block, panel, TILE_ROWS, b_panel, 0, width, edge, 0, width, False)
                        for r in range(min(TILE_ROWS, rows - i)):
                            place(edge, r * width, to_y, at + r * n, columns, True)


PRODUCTS: dict[str, Callable[[Array, Array, Array], None]] = {
    "naive": naive,
    "reordered": reordered,
    "blocked": blocked,
    "packed": packed,
    "microkernel": microkernel,
}
"""Product by rung: overwrites y. All run on one thread."""
