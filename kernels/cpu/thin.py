"""Matrix product onto few columns: y (M, N) = f(a (M, K) op(b) (K, N) + bias) with N of a few vectors.

    in parallel over blocks of y's rows
        for each block of K (KC at most)
            pack the block of B                   (KC, W), each item its own
            for each tile of THIN_ROWS rows of A, read where they stand
                for each vector of columns        a thin micro-tile, and from there to y
        bias and activation

`gemm` packs all of A, to read it once for each panel of B; with one panel that is as much work as the product, and
panels of B, which it divides among threads, are too few. Here B is the small operand. Items that shared one packed B
would wait for each other, and then for its lines to come from another core's cache: (64 x 1000) x 8 took as long on two
cores as on one. A^T stays with `gemm`, which packs it in runs of R numbers and so soon.

Floor: 2 M N K FLOPs, N rounded up to whole vectors; the bytes of a, b and y once each.
"""

import numba
import numpy as np

from ..types import Array
from .epilogue import finish, place
from .fork import fork
from .gemm import Product, block_depth
from .jit import kernel, parallel_kernel
from .microkernel import THIN_ROWS, TILE_BYTES, multiply_thin_rows, tile_width
from .packing import pack_column_rows, pack_columns
from .target import TARGET

VECTOR_BYTES = TARGET.vector_bytes

MOST_BYTES = 128
"""Of a thin row of y: 32 columns of float32."""

LEAST_TILES = 3
"""Tiles in an item, at least: the work of fewer is soon no more than that of packing B for them."""

PRODUCTS_PER_ITEM = 1 << 16
"""Multiply-adds in an item, about: some two microseconds. Fewer are not worth a thread's waking up."""

_block_depth = kernel(block_depth)


def wins(n: int, trans_a: bool, dtype: np.dtype) -> bool:
    """Whether N is so small, and a stands as it is."""
    return n * dtype.itemsize <= MOST_BYTES and not trans_a


def scratch_size(n: int, k: int, dtype: np.dtype) -> int:
    """Numbers of scratch for each thread: a micro-tile, and behind it a block of B."""
    width = TILE_BYTES // dtype.itemsize
    return THIN_ROWS * width + -(-n // width) * width * block_depth(k)


@kernel
def _multiply_tile(
    row: int, rows: int, p: Product, a: Array, k0: int, depth: int, panels: Array, tile: Array, table: Array, y: Array
) -> None:
    """A tile of `rows` <= THIN_ROWS rows of y, (+)= its part of the block of K whose B is packed."""
    lanes, width = VECTOR_BYTES // y.itemsize, tile_width(y)
    for i in range(THIN_ROWS):
        table[i] = min(row + i, p.m - 1) * p.lda
    for q in range(0, p.n, lanes):
        panel, columns, add = q // width * width * depth + q % width, min(lanes, p.n - q), p.accumulate or k0 > 0
        fits = rows == THIN_ROWS and columns == lanes
        target, at, apart = (y, row * p.n + q, p.n) if fits else (tile, 0, lanes)
        multiply_thin_rows(1, depth, a, k0, table, 0, 0, panels, panel, target, at, apart, add and fits)
        if not fits:
            for i in range(rows):
                place(tile, i * lanes, y, (row + i) * p.n + q, columns, add)


@kernel
def _multiply_rows(
    item: int, p: Product, rows: int, a: Array, b: Array, bias: Array, y: Array, buffers: Array, tables: Array
) -> None:
    """Rows item*rows and following of y."""
    width, block, slot = tile_width(y), _block_depth(p.k), numba.get_thread_id()
    tile, panels = buffers[slot, : THIN_ROWS * width], buffers[slot, THIN_ROWS * width :]
    first, end = item * rows, min(p.m, (item + 1) * rows)
    for k0 in range(0, max(p.k, 1), block):
        depth = min(block, p.k - k0)
        for q in range(0, p.n, width):
            if p.trans_b:
                pack_column_rows(b, q * p.ldb + k0, p.ldb, depth, min(width, p.n - q), panels, q * depth)
            else:
                pack_columns(b, k0 * p.ldb + q, p.ldb, depth, min(width, p.n - q), panels, q * depth)
        for row in range(first, end, THIN_ROWS):
            _multiply_tile(row, min(THIN_ROWS, end - row), p, a, k0, depth, panels, tile, tables[slot], y)
    if bias.size or p.slope != 1:
        for row in range(first, end):
            finish(y, row * p.n, p.n, bias, 0, p.slope)


@parallel_kernel
def matmul(
    m: int,
    n: int,
    k: int,
    ldb: int,
    trans_b: bool,
    accumulate: bool,
    slope: float,
    buffers: Array,
    tables: Array,
    a: Array,
    b: Array,
    bias: Array,
    y: Array,
) -> None:
    """A `gemm.Product`; `buffers`, of `scratch_size`, and `tables`, of THIN_ROWS, have a row a thread."""
    p = Product(m, n, k, k, ldb, False, trans_b, accumulate, slope)
    tiles = max(LEAST_TILES, PRODUCTS_PER_ITEM // max(THIN_ROWS * n * k, 1))
    rows = min(tiles, (m + THIN_ROWS - 1) // THIN_ROWS) * THIN_ROWS
    fork(_multiply_rows, (m + rows - 1) // max(rows, 1), (p, rows, a, b, bias, y, buffers, tables))
