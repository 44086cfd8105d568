"""Matrix product y (M, N) = f(op(a) (M, K) op(b) (K, N) + bias) on all cores: blocked for the caches, packed, tiled.

    for each block of K (KC at most)              its panels of B fit the second-level cache
        in parallel: pack all of A's block        (M, KC) as A panels, shared by all threads
        in parallel over panels of B              W columns each, a few at a time if they are short
            for each A panel: one micro-tile      R x W of y in registers, while the next panel's rows are fetched
                the first one packs the panel     (KC, W), read M/R times from the cache
            behind the last block: bias and activation, while the rows of y are still near

B is packed just in time by the thread that needs it, so its panel never leaves the core (for a few rows of A it is not
packed at all). Only M x N is partitioned and the order of the sum over K is fixed, so the bits do not depend on the
number of threads.

Floor: 2 M N K FLOPs; the bytes of a, b and y once each, and of y once more for every further block of K.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from ..types import Array
from .epilogue import finish, place
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import SHORT_ROWS, TILE_BYTES, TILE_ROWS, multiply_short_tile, multiply_tile, tile_width
from .packing import PANEL_PAD, pack_column_rows, pack_columns, pack_row_columns, pack_rows
from .packing_tile import ROWS_AHEAD, multiply_and_pack
from .target import TARGET
from .vector import expect_read

KC = 1024
"""Depth of a block of K: a B panel takes KC*TILE_BYTES = 64 KiB on AVX2, and streams from the second-level cache, which
a micro-tile asks for a third of what it can give. With 512, where a panel fits the first-level cache, y is read and
written twice as often: 2 to 5 % slower (measured on Zen 3)."""

GROUP_BYTES = 1 << 15
"""Panels of B are packed a few at a time where they are short: then rows of y are written in longer runs."""

PACKED_PER_ITEM = 1 << 13
"""Numbers of A that a work item packs at least: less is not worth a thread's waking up."""

FEW_PANELS = 2
"""Panels of A, none of them whole, for which B is not packed: (8 x 256) x 784 takes 0.8 of the time so, on one core."""

DEPTH_ASKED_FOR = KC if TARGET.asks_ahead else 2 * ROWS_AHEAD
"""Rows of the deepest panels of B that are asked for while those before are multiplied (`ask_for_rows`)."""

FEW_ITEMS = 16
ROWS_PER_ITEM = 16 * TILE_ROWS
"""With fewer than FEW_ITEMS groups of panels the rows of y are split too, in items of at least ROWS_PER_ITEM."""


