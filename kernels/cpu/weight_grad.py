"""Gradient of a convolution in its weights, as a matrix product over all patches.

    dw (K, O) (+)= A^T dy        A (M, K): patch m = (n, i, j), entry k = (a, b, c)        M = N HO WO, K = KH KW C

Long and thin: the sum runs over M, the result is small. A thread takes a block of rows of dw and packs their part of
the patches straight from the image into A panels, DEPTH patches at a time. dy is packed into B panels once, for all
blocks. Where dw has few rows there is one block, which reads dy as it stands if its rows are whole panels. With few
blocks the patches are cut into chunks; each chunk has its own partial dw, and these are added in order.

Where dw has few rows and not many columns either, `direct` is faster.

Floor: 2 M K O FLOPs; the image, dy and dw once each.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from ..types import Array
from .epilogue import place
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_tile, tile_width
from .packing import PANEL_PAD, pack_columns
from .sampling import Sampling, locate
from .vector import clear_run, copy_run

DEPTH = 256
"""Patches in a block of the sum: an A panel of 6 KiB and a B panel of 16 KiB lie in the first-level cache together."""

BLOCK_PANELS = 8
"""A panels, 48 rows of dw, that a thread packs at a time."""

ITEMS = 16
"""Work items that there should be at least, so that any usual number of threads gets equal shares."""


class Partition(NamedTuple):
    """How dw is divided: blocks of its rows times chunks of the patches."""

    row_blocks: int
    chunks: int


class Panels(NamedTuple):
    """Where the B panels lie: panel p begins at p*stride, a row of it is `row` numbers from the next."""

    stride: int
    row: int


@lru_cache(maxsize=1024)
def packs(sampling: Sampling, dtype: np.dtype) -> bool:
    """Whether dy is packed: not where one block of rows reads it once, and its rows are made of whole panels."""
    return partition(sampling).row_blocks > 1 or sampling.columns % (TILE_BYTES // dtype.itemsize) > 0


@lru_cache(maxsize=1024)
def panels_of(sampling: Sampling, dtype: np.dtype) -> Panels:
    """The B panels of dy (M, O), packed or as it stands."""
    width = TILE_BYTES // dtype.itemsize
    if packs(sampling, dtype):
        return Panels(sampling.images * sampling.height * sampling.width * width, width)
    return Panels(width, sampling.columns)


@lru_cache(maxsize=1024)
def partition(sampling: Sampling) -> Partition:
    """The division of a weight gradient; a function of its shape alone."""
    panels = -(-sampling.segments * sampling.length // TILE_ROWS)
    row_blocks = -(-panels // BLOCK_PANELS)
    if row_blocks >= ITEMS:
        return Partition(-(-row_blocks // 4) * 4, 1)
    patches = sampling.images * sampling.height * sampling.width
    return Partition(row_blocks, chunks_of_patches(patches, row_blocks))


def chunks_of_patches(patches: int, row_blocks: int = 1) -> int:
    """Number of chunks of at least DEPTH patches each that makes ITEMS work items, if there are so many patches."""
    return max(1, min(-(-ITEMS // row_blocks), patches // DEPTH))


class Scratch(NamedTuple):
    """Numbers of scratch for dy's panels, the partial results, and for each thread A panels and a block of dw."""

    dy_panels: int
    partials: int
    a_panels: int
    block: int


