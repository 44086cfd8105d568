"""Matrix product y (M, N) = f(op(a) (M, K) op(b) (K, N) + bias) on all cores: blocked for the caches, packed, tiled.

    for each block of K (KC at most)              its panels of B fit the first-level cache
        in parallel: pack all of A's block        (M, KC) as A panels, shared by all threads
        in parallel over panels of B              W columns each
            pack the panel                        (KC, W), read M/R times from the first-level cache
            for each A panel: one micro-tile      R x W of y in registers
        behind the last block: bias and activation, while the columns of y are still near

B is packed just in time by the thread that needs it, so its panel never leaves the core. Only M x N is partitioned and
the order of the sum over K is fixed, so the bits do not depend on the number of threads.

Floor: 2 M N K FLOPs; the bytes of a, b and y once each, and of y once more for every further block of K.
"""

from typing import NamedTuple

import numba
import numpy as np

from ..types import Array
from .epilogue import finish, place
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_tile, tile_width
from .packing import PANEL_PAD, pack_column_rows, pack_columns, pack_row_columns, pack_rows

KC = 512
"""Depth of a block of K: a B panel takes KC*TILE_BYTES = 32 KiB on AVX2. 256 and 384 measured the same within noise."""

FEW_PANELS = 16
ROWS_PER_ITEM = 16 * TILE_ROWS
"""With fewer than FEW_PANELS panels of B the rows of y are split too, in items of at least ROWS_PER_ITEM."""


def block_depth(k: int) -> int:
    """Depth of the blocks of K: equal parts of at most KC, rounded up to a multiple of 8, at least 8."""
    blocks = max(1, (k + KC - 1) // KC)
    return max(((k + blocks - 1) // blocks + 7) // 8 * 8, 8)


def panels_of(m: int) -> int:
    """Number of A panels."""
    return (m + TILE_ROWS - 1) // TILE_ROWS


def scratch_sizes(m: int, k: int, dtype: np.dtype) -> tuple[int, int]:
    """Numbers of scratch: for all A panels of one block, and for each thread a B panel and a micro-tile."""
    depth, width = block_depth(k), TILE_BYTES // dtype.itemsize
    return panels_of(m) * (TILE_ROWS * depth + PANEL_PAD), (depth + TILE_ROWS) * width


_block_depth, _panels_of = kernel(block_depth), kernel(panels_of)


class Product(NamedTuple):
    """y (M, N) = f(op(a) op(b) + bias), all row-major in flat arrays with the given row strides."""

    m: int
    n: int
    k: int
    lda: int
    ldb: int
    trans_a: bool
    trans_b: bool
    accumulate: bool  # add to y instead
    code: int  # of an activation that `epilogue.fuses`
    slope: float


@kernel
def pack_a(panel: int, p: Product, a: Array, k0: int, depth: int, panels: Array) -> None:
    """Pack A panel number `panel` of the block [k0, k0 + depth)."""
    row = panel * TILE_ROWS
    rows = min(TILE_ROWS, p.m - row)
    at = panel * (TILE_ROWS * depth + PANEL_PAD)
    if p.trans_a:
        pack_row_columns(a, k0 * p.lda + row, p.lda, rows, depth, panels, at)
    else:
        pack_rows(a, row * p.lda + k0, p.lda, rows, depth, panels, at)


@kernel
def multiply_item(
    item: int,
    p: Product,
    row_blocks: int,
    panels: Array,
    b: Array,
    k0: int,
    depth: int,
    buffers: Array,
    bias: Array,
    y: Array,
) -> None:
    """One panel of B, packed, times one of `row_blocks` blocks of A panels.

    A tile that sticks out of y is computed in full behind the B panel, and what belongs to y copied from there.
    """
    width, total, b_panel = tile_width(y), _panels_of(p.m), buffers[numba.get_thread_id()]
    column, block = item // row_blocks * width, item % row_blocks
    columns, edge = min(width, p.n - column), depth * width
    if p.trans_b:
        pack_column_rows(b, column * p.ldb + k0, p.ldb, depth, columns, b_panel, 0)
    else:
        pack_columns(b, k0 * p.ldb + column, p.ldb, depth, columns, b_panel, 0)
    add, last = p.accumulate or k0 > 0, k0 + depth == p.k
    for panel in range(total * block // row_blocks, total * (block + 1) // row_blocks):
        row, start = panel * TILE_ROWS, panel * (TILE_ROWS * depth + PANEL_PAD)
        rows, target = min(TILE_ROWS, p.m - row), row * p.n + column
        if rows == TILE_ROWS and columns == width:
            multiply_tile(depth, panels, start, TILE_ROWS, b_panel, 0, width, y, target, p.n, add)
        else:
            multiply_tile(depth, panels, start, TILE_ROWS, b_panel, 0, width, b_panel, edge, width, False)
            for i in range(rows):
                place(b_panel, edge + i * width, y, target + i * p.n, columns, add)
        if last and (bias.size or p.code):
            for i in range(rows):
                finish(y, target + i * p.n, columns, bias, column, p.code, p.slope)


@parallel_kernel
def matmul(p: Product, a: Array, b: Array, bias: Array, y: Array, panels: Array, buffers: Array) -> None:
    """The product, with scratch of `scratch_sizes`: all A panels of a block, and a row of `buffers` for each thread."""
    b_panels = (p.n + tile_width(y) - 1) // tile_width(y)
    row_blocks = 1 if b_panels >= FEW_PANELS else max(1, min(p.m // ROWS_PER_ITEM, FEW_PANELS // max(b_panels, 1)))
    block = _block_depth(p.k)
    for k0 in range(0, max(p.k, 1), block):
        depth = min(block, p.k - k0)
        fork(pack_a, _panels_of(p.m), (p, a, k0, depth, panels))
        fork(multiply_item, b_panels * row_blocks, (p, row_blocks, panels, b, k0, depth, buffers, bias, y))
