"""The products of a Winograd convolution, a line of points at a time, and the horizontal inverse transform.

A work item is a vertical point i and a panel, W columns of the product (for a weight gradient: BLOCK_ROWS rows). It
multiplies the n_h points of the line and undoes the horizontal transform at once, so the products themselves are never
stored as a whole.

    forward          lines of y   (m_h, tiles, O)      = (U_i V_i) A          K summed
    input gradient   lines of dx  (n_h, tiles, K)      = (Z_i V_i^T) B^T      O summed
    weight gradient  lines of dw  (taps, K, O)         = (U_i^T Z_i) G        tiles summed

`winograd_inverse.py` sums the lines over i, each with its weight in the vertical transform. W = numbers of a
micro-tile's row; everything here works on runs of W channels.
"""

import numba

from ..types import Array
from .jit import kernel
from .microkernel import TILE_ROWS, multiply_panels, multiply_rows, tile_width
from .small_matrix import apply_matrix
from .vector import copy_run
from .winograd_plan import AT, GT, M_H, MOST_TILES, N_H, TILES, X_AT, Z_AT, B, Plan
from .winograd_scratch import Scratch
from .winograd_transforms import distance_of, matrix, transform_weights

BLOCK_ROWS = 8 * TILE_ROWS
"""Rows of dw in a block of a weight gradient: their part of U, a point at a time, fits the first-level cache."""


@kernel
def multiply_points(
    points: int,
    rows: int,
    k: int,
    a: Array,
    at: int,
    stride: int,
    apart: int,
    table: Array,
    panels: Array,
    products: Array,
) -> None:
    """products (points, rows in whole tiles, W) = a (points, rows, k) times panels (points, k, W).

    Rows of `a` lie `stride` apart from `at` on, its points `apart`.
    """
    run, whole = tile_width(a), (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for r in range(whole):
        table[r] = min(r, rows - 1) * stride  # what sticks out of the last tile repeats the last row
    for j in range(points):
        panel, product = j * k * run, j * whole * run
        for r in range(0, whole, TILE_ROWS):
            multiply_rows(1, k, a, at + j * apart, table, r, 0, panels, panel, products, product + r * run, run, False)


@kernel
def forward_line(
    item: int, plan: Plan, kind: Array, images: int, u: Array, w: Array, out: Array, scratch: Scratch
) -> None:
    """A line of y for W filters from U and w in panels."""
    g, run, slot = plan.geometry, tile_width(u), numba.get_thread_id()
    panels, products, middle = scratch.panels[slot], scratch.products[slot], scratch.middle[slot]
    m_h, n_h, rows = kind[M_H], kind[N_H], images * kind[TILES]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    i, panel = item // (g.filters // run), item % (g.filters // run)
    entry, taps = g.channels * run, g.kernel_v * g.kernel_h
    for phase in range(g.stride_v * g.stride_h):
        at = phase * g.channels * run
        transform_weights(
            i, plan, kind, phase, w, entry, entry * taps * panel, g.channels, panels, at, g.patch * run, middle
        )
    line, to = distance_of(rows, plan.u_row, u.itemsize), distance_of(rows, plan.z_row, u.itemsize)
    multiply_points(n_h, rows, g.patch, u, i * n_h * line, plan.u_row, line, scratch.table[slot], panels, products)
    apply_matrix(
        plan.tables, matrix(1, m_h, AT), m_h, n_h, products, 0, whole * run, run,
        out, i * m_h * to + panel * run, to, plan.z_row, rows,
    )  # fmt: skip


@kernel
def input_grad_line(item: int, plan: Plan, images: int, z: Array, w: Array, out: Array, scratch: Scratch) -> None:
    """A line of dx for W channels of a phase from Z and w in panels."""
    g, run, slot = plan.geometry, tile_width(z), numba.get_thread_id()
    panels, products, middle = scratch.panels[slot], scratch.products[slot], scratch.middle[slot]
    number, i = plan.lines[item // (g.patch // run)]
    k, kind = item % (g.patch // run) * run, plan.kinds[number]
    m_h, n_h, rows = kind[M_H], kind[N_H], images * kind[TILES]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    phase, entry, taps = k // g.channels, g.filters * run, g.kernel_v * g.kernel_h
    start = entry * taps * (k % g.channels // run)
    transform_weights(i, plan, kind, phase, w, entry, start, g.filters, panels, 0, g.filters * run, middle)
    from_, to = distance_of(rows, plan.z_row, z.itemsize), distance_of(rows, plan.u_row, z.itemsize)
    start = kind[Z_AT] + i * n_h * from_
    multiply_points(n_h, rows, g.filters, z, start, plan.z_row, from_, scratch.table[slot], panels, products)
    apply_matrix(
        plan.tables, matrix(1, m_h, B), n_h, n_h, products, 0, whole * run, run,
        out, kind[X_AT] + i * n_h * to + k, to, plan.u_row, rows,
    )  # fmt: skip


@kernel
def weight_grad_line(
    item: int, plan: Plan, kind: Array, images: int, u: Array, z: Array, out: Array, scratch: Scratch
) -> None:
    """A line of dw for BLOCK_ROWS channels of the phases from U and Z."""
    g, run, slot = plan.geometry, tile_width(u), numba.get_thread_id()
    product, block = scratch.products[slot], scratch.block[slot]
    n_h, tiles, taps = kind[N_H], images * kind[TILES], (g.kernel_h - 1) // g.stride_h + 1
    blocks = (g.patch + BLOCK_ROWS - 1) // BLOCK_ROWS
    i, k = item // blocks, item % blocks * BLOCK_ROWS
    rows = min(BLOCK_ROWS, g.patch - k)
    u_apart, z_apart = distance_of(tiles, plan.u_row, u.itemsize), distance_of(tiles, plan.z_row, u.itemsize)
    for first in range(0, tiles, MOST_TILES):
        depth = min(MOST_TILES, tiles - first)
        for j in range(n_h):
            for t in range(depth):
                copy_run(u, (i * n_h + j) * u_apart + (first + t) * plan.u_row + k, block, t * BLOCK_ROWS, rows)
            for o in range(0, g.filters, run):
                for r in range(0, rows, TILE_ROWS):
                    multiply_panels(
                        depth, block, r, BLOCK_ROWS,
                        z, (i * n_h + j) * z_apart + first * plan.z_row + o, plan.z_row,
                        product, (j * BLOCK_ROWS + r) * g.filters + o, g.filters, first > 0,
                    )  # fmt: skip
    apply_matrix(
        plan.tables, matrix(1, kind[M_H], GT), taps, n_h, product, 0, BLOCK_ROWS * g.filters, run,
        out, (i * taps * g.patch + k) * g.filters, g.patch * g.filters, run, rows * g.filters // run,
    )  # fmt: skip
