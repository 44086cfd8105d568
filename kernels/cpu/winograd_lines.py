"""The products of a Winograd convolution, a line of points at a time, and the horizontal inverse transform.

A work item is a vertical point i and LINE_PANELS panels of W columns of the product (for a weight gradient: BLOCK_ROWS
rows). It multiplies the n_h points of the line and undoes the horizontal transform at once, so the products themselves
are never stored as a whole.

    forward          lines of y   (tiles, m_h, O)             = (U_i V_i) A          K summed
    input gradient   lines of dx  (tiles, S_v, n_h, S_h C)    = (Z_i V_i^T) B^T      O summed
    weight gradient  lines of dw  (taps, K, O)                = (U_i^T Z_i) G        tiles summed

`winograd_inverse.py` sums the lines over i, each with its weight in the vertical transform. A tile's part of a line is
one run of memory in the order of the image, which the CPU foresees: read as a whole there, written here LINE_PANELS W
channels at a time, all that there are in many layers. W = numbers of a micro-tile's row; everything here works on runs
of W channels.
"""

import math

import numba

from ..types import Array
from .jit import kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_panels, tile_width
from .row_blocks import multiply_blocks, rows_in_one, whole_tiles
from .small_matrix import apply_matrix
from .vector import copy_run
from .winograd_plan import AT, GT, M_H, MOST_TILES, N_H, N_V, ORDER, TILES, X_AT, Z_AT, B, G, Plan
from .winograd_scratch import Scratch
from .winograd_tile import multiply_and_transform
from .winograd_transforms import distance_of, matrix, points_apart, taps_across, weights_vertical

LINE_PANELS = 4
"""Panels of V in an item. They share one reading of U, and each is made for one point, while the first micro-tile is
multiplied (`winograd_tile`). The second-level cache holds their vertical transforms, their products and a point of U:
350 KB for 64 tiles and K = 256. With one panel an item, all points at once, the products of `dcgan` took 5 % longer."""