@lru_cache(maxsize=1024)
def scratch_sizes(sampling: Sampling, dtype: np.dtype) -> Scratch:
    """What `weight_grad` needs."""
    width = TILE_BYTES // dtype.itemsize
    padded = -(-sampling.columns // width) * width
    k = sampling.segments * sampling.length
    chunks = partition(sampling).chunks
    return Scratch(
        sampling.images * sampling.height * sampling.width * padded if packs(sampling, dtype) else 0,
        chunks * k * sampling.columns if chunks > 1 else 0,
        BLOCK_PANELS * (DEPTH * TILE_ROWS + PANEL_PAD),
        BLOCK_PANELS * TILE_ROWS * padded,
    )


@kernel
def pack_patches(s: Sampling, source: Array, at: Array, depth: int, entry: int, panels: Array, start: int) -> None:
    """A panel of entries [entry, entry + R) of `depth` patches: R contiguous numbers each, unless a segment ends."""
    total = s.segments * s.length
    inside = entry % s.length
    offset = entry // s.length * s.segment_stride + inside
    if inside + TILE_ROWS <= s.length:
        for p in range(depth):
            copy_run(source, at[p] + offset, panels, start + p * TILE_ROWS, TILE_ROWS)
    else:
        clear_run(panels, start, depth * TILE_ROWS)
        for i in range(min(TILE_ROWS, total - entry)):
            offset = (entry + i) // s.length * s.segment_stride + (entry + i) % s.length
            for p in range(depth):
                copy_run(source, at[p] + offset, panels, start + p * TILE_ROWS + i, 1)


@kernel
def multiply_chunk(
    s: Sampling,
    first_panel: int,
    end_panel: int,
    first: int,
    end: int,
    source: Array,
    dy: Array,
    panels: Panels,
    offsets: Array,
    a_panels: Array,
    block: Array,
) -> None:
    """Rows of A panels [first_panel, end_panel) of dw over patches [first, end) -> block (rows, padded columns)."""
    width = tile_width(source)
    b_panels = (s.columns + width - 1) // width
    for m in range(first, max(end, first + 1), DEPTH):  # no patches: a block of zeros
        depth = min(DEPTH, end - m)
        image, row, column = s.source_image, s.source_row, s.source_column
        locate(m, depth, s.images, s.height, s.width, s.source_start, image, row, column, offsets)
        for panel in range(first_panel, end_panel):
            start = (panel - first_panel) * (DEPTH * TILE_ROWS + PANEL_PAD)
            pack_patches(s, source, offsets, depth, panel * TILE_ROWS, a_panels, start)
        for b_panel in range(b_panels):
            b_at = b_panel * panels.stride + m * panels.row
            for panel in range(end_panel - first_panel):
                start = panel * (DEPTH * TILE_ROWS + PANEL_PAD)
                c_at = (panel * TILE_ROWS * b_panels + b_panel) * width
                multiply_tile(
                    depth,
                    a_panels,
                    start,
                    TILE_ROWS,
                    dy,
                    b_at,
                    panels.row,
                    block,
                    c_at,
                    b_panels * width,
                    m > first,
                )


@kernel
def _pack_dy(item: int, dy: Array, patches: int, columns: int, panels: Array) -> None:
    width, blocks = tile_width(dy), (patches + DEPTH - 1) // DEPTH
    panel, first = item // blocks, item % blocks * DEPTH
    column, rows = panel * width, min(DEPTH, patches - first)
    at = (panel * patches + first) * width
    pack_columns(dy, first * columns + column, columns, rows, min(width, columns - column), panels, at)


@parallel_kernel
def pack_dy(dy: Array, patches: int, columns: int, panels: Array) -> None:
    """B panels (patches, W) of dy (patches, O)."""
    width = tile_width(dy)
    items = (columns + width - 1) // width * ((patches + DEPTH - 1) // DEPTH)
    fork(_pack_dy, items, (dy, patches, columns, panels))


@kernel
def _weight_grad_item(
    item: int,
    s: Sampling,
    parts: Partition,
    source: Array,
    dy: Array,
    panels: Panels,
    dw: Array,
    accumulate: bool,
    partials: Array,
    offsets: Array,
    a_panels: Array,
    blocks: Array,
) -> None:
    slot, width = numba.get_thread_id(), tile_width(source)
    entries, patches = s.segments * s.length, s.images * s.height * s.width
    a_count, padded = (entries + TILE_ROWS - 1) // TILE_ROWS, (s.columns + width - 1) // width * width
    b, chunk, block = item % parts.row_blocks, item // parts.row_blocks, blocks[slot]
    first, end = a_count * b // parts.row_blocks, a_count * (b + 1) // parts.row_blocks
    from_patch, to_patch = patches * chunk // parts.chunks, patches * (chunk + 1) // parts.chunks
    multiply_chunk(s, first, end, from_patch, to_patch, source, dy, panels, offsets[slot], a_panels[slot], block)
    for row in range(first * TILE_ROWS, min(end * TILE_ROWS, entries)):
        result, at = (row - first * TILE_ROWS) * padded, row * s.columns
        if parts.chunks > 1:
            copy_run(block, result, partials, chunk * entries * s.columns + at, s.columns)
        else:
            place(block, result, dw, at, s.columns, accumulate)


@kernel
def add_chunks(row: int, columns: int, chunks: int, size: int, partials: Array, dw: Array, accumulate: bool) -> None:
    """dw[row] (+)= the sum of that row of all partial results (chunks, size), in order."""
    for chunk in range(chunks):
        place(partials, chunk * size + row * columns, dw, row * columns, columns, accumulate or chunk > 0)


@parallel_kernel
def weight_grad(
    s: Sampling,
    parts: Partition,
    source: Array,
    dy: Array,
    panels: Panels,
    dw: Array,
    accumulate: bool,
    partials: Array,
    offsets: Array,
    a_panels: Array,
    blocks: Array,
) -> None:
    """dw (+)= patches^T dy, dy as its `panels_of` lie.

    Scratch as in `scratch_sizes`; `offsets`, `a_panels` and `blocks` have a row a thread.
    """
    entries = s.segments * s.length
    arguments = (s, parts, source, dy, panels, dw, accumulate, partials, offsets, a_panels, blocks)
    fork(_weight_grad_item, parts.row_blocks * parts.chunks, arguments)
    if parts.chunks > 1:
        fork(add_chunks, entries, (s.columns, parts.chunks, entries * s.columns, partials, dw, accumulate))
