"""Convolution as a matrix product whose rows are read where they stand: no im2col buffer is ever written.

In memory order NHWC a row of a patch is KW*C contiguous numbers. So the micro-kernel needs no copy of the patches: it
is told where R of them begin and walks through each in KH segments. The weights are packed into panels once; a thread
takes a block of rows, keeps their part of the image in its cache and runs all panels over it.

    for each block of rows, in parallel            BLOCK_TILES*R patches
        for each block of segments                 (their part of a B panel fits the first-level cache)
            for each panel of w                    W output channels
                for each tile of R rows: one micro-tile, into a small block of results
        each finished row goes to its pixel, with bias and activation on the way

Floor: 2 N HO WO KH KW C O FLOPs; the image, the weights and the result once each. The im2col matrix, which this does
without, is KH KW/(SH SW) times the image, written and read.
"""

import numba
import numpy as np

from ..types import Array
from .epilogue import deliver
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_rows, tile_width
from .packing import pack_column_rows, pack_columns
from .sampling import Sampling, locate
from .vector import clear_run, copy_run

BLOCK_TILES = 16
"""Micro-tiles of rows in a block: 96 patches on AVX2, whose pixels fit the second-level cache."""

PANEL_BYTES = 1 << 15
"""Part of a B panel that is used in one go: what the first-level cache holds."""


def row_blocks(sampling: Sampling, tile_rows: int = TILE_ROWS) -> int:
    """Number of blocks of whole tiles, a multiple of 4, so that usual numbers of threads get equal shares."""
    tiles = -(-sampling.images * sampling.height * sampling.width // tile_rows)
    return max(1, min(-(-tiles // (4 * BLOCK_TILES)) * 4, tiles))


def scratch_sizes(sampling: Sampling, dtype: np.dtype) -> tuple[int, int]:
    """Numbers of scratch: for all B panels, and for each thread a block of results."""
    width = TILE_BYTES // dtype.itemsize
    padded = -(-sampling.columns // width) * width
    return sampling.segments * sampling.length * padded, BLOCK_TILES * TILE_ROWS * padded


@kernel
def _pad_image(
    n: int, x: Array, height: int, width: int, top: int, bottom: int, left: int, right: int, padded: Array
) -> None:
    row = left + width + right
    at = n * (top + height + bottom) * row
    clear_run(padded, at, top * row)
    for i in range(height):
        start = at + (top + i) * row
        clear_run(padded, start, left)
        copy_run(x, (n * height + i) * width, padded, start + left, width)
        clear_run(padded, start + left + width, right)
    clear_run(padded, at + (top + height) * row, bottom * row)


@parallel_kernel
def pad_image(x: Array, height: int, width: int, top: int, bottom: int, left: int, right: int, padded: Array) -> None:
    """x (N, H, W*C) flat into the middle of `padded`, with zeros around: `left` and `right` count pixels times C."""
    image = (top + height + bottom) * (left + width + right)
    fork(_pad_image, padded.size // max(image, 1), (x, height, width, top, bottom, left, right, padded))


@kernel
def _pack_weights(
    panel: int, w: Array, entries: Array, inner: int, columns: int, transposed: bool, panels: Array
) -> None:
    width = tile_width(w)
    column, k = panel * width, entries.size * inner
    for e in range(entries.size):
        at = (panel * k + e * inner) * width
        if transposed:
            start = (entries[e] * columns + column) * inner
            pack_column_rows(w, start, inner, inner, min(width, columns - column), panels, at)
        else:
            start = entries[e] * inner * columns + column
            pack_columns(w, start, columns, inner, min(width, columns - column), panels, at)


@parallel_kernel
def pack_weights(w: Array, entries: Array, inner: int, columns: int, transposed: bool, panels: Array) -> None:
    """B panels (entries*inner, columns) of w (KH*KW, inner, columns), its entries in the given order.

    transposed: w is (KH*KW, columns, inner), as an input gradient sees it.
    """
    width = tile_width(w)
    fork(_pack_weights, (columns + width - 1) // width, (w, entries, inner, columns, transposed, panels))


@kernel
def multiply_block(s: Sampling, tiles: int, source: Array, source_at: Array, panels: Array, block: Array) -> None:
    """All patches of a block, of at least one tap, times all B panels: block (tiles*R, padded columns)."""
    width = tile_width(source)
    b_panels = (s.columns + width - 1) // width
    k = s.segments * s.length
    step = max(1, PANEL_BYTES // (s.length * TILE_BYTES))
    for first in range(0, s.segments, step):
        segments = min(step, s.segments - first)
        for panel in range(b_panels):
            at = (panel * k + first * s.length) * width
            for tile in range(tiles):
                multiply_rows(
                    segments,
                    s.length,
                    source,
                    first * s.segment_stride,
                    source_at,
                    tile * TILE_ROWS,
                    s.segment_stride,
                    panels,
                    at,
                    block,
                    (tile * TILE_ROWS * b_panels + panel) * width,
                    b_panels * width,
                    first > 0,
                )


@kernel
def locate_block(
    b: int, blocks: int, tile_rows: int, s: Sampling, source_at: Array, target_at: Array
) -> tuple[int, int]:
    """First row of block b and its rows, in whole tiles; where each row's patch and its result begin."""
    tiles = (s.images * s.height * s.width + tile_rows - 1) // tile_rows
    row = tiles * b // blocks * tile_rows
    rows = tiles * (b + 1) // blocks * tile_rows - row
    image, line, column = s.source_image, s.source_row, s.source_column
    locate(row, rows, s.images, s.height, s.width, s.source_start, image, line, column, source_at)
    image, line, column = s.target_image, s.target_row, s.target_column
    locate(row, rows, s.images, s.height, s.width, s.target_start, image, line, column, target_at)
    return row, rows


@kernel
def _convolve_block(
    b: int,
    s: Sampling,
    blocks: int,
    source: Array,
    panels: Array,
    bias: Array,
    slope: float,
    y: Array,
    results: Array,
    offsets: Array,
) -> None:
    slot, total = numba.get_thread_id(), s.images * s.height * s.width
    stride = (s.columns + tile_width(y) - 1) // tile_width(y) * tile_width(y)
    source_at, target_at, block = offsets[slot, 0], offsets[slot, 1], results[slot]
    row, rows = locate_block(b, blocks, TILE_ROWS, s, source_at, target_at)
    multiply_block(s, rows // TILE_ROWS, source, source_at, panels, block)
    deliver(block, stride, min(rows, total - row), y, target_at, s.columns, bias, slope)


@parallel_kernel
def convolve(
    s: Sampling,
    blocks: int,
    source: Array,
    panels: Array,
    bias: Array,
    slope: float,
    y: Array,
    results: Array,
    offsets: Array,
) -> None:
    """y = f(patches(source) @ panels + bias); scratch: `results` and `offsets` (2, rows of a block) for each thread."""
    fork(_convolve_block, blocks, (s, blocks, source, panels, bias, slope, y, results, offsets))
