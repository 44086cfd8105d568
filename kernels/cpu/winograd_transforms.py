"""The transforms of a Winograd convolution that come before its products.

    U = B^T x B   (n_v, n_h, tiles, K)      Z = A dy A^T   (n_v, n_h, tiles, O)      V = G w G^T   (n_v, n_h, K, O)

Each is a vertical transform of a tile and then a horizontal one. A point's matrix is stored in blocks of rows
(`row_blocks`): of TILE_ROWS for U V and Z V^T, all in one for U^T Z. U and Z are made of whole tiles and stored: read
once more for each vertical point, x would take longer than the products, at the 15 to 20 GB/s of the third-level cache.
V is larger than both and w is small, so V is made a panel of a point at a time, by the thread that multiplies with it.

A tile's numbers go to all points, W of them to each, far apart. A core of Cascade Lake takes 2.6 ns for a cache line of
the third-level cache in a run of many, which it foresees, and 6 to 8 in runs of two. So a pass's tiles are numbered
place by place, those of all images at a place of the image next to each other, and a work item is as many of them (for
U, a vertical phase of as many) as a block has rows. Their numbers at a point are one run, of 1.5 KB with AVX-512: U of
64 images of 14 x 14 x 64 takes one core 0.9 ms in place of 1.2. Shorter runs, 384 bytes with AVX2, are asked for one
vertical point ahead. That makes few items, 6 for Z of 64 tiles with AVX-512: more cores than that have nothing to do.

Floor: U of 64 images of 14 x 14 x 64 (F(7, 2)) is 4.2 MB written, 0.11 ms at 40 GB/s.
"""

import numba

from ..types import Array
from .jit import kernel
from .microkernel import TILE_ROWS, tile_width
from .row_blocks import row_in_blocks
from .small_matrix import apply_matrix
from .vector import expect_write
from .winograd_plan import (
    BT,
    FIRST_TILE,
    LARGEST_TILE,
    M_H,
    M_V,
    N_H,
    N_V,
    ORDER,
    TILES,
    A,
    G,
    Plan,
    apart,
)

FORESEEN = 1024
"""Bytes of a run that the CPU foresees. To ask for longer ones costs 1 to 3 % of a forward pass with AVX-512, for 384
bytes it saves 4 % of a weight gradient with AVX2."""

distance_of = kernel(apart)
"""`apart`, for kernels."""


@kernel
def points_apart(tiles: int, columns: int, itemsize: int) -> int:
    """From a point's U (tiles, K) or Z (tiles, O) to the next, with room for what the last block of rows lacks."""
    return distance_of(tiles + TILE_ROWS, columns, itemsize)


@kernel
def matrix(axis: int, outputs: int, which: int) -> int:
    """Where a matrix of F(outputs, taps) for the vertical (0) or horizontal (1) axis begins in `Plan.tables`."""
    return ((axis * (LARGEST_TILE + 1) + outputs) * 6 + which) * ORDER * ORDER


