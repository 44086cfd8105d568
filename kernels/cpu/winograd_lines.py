"""The products of a Winograd convolution, a line of points at a time, and the horizontal inverse transform.

A work item is a vertical point i, a kind of tile and a range of its tiles. It multiplies the n_h points of the line and
undoes the horizontal transform at once, so the products themselves are never stored as a whole.

    forward          lines of y   (m_h, tiles, O)      = (U_i V_i) A          K summed
    input gradient   lines of dx  (n_h, tiles, K)      = (Z_i V_i^T) B^T      O summed
    weight gradient  lines of dw  (taps, K, O)         = (U_i^T Z_i) G        tiles summed

`winograd.py` sums the lines over i, each with its weight in the vertical transform. W = numbers of a micro-tile's row;
everything here works on runs of W channels.
"""

from typing import NamedTuple

import numba

from ..types import Array
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_ROWS, multiply_panels, multiply_rows, tile_width
from .packing import pack_column_rows
from .small_matrix import apply_matrix
from .vector import copy_run
from .winograd_plan import AT, BLOCK_TILES, GT, M_H, N_H, TILES, U_AT, W_AT, X_AT, Y_AT, Z_AT, B, Plan
from .winograd_transforms import matrix, transform_weights

BLOCK_ROWS = 8 * TILE_ROWS
"""Rows of dw in a block of a weight gradient: their part of U, a point at a time, fits the first-level cache."""


class Scratch(NamedTuple):
    """Memory of each thread, a row of each array."""

    v: Array  # W rows of a line of V
    panels: Array  # the panels of V that a line is multiplied by
    products: Array
    middle: Array  # a transform that is half done
    table: Array  # int64: where the rows of a product begin


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
def _forward_line(item: int, plan: Plan, u: Array, w: Array, out: Array, scratch: Scratch) -> None:
    g, run, slot = plan.geometry, tile_width(u), numba.get_thread_id()
    panels, products, middle = scratch.panels[slot], scratch.products[slot], scratch.middle[slot]
    number, i, first, end = plan.lines[item]
    kind, rows = plan.kinds[number], end - first
    m_h, n_h, in_batch = kind[M_H], kind[N_H], g.images * kind[TILES]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    start = kind[U_AT] + (i * n_h * in_batch + first) * plan.u_row
    to = kind[Y_AT] + (i * m_h * in_batch + first) * plan.z_row
    entry, taps = g.channels * run, g.kernel_v * g.kernel_h
    for o in range(0, g.filters, run):
        for phase in range(g.stride_v * g.stride_h):
            at = phase * g.channels * run
            transform_weights(
                i, plan, kind, phase, w, entry, entry * taps * (o // run), g.channels, panels, at, g.patch * run, middle
            )
        multiply_points(
            n_h, rows, g.patch, u, start, plan.u_row, in_batch * plan.u_row, scratch.table[slot], panels, products
        )
        apply_matrix(
            plan.tables, matrix(1, m_h, AT), m_h, n_h, products, 0, whole * run, run,
            out, to + o, in_batch * plan.z_row, plan.z_row, rows,
        )  # fmt: skip


@parallel_kernel
def forward_lines(plan: Plan, u: Array, w: Array, out: Array, scratch: Scratch) -> None:
    """Lines of y from U and w in panels (O/W, KH, KW, C, W), where what becomes a panel of V lies side by side."""
    fork(_forward_line, plan.lines.shape[0], (plan, u, w, out, scratch))


@kernel
def _input_grad_line(item: int, plan: Plan, z: Array, w: Array, out: Array, scratch: Scratch) -> None:
    g, run, slot = plan.geometry, tile_width(z), numba.get_thread_id()
    v, panels, products, middle = scratch.v[slot], scratch.panels[slot], scratch.products[slot], scratch.middle[slot]
    number, i, first, end = plan.lines[item]
    kind, rows = plan.kinds[number], end - first
    m_h, n_h, in_batch = kind[M_H], kind[N_H], g.images * kind[TILES]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    start = kind[Z_AT] + (i * n_h * in_batch + first) * plan.z_row
    to = kind[X_AT] + (i * n_h * in_batch + first) * plan.u_row
    for k in range(0, g.patch, run):
        phase, c, entry = k // g.channels, k % g.channels, g.channels * g.filters
        transform_weights(i, plan, kind, phase, w, entry, c * g.filters, g.filters, v, 0, run * g.filters, middle)
        for j in range(n_h):
            pack_column_rows(v, j * run * g.filters, g.filters, g.filters, run, panels, j * g.filters * run)
        multiply_points(
            n_h, rows, g.filters, z, start, plan.z_row, in_batch * plan.z_row, scratch.table[slot], panels, products
        )
        apply_matrix(
            plan.tables, matrix(1, m_h, B), n_h, n_h, products, 0, whole * run, run,
            out, to + k, in_batch * plan.u_row, plan.u_row, rows,
        )  # fmt: skip


@parallel_kernel
def input_grad_lines(plan: Plan, z: Array, w: Array, out: Array, scratch: Scratch) -> None:
    """Lines of dx from Z and w."""
    fork(_input_grad_line, plan.lines.shape[0], (plan, z, w, out, scratch))


@kernel
def _weight_grad_line(item: int, plan: Plan, u: Array, z: Array, out: Array, products: Array, blocks: Array) -> None:
    g, run, product = plan.geometry, tile_width(u), products[numba.get_thread_id()]
    number, i, _, tiles = plan.weight_lines[item]
    kind, taps = plan.kinds[number], (g.kernel_h - 1) // g.stride_h + 1
    n_h = kind[N_H]
    block = blocks[numba.get_thread_id()]
    for k in range(0, g.patch, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, g.patch - k)
        for first in range(0, tiles, BLOCK_TILES):
            depth = min(BLOCK_TILES, tiles - first)
            for j in range(n_h):
                start = (i * n_h + j) * tiles + first
                for t in range(depth):
                    copy_run(u, kind[U_AT] + (start + t) * plan.u_row + k, block, t * BLOCK_ROWS, rows)
                for o in range(0, g.filters, run):
                    for r in range(0, rows, TILE_ROWS):
                        multiply_panels(
                            depth, block, r, BLOCK_ROWS,
                            z, kind[Z_AT] + start * plan.z_row + o, plan.z_row,
                            product, (j * BLOCK_ROWS + r) * g.filters + o, g.filters, first > 0,
                        )  # fmt: skip
        apply_matrix(
            plan.tables, matrix(1, kind[M_H], GT), taps, n_h, product, 0, BLOCK_ROWS * g.filters, run,
            out, kind[W_AT] + (i * taps * g.patch + k) * g.filters, g.patch * g.filters, run, rows * g.filters // run,
        )  # fmt: skip


@parallel_kernel
def weight_grad_lines(plan: Plan, u: Array, z: Array, out: Array, products: Array, blocks: Array) -> None:
    """Lines of dw from U and Z; micro-tiles read up to TILE_ROWS numbers beyond the end of U."""
    fork(_weight_grad_line, plan.weight_lines.shape[0], (plan, u, z, out, products, blocks))
