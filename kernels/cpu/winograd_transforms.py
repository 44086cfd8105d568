"""The transforms of a Winograd convolution that come before its products.

    U = B^T x B   (n_v, n_h, tiles, K)      Z = A dy A^T   (n_v, n_h, tiles, O)      V = G w G^T   (n_v, n_h, K, O)

Each is a vertical transform of a tile and then a horizontal one. A point's matrix is stored in blocks of rows
(`row_blocks`): of TILE_ROWS for U V and Z V^T, all in one for U^T Z. U and Z are made of whole images and stored: read
once more for each vertical point, x would take longer than the products, at the 15 to 20 GB/s of the third-level cache.
V is larger than both and w is small, so V is made a panel of a point at a time, by the thread that multiplies with it.

A tile's numbers go to all points, short runs far apart, which the CPU does not foresee: they are asked for one vertical
point ahead (a quarter of the time of `inputs_of_image`).

Floor: U of 64 images of 14 x 14 x 64 (F(7, 2)) is 4.4 MB written, 0.11 ms at 40 GB/s.
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
def inputs_of_image(
    item: int, plan: Plan, kind: Array, first: int, images: int, per_block: int, x: Array, u: Array, middles: Array
) -> None:
    """U of the pass's tiles in image first + item of x (N, H, W, C), in blocks of per_block rows.

    Where a tile sticks out of the image the matrices are applied to what is inside: the border is zero.
    """
    g, run, middle, tables = plan.geometry, tile_width(x), middles[numba.get_thread_id()], plan.tables
    n_v, n_h, distance = kind[N_V], kind[N_H], points_apart(images * kind[TILES], g.patch, x.itemsize)
    apart = per_block * run
    vertical, horizontal = matrix(0, kind[M_V], BT), matrix(1, kind[M_H], BT)
    for t in range(kind[TILES]):
        top = plan.tiles[kind[FIRST_TILE] + t, 0] * g.stride_v - g.before_v
        left = plan.tiles[kind[FIRST_TILE] + t, 1] * g.stride_h - g.before_h
        begin, end = inside(left, 1, n_h * g.stride_h, g.size_h)
        row = (end - begin) * g.channels
        for a in range(g.stride_v):
            low, high = inside(top + a, g.stride_v, n_v, g.size_v)
            start = (((first + item) * g.size_v + top + a + low * g.stride_v) * g.size_h + left + begin) * g.channels
            apply_matrix(
                tables, vertical + low, n_v, high - low, x, start, g.stride_v * g.size_h * g.channels, run,
                middle, 0, row, run, row // run,
            )  # fmt: skip
            for b in range(g.stride_h):
                low, high = inside(b - begin, g.stride_h, n_h, end - begin)
                source = (b - begin + low * g.stride_h) * g.channels
                to = row_in_blocks(item * kind[TILES] + t, per_block, g.patch, run)
                to += (a * g.stride_h + b) * g.channels * per_block
                for i in range(n_v):
                    if i + 1 < n_v:
                        for j in range(n_h):
                            for c in range(g.channels // run):
                                expect_write(u, to + ((i + 1) * n_h + j) * distance + c * apart, run)
                    apply_matrix(
                        tables, horizontal + low, n_h, high - low,
                        middle, source + i * row, g.stride_h * g.channels, run,
                        u, to + i * n_h * distance, distance, apart, g.channels // run,
                    )  # fmt: skip


@kernel
def gradients_of_image(
    item: int,
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
    """Z, from z_at on, of the pass's tiles in image first + item of dy (N, HO, WO, O), in blocks of per_block rows."""
    g, run, middle, tables = plan.geometry, tile_width(dy), middles[numba.get_thread_id()], plan.tables
    m_v, m_h, n_v, n_h = kind[M_V], kind[M_H], kind[N_V], kind[N_H]
    distance, apart = points_apart(images * kind[TILES], g.filters, dy.itemsize), per_block * run
    vertical, horizontal, row = matrix(0, m_v, A), matrix(1, m_h, A), m_h * g.filters
    for t in range(kind[TILES]):
        top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
        start = (((first + item) * g.rows + top) * g.columns + left) * g.filters
        apply_matrix(tables, vertical, n_v, m_v, dy, start, g.columns * g.filters, run, middle, 0, row, run, row // run)
        for i in range(n_v):
            to = z_at + i * n_h * distance + row_in_blocks(item * kind[TILES] + t, per_block, g.filters, run)
            if i + 1 < n_v:
                for j in range(n_h):
                    for o in range(g.filters // run):
                        expect_write(z, to + (n_h + j) * distance + o * apart, run)
            apply_matrix(
                tables, horizontal, n_h, m_h, middle, i * row, g.filters, run,
                z, to, distance, apart, g.filters // run,
            )  # fmt: skip


@kernel
def weights_vertical(
    i: int, plan: Plan, kind: Array, phase: int, w: Array, entry: int, first: int, count: int, middle: Array, at: int
) -> None:
    """Line i of G w for `count` runs of W numbers of a phase's filter: (taps_h, count, W), from `at` on.

    In w an entry of the kernel has `entry` numbers, of which those from `first` on are taken.
    """
    g, run = plan.geometry, tile_width(w)
    a, b = phase // g.stride_h, phase % g.stride_h
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, taps_across(plan, phase)
    down, across = g.stride_v * g.kernel_h * entry, g.stride_h * entry
    vertical = matrix(0, kind[M_V], G) + i * ORDER
    for t in range(taps_h):
        start = (a * g.kernel_h + b) * entry + t * across + first
        apply_matrix(plan.tables, vertical, 1, taps_v, w, start, down, run, middle, at + t * count * run, 0, run, count)


@kernel
def taps_across(plan: Plan, phase: int) -> int:
    """Taps of a phase of the filter in a row."""
    g = plan.geometry
    return (g.kernel_h - phase % g.stride_h - 1) // g.stride_h + 1