@kernel
def inside(first: int, step: int, count: int, size: int) -> tuple[int, int]:
    """The range of k in 0..count for which first + k*step lies in 0..size."""
    low = min(count, max(0, (step - 1 - first) // step))
    return low, max(low, min(count, (size - first + step - 1) // step))


@kernel
def tile_blocks(rows: int) -> int:
    """Blocks of TILE_ROWS tiles, of which the last may have fewer."""
    return (rows + TILE_ROWS - 1) // TILE_ROWS


@kernel
def same_place(row: int, end: int, images: int) -> tuple[int, int, int]:
    """Of tiles row..end of a pass: the place in the image of the first, its image, and how many images follow there."""
    t, n = row // images, row % images
    return t, n, min(end - row, images - n)


@kernel
def inputs_of_block(
    item: int, plan: Plan, kind: Array, first: int, images: int, per_block: int, x: Array, u: Array, middles: Array
) -> None:
    """U of a vertical phase of a block of the pass's tiles, of x (N, H, W, C), in blocks of per_block rows.

    Where a tile sticks out of the image the matrices are applied to what is inside: the border is zero.
    """
    g, run, middle, tables = plan.geometry, tile_width(x), middles[numba.get_thread_id()], plan.tables
    n_v, n_h, rows = kind[N_V], kind[N_H], images * kind[TILES]
    distance, blocks, down = points_apart(rows, g.patch, x.itemsize), tile_blocks(rows), g.stride_v * g.size_h
    a, begin_row = item // blocks, item % blocks * TILE_ROWS
    r, end_row = begin_row, min(begin_row + TILE_ROWS, rows)
    while r < end_row:
        t, n, count = same_place(r, end_row, images)
        top = plan.tiles[kind[FIRST_TILE] + t, 0] * g.stride_v - g.before_v + a
        left = plan.tiles[kind[FIRST_TILE] + t, 1] * g.stride_h - g.before_h
        low, high = inside(top, g.stride_v, n_v, g.size_v)
        begin, end = inside(left, 1, n_h * g.stride_h, g.size_h)
        row = (end - begin) * g.channels
        for i in range(count):
            start = (((first + n + i) * g.size_v + top + low * g.stride_v) * g.size_h + left + begin) * g.channels
            apply_matrix(
                tables, matrix(0, kind[M_V], BT) + low, n_v, high - low, x, start, down * g.channels, run,
                middle, i * n_v * row, row, run, row // run,
            )  # fmt: skip
        for b in range(g.stride_h):
            low, high = inside(b - begin, g.stride_h, n_h, end - begin)
            to = row_in_blocks(r, per_block, g.patch, run) + (a * g.stride_h + b) * g.channels * per_block
            _to_points(
                tables, matrix(1, kind[M_H], BT) + low, n_v, n_h, high - low, count,
                middle, (b - begin + low * g.stride_h) * g.channels, g.stride_h * g.channels, row, g.channels,
                u, to, distance, per_block * run,
            )  # fmt: skip
        r += count


@kernel
def gradients_of_block(
    block: int,
    plan: Plan,
    kind: Array,
    first: int,
    images: int,
    per_block: int,
    dy: Array,
    z: Array,
    z_at: int,
    middles: Array,
) -> None:
    """Z, from z_at on, of a block of the pass's tiles, of dy (N, HO, WO, O), in blocks of per_block rows."""
    g, run, middle, tables = plan.geometry, tile_width(dy), middles[numba.get_thread_id()], plan.tables
    m_v, m_h, n_v, n_h, rows = kind[M_V], kind[M_H], kind[N_V], kind[N_H], images * kind[TILES]
    distance, row = points_apart(rows, g.filters, dy.itemsize), m_h * g.filters
    r, end_row = block * TILE_ROWS, min((block + 1) * TILE_ROWS, rows)
    while r < end_row:
        t, n, count = same_place(r, end_row, images)
        top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
        for i in range(count):
            start = (((first + n + i) * g.rows + top) * g.columns + left) * g.filters
            apply_matrix(
                tables, matrix(0, m_v, A), n_v, m_v, dy, start, g.columns * g.filters, run,
                middle, i * n_v * row, row, run, row // run,
            )  # fmt: skip
        _to_points(
            tables, matrix(1, m_h, A), n_v, n_h, m_h, count, middle, 0, g.filters, row, g.filters,
            z, z_at + row_in_blocks(r, per_block, g.filters, run), distance, per_block * run,
        )  # fmt: skip
        r += count


@kernel
def _to_points(
    tables: Array,
    which: int,
    n_v: int,
    n_h: int,
    inputs: int,
    tiles: int,
    middle: Array,
    start: int,
    step: int,
    row: int,
    channels: int,
    points: Array,
    at: int,
    distance: int,
    panel: int,
) -> None:
    """The points of neighbours (tiles, n_v, row) after the vertical transform, whose columns begin `step` apart.

    At a point they are one run of memory; from a point to the next it is `distance`, to the next W channels `panel`.
    """
    run = tile_width(points)
    foreseen = tiles * run * points.itemsize >= FORESEEN
    for i in range(n_v):
        for c in range(channels // run):
            if not foreseen and i + 1 < n_v:
                for j in range(n_h):
                    expect_write(points, at + ((i + 1) * n_h + j) * distance + c * panel, tiles * run)
            apply_matrix(
                tables, which, n_h, inputs, middle, start + i * row + c * run, step, n_v * row,
                points, at + i * n_h * distance + c * panel, distance, run, tiles,
            )  # fmt: skip


@kernel
def weights_vertical(
    i: int,
    plan: Plan,
    kind: Array,
    phase: int,
    w: Array,
    entry: int,
    first: int,
    step: int,
    count: int,
    middle: Array,
    at: int,
) -> None:
    """Line i of G w for `count` runs of W numbers of a phase's filter: (taps_h, count, W), from `at` on.

    In w an entry of the kernel has `entry` numbers, of which the runs from `first` on are taken, `step` apart.
    """
    g, run = plan.geometry, tile_width(w)
    a, b = phase // g.stride_h, phase % g.stride_h
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, taps_across(plan, phase)
    down, across = g.stride_v * g.kernel_h * entry, g.stride_h * entry
    vertical = matrix(0, kind[M_V], G) + i * ORDER
    for t in range(taps_h):
        start = (a * g.kernel_h + b) * entry + t * across + first
        to = at + t * count * run
        apply_matrix(plan.tables, vertical, 1, taps_v, w, start, down, step, middle, to, 0, run, count)


@kernel
def taps_across(plan: Plan, phase: int) -> int:
    """Taps of a phase of the filter in a row."""
    g = plan.geometry
    return (g.kernel_h - phase % g.stride_h - 1) // g.stride_h + 1