_WHOLE = math.lcm(TILE_ROWS, TILE_BYTES // 4)

BLOCK_ROWS = _WHOLE * max(1, 8 * TILE_ROWS // _WHOLE)
"""Rows of dw in a block of a weight gradient, whole micro-tiles and whole runs: their part of U, a point at a time,
fits the first-level cache."""


@kernel
def line_blocks(panels: int) -> int:
    """Items of a line of `panels` panels."""
    return (panels + LINE_PANELS - 1) // LINE_PANELS


@kernel
def _first_tile(
    j: int,
    plan: Plan,
    kind: Array,
    phase: int,
    count: int,
    middle: Array,
    start: int,
    panel: Array,
    at: int,
    a: Array,
    a_start: int,
    products: Array,
    product: int,
    add: bool,
) -> None:
    """Point j of V (count, W), from `at` on in a panel, of the line that `weights_vertical` left; and the first tile.

    a, U or Z in blocks of TILE_ROWS rows, has the columns that meet these of V from a_start on.
    """
    run = tile_width(panel)
    multiply_and_transform(
        taps_across(plan, phase), plan.tables, matrix(1, kind[M_H], G) + j * ORDER, middle, start, count * run,
        panel, at, count // run, a, a_start, products, product, add,
    )  # fmt: skip


@kernel
def forward_line(
    item: int, plan: Plan, kind: Array, images: int, u: Array, w: Array, out: Array, scratch: Scratch
) -> None:
    """A line of y for a few panels of filters from U and w."""
    g, run, slot = plan.geometry, tile_width(u), numba.get_thread_id()
    panel, products, middle = scratch.panel[slot], scratch.products[slot], scratch.middle[slot]
    panels = g.filters // run
    i, block = item % kind[N_V], item // kind[N_V]
    first, behind = panels * block // line_blocks(panels), panels * (block + 1) // line_blocks(panels)
    m_h, n_h, rows, phases = kind[M_H], kind[N_H], images * kind[TILES], g.stride_v * g.stride_h
    entry, product = g.channels * run, whole_tiles(rows) * run
    of_phase = ((g.kernel_h - 1) // g.stride_h + 1) * entry
    for phase in range(phases):
        for q in range(first, behind):
            at = ((q - first) * phases + phase) * of_phase
            weights_vertical(
                i, plan, kind, phase, w, g.channels * g.filters, q * run, g.filters, g.channels, middle, at
            )
    point, to = points_apart(rows, g.patch, u.itemsize), distance_of(rows, m_h * g.filters, u.itemsize)
    for j in range(n_h):
        u_at = (i * n_h + j) * point
        for q in range(first, behind):
            at = ((q - first) * n_h + j) * product
            for phase in range(phases):
                source, block_of_u = ((q - first) * phases + phase) * of_phase, u_at + phase * g.channels * TILE_ROWS
                _first_tile(
                    j, plan, kind, phase, g.channels, middle, source, panel, phase * entry,
                    u, block_of_u, products, at, phase > 0,
                )  # fmt: skip
            multiply_blocks(TILE_ROWS, rows, g.patch, u, u_at, panel, products, at, False)
    for r in range(rows):
        apply_matrix(
            plan.tables, matrix(1, m_h, AT), m_h, n_h, products, r * run, product, n_h * product,
            out, i * to + r * m_h * g.filters + first * run, g.filters, run, behind - first,
        )  # fmt: skip


@kernel
def input_grad_line(item: int, plan: Plan, images: int, z: Array, w: Array, out: Array, scratch: Scratch) -> None:
    """A line of dx for a few panels of the phases' channels from Z and w in panels."""
    g, run, slot = plan.geometry, tile_width(z), numba.get_thread_id()
    panel, products, middle = scratch.panel[slot], scratch.products[slot], scratch.middle[slot]
    panels = g.patch // run
    block = item // plan.lines.shape[0]
    number, i = plan.lines[item % plan.lines.shape[0]]
    first, behind = panels * block // line_blocks(panels), panels * (block + 1) // line_blocks(panels)
    kind = plan.kinds[number]
    n_h, rows, entry = kind[N_H], images * kind[TILES], g.filters * run
    product, of_panel = whole_tiles(rows) * run, ((g.kernel_h - 1) // g.stride_h + 1) * entry
    for q in range(first, behind):
        phase, start = q * run // g.channels, q * run % g.channels * g.kernel_v * g.kernel_h * g.filters
        weights_vertical(i, plan, kind, phase, w, entry, start, run, g.filters, middle, (q - first) * of_panel)
    point, to = points_apart(rows, g.filters, z.itemsize), distance_of(rows, n_h * g.patch, z.itemsize)
    for j in range(n_h):
        start = kind[Z_AT] + (i * n_h + j) * point
        for q in range(first, behind):
            phase, at = q * run // g.channels, ((q - first) * n_h + j) * product
            source = (q - first) * of_panel
            _first_tile(
                j, plan, kind, phase, g.filters, middle, source, panel, 0, z, start, products, at, False
            )  # fmt: skip
            multiply_blocks(TILE_ROWS, rows, g.filters, z, start, panel, products, at, False)
    of_phase = g.stride_h * g.channels
    for r in range(rows):
        q = first
        while q < behind:
            a, at = q * run // of_phase, q * run % of_phase
            count = min(behind, (a + 1) * of_phase // run) - q
            apply_matrix(
                plan.tables, matrix(1, kind[M_H], B), n_h, n_h,
                products, (q - first) * n_h * product + r * run, product, n_h * product,
                out, kind[X_AT] + i * to + r * n_h * g.patch + a * n_h * of_phase + at, of_phase, run, count,
            )  # fmt: skip
            q += count


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
    u_apart, z_apart = points_apart(tiles, g.patch, u.itemsize), points_apart(tiles, g.filters, u.itemsize)
    per_block = rows_in_one(tiles)
    for first in range(0, tiles, MOST_TILES):
        depth = min(MOST_TILES, tiles - first)
        for j in range(n_h):
            for c in range(0, rows, run):
                source = (i * n_h + j) * u_apart + (k + c) * per_block + first * run
                for t in range(depth):
                    copy_run(u, source + t * run, block, t * BLOCK_ROWS + c, run)
            for o in range(0, g.filters, run):
                for r in range(0, rows, TILE_ROWS):
                    multiply_panels(
                        depth, block, r, BLOCK_ROWS,
                        z, (i * n_h + j) * z_apart + o * per_block + first * run, run,
                        product, (j * BLOCK_ROWS + r) * g.filters + o, g.filters, first > 0,
                    )  # fmt: skip
    apply_matrix(
        plan.tables, matrix(1, kind[M_H], GT), taps, n_h, product, 0, BLOCK_ROWS * g.filters, run,
        out, (i * taps * g.patch + k) * g.filters, g.patch * g.filters, run, rows * g.filters // run,
    )  # fmt: skip