def block_depth(k: int) -> int:
    """Depth of the blocks of K: equal parts of at most KC, rounded up to a multiple of 8, at least 8."""
    blocks = max(1, (k + KC - 1) // KC)
    return max(((k + blocks - 1) // blocks + 7) // 8 * 8, 8)


def panels_per_item(depth: int) -> int:
    """Panels of B that are packed together, at most 4."""
    return max(1, min(4, GROUP_BYTES // max(depth * TILE_BYTES, 1)))


def panels_of(m: int) -> tuple[int, int]:
    """Number of A panels of TILE_ROWS rows, and of those of SHORT_ROWS that follow.

    Short ones where that leaves no edge: 64 = 10*6 + 4, 128 = 20*6 + 2*4 rows. Else the last panel is not filled.
    """
    for short in range(TILE_ROWS // 2):
        rest = m - short * SHORT_ROWS
        if rest >= 0 and rest % TILE_ROWS == 0:
            return rest // TILE_ROWS, short
    return (m + TILE_ROWS - 1) // TILE_ROWS, 0


@lru_cache(maxsize=1024)
def scratch_sizes(m: int, k: int, dtype: np.dtype) -> tuple[int, int]:
    """Numbers of scratch: for all A panels of one block, and for each thread a B panel and a micro-tile."""
    depth, width = block_depth(k), TILE_BYTES // dtype.itemsize
    group = panels_per_item(min(depth, k))
    return sum(panels_of(m)) * (TILE_ROWS * depth + PANEL_PAD), (group * depth + TILE_ROWS) * width


_block_depth, _panels_per_item, _panels_of = kernel(block_depth), kernel(panels_per_item), kernel(panels_of)


@kernel
def rows_of_panel(panel: int, m: int) -> tuple[int, int]:
    """First row and number of rows of an A panel."""
    whole, _ = _panels_of(m)
    if panel < whole:
        return panel * TILE_ROWS, min(TILE_ROWS, m - panel * TILE_ROWS)
    return whole * TILE_ROWS + (panel - whole) * SHORT_ROWS, SHORT_ROWS


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
    slope: float  # of an activation that `epilogue.fuses`


@kernel
def pack_a(item: int, p: Product, count: int, a: Array, k0: int, depth: int, panels: Array) -> None:
    """Pack A panels item*count and following of the block [k0, k0 + depth)."""
    whole, short = _panels_of(p.m)
    for panel in range(item * count, min((item + 1) * count, whole + short)):
        row, rows = rows_of_panel(panel, p.m)
        at = panel * (TILE_ROWS * depth + PANEL_PAD)
        if p.trans_a:
            pack_row_columns(a, k0 * p.lda + row, p.lda, rows, depth, panels, at)
        else:
            pack_rows(a, row * p.lda + k0, p.lda, rows, depth, panels, at)


@kernel
def ask_for_rows(part: int, parts: int, b: Array, start: int, ldb: int, depth: int, columns: int) -> None:
    """Prefetch one of `parts` equal parts of the panels of B that come next: `depth` short rows, far apart.

    The CPU foresees long runs only. Asked for while the panels before are multiplied, rows of a B from memory (64 rows
    of A times 100 x 6272) took 1.49 ms in place of 1.81 on Zen 3, and 5 to 15 % less for weights of 256 to 1024 rows.
    These took 5 to 16 % more on Cascade Lake, where what `multiply_and_pack` asks for is enough.
    """
    for row in range(depth * part // parts, depth * (part + 1) // parts):
        expect_read(b, start + row * ldb, columns)


@kernel
def multiply_item(
    item: int,
    p: Product,
    group: int,
    row_blocks: int,
    panels: Array,
    b: Array,
    k0: int,
    depth: int,
    buffers: Array,
    bias: Array,
    y: Array,
) -> None:
    """A few panels of B, packed, times one of `row_blocks` blocks of A panels.

    A tile that sticks out of y is computed in full behind the B panel, and what belongs to y copied from there. For
    one or two A panels, each of fewer rows than a tile, B is not worth packing and, untransposed, read in place.
    """
    width, (whole, short), b_panels = tile_width(y), _panels_of(p.m), buffers[numba.get_thread_id()]
    total = whole + short
    column, block = item // row_blocks * group, item % row_blocks
    end, edge = min(p.n, column + group), depth * group
    first, behind = total * block // row_blocks, total * (block + 1) // row_blocks
    packs = not p.trans_b and rows_of_panel(first, p.m)[1] == TILE_ROWS
    in_place = not p.trans_b and not packs and behind - first <= FEW_PANELS
    for q in range(column, end, width):
        at, columns = (q - column) * depth, min(width, end - q)
        if p.trans_b:
            pack_column_rows(b, q * p.ldb + k0, p.ldb, depth, columns, b_panels, at)
        elif columns < width or not (packs or in_place):
            pack_columns(b, k0 * p.ldb + q, p.ldb, depth, columns, b_panels, at)
    add, last = p.accumulate or k0 > 0, k0 + depth == p.k
    asks = depth <= DEPTH_ASKED_FOR and not p.trans_b and block + 1 == row_blocks
    following = min(p.n, end + group) - end if asks else 0
    for panel in range(first, behind):
        if following:
            ask_for_rows(panel - first, behind - first, b, k0 * p.ldb + end, p.ldb, depth, following)
        (row, rows), start = rows_of_panel(panel, p.m), panel * (TILE_ROWS * depth + PANEL_PAD)
        for q in range(column, end, width):
            at, columns, target = (q - column) * depth, min(width, end - q), row * p.n + q
            source, ldb = b_panels, width
            if in_place and columns == width:
                source, at, ldb = b, k0 * p.ldb + q, p.ldb
            if packs and panel == first and columns == width:
                multiply_and_pack(depth, panels, start, b, k0 * p.ldb + q, p.ldb, b_panels, at, y, target, p.n, add)
            elif rows == TILE_ROWS and columns == width:
                multiply_tile(depth, panels, start, TILE_ROWS, source, at, ldb, y, target, p.n, add)
            elif rows == SHORT_ROWS and columns == width:
                multiply_short_tile(depth, panels, start, TILE_ROWS, source, at, ldb, y, target, p.n, add)
            else:
                multiply_tile(depth, panels, start, TILE_ROWS, source, at, ldb, b_panels, edge, width, False)
                for i in range(rows):
                    place(b_panels, edge + i * width, y, target + i * p.n, columns, add)
        if last and (bias.size or p.slope != 1):
            for i in range(rows):
                finish(y, (row + i) * p.n + column, end - column, bias, column, p.slope)


@parallel_kernel
def matmul(
    m: int,
    n: int,
    k: int,
    lda: int,
    ldb: int,
    trans_a: bool,
    trans_b: bool,
    accumulate: bool,
    slope: float,
    panels: Array,
    buffers: Array,
    a: Array,
    b: Array,
    bias: Array,
    y: Array,
) -> None:
    """A `Product`, with scratch of `scratch_sizes`: all A panels of a block, and a row of `buffers` for each thread.

    Its fields come one by one: until a plan is compiled Numba would unpack a named tuple in each call.
    """
    p = Product(m, n, k, lda, ldb, trans_a, trans_b, accumulate, slope)
    block = _block_depth(p.k)
    group, (whole, short) = _panels_per_item(min(block, p.k)) * tile_width(y), _panels_of(p.m)
    columns = (p.n + group - 1) // group
    row_blocks = 1 if columns >= FEW_ITEMS else max(1, min(p.m // ROWS_PER_ITEM, FEW_ITEMS // max(columns, 1)))
    for k0 in range(0, max(p.k, 1), block):
        depth = min(block, p.k - k0)
        each = (PACKED_PER_ITEM - 1) // (TILE_ROWS * max(depth, 1)) + 1
        fork(pack_a, (whole + short + each - 1) // each, (p, each, a, k0, depth, panels))
        fork(multiply_item, columns * row_blocks, (p, group, row_blocks, panels, b, k0, depth, buffers, bias, y))
