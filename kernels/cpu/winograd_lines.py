"""First half of a Winograd convolution: all points of one line i of a kind of tile, from transform to transform.

A work item is a vertical point i, a kind of tile and a range of its tiles. It makes row i of the transforms
U = B^T x B, Z = A dy A^T and V = G w G^T for its tiles, multiplies the n_h points of the line, and undoes the
horizontal transform at once. So neither U, Z, V nor the products are ever stored as a whole, which at 15 GB/s would
take longer than the products: an item's share of them stays in the second-level cache.

    forward          lines of y   (m_h, tiles, O)      = (U_i V_i) A          K summed
    input gradient   lines of dx  (n_h, tiles, K)      = (Z_i V_i^T) B^T      O summed
    weight gradient  lines of dw  (taps, K, O)         = (U_i^T Z_i) G        tiles summed

`winograd.py` sums the lines over i, each with its weight in the vertical transform. W = numbers of a micro-tile's row;
every transform works on runs of W channels.
"""

import numba

from ..types import Array
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_ROWS, multiply_panels, multiply_rows, tile_width
from .packing import pack_column_rows
from .vector import apply_matrix
from .winograd_plan import AT, BT, GT, ORDER, A, B, G, Geometry

BLOCK_ROWS = 8 * TILE_ROWS
"""Rows of dw in a block of a weight gradient: their part of U, a point at a time, fits the first-level cache."""

M_V, M_H, N_V, N_H, FIRST_TILE, TILES, Y_AT, X_AT, W_AT = range(9)
"""Fields of a kind of tile."""


@kernel
def transform_inputs(
    i: int,
    g: Geometry,
    kind: Array,
    tiles: Array,
    tables: Array,
    first: int,
    end: int,
    x: Array,
    u: Array,
    row: int,
    middle: Array,
) -> None:
    """Line i of U: u (n_h, tiles, row) from x (N, height, width, C) with its border."""
    run, n_v, n_h = tile_width(x), kind[N_V], kind[N_H]
    vertical, horizontal = tables[0, kind[M_V], BT], tables[1, kind[M_H], BT]
    down, across = g.stride_v * g.width * g.channels, g.stride_h * g.channels
    for r in range(first, end):
        image, tile = r // kind[TILES], kind[FIRST_TILE] + r % kind[TILES]
        for phase in range(g.stride_v * g.stride_h):
            top = tiles[tile, 0] * g.stride_v + phase // g.stride_h
            left = tiles[tile, 1] * g.stride_h + phase % g.stride_h
            start = ((image * g.height + top) * g.width + left) * g.channels
            at = (r - first) * row + phase * g.channels
            for c in range(0, g.channels, run):
                for j in range(n_h):
                    apply_matrix(
                        vertical, i * ORDER, ORDER, 1, n_v, x, start + c + j * across, down, middle, j * run, run, False
                    )
                apply_matrix(horizontal, 0, ORDER, n_h, n_h, middle, 0, run, u, at + c, (end - first) * row, False)


@kernel
def transform_gradients(
    i: int,
    g: Geometry,
    kind: Array,
    tiles: Array,
    tables: Array,
    first: int,
    end: int,
    dy: Array,
    z: Array,
    row: int,
    middle: Array,
) -> None:
    """Line i of Z: z (n_h, tiles, row) from dy (N, HO, WO, O)."""
    run, m_v, m_h = tile_width(dy), kind[M_V], kind[M_H]
    vertical, horizontal = tables[0, m_v, A], tables[1, m_h, A]
    for r in range(first, end):
        image, tile = r // kind[TILES], kind[FIRST_TILE] + r % kind[TILES]
        start = ((image * g.rows + tiles[tile, 0]) * g.columns + tiles[tile, 1]) * g.filters
        for o in range(0, g.filters, run):
            for j in range(m_h):
                apply_matrix(
                    vertical, i * ORDER, ORDER, 1, m_v,
                    dy, start + o + j * g.filters, g.columns * g.filters, middle, j * run, run, False)  # fmt: skip
            apply_matrix(
                horizontal,
                0,
                ORDER,
                kind[N_H],
                m_h,
                middle,
                0,
                run,
                z,
                (r - first) * row + o,
                (end - first) * row,
                False,
            )


@kernel
def transform_weights(
    i: int,
    g: Geometry,
    kind: Array,
    tables: Array,
    w: Array,
    k: int,
    channels: int,
    o: int,
    v: Array,
    at: int,
    step: int,
    point: int,
    middle: Array,
) -> None:
    """Line i of V for filters [o, o + W) of channels k, k + 1, ... = (phase, c), all of one phase.

    Channel number r of them goes to v[at + r*step :] for the first point, `point` further for each of the others.
    """
    run, phase, c = tile_width(w), k // g.channels, k % g.channels
    a, b, entry = phase // g.stride_h, phase % g.stride_h, g.channels * g.filters
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
    vertical, horizontal = tables[0, kind[M_V], G], tables[1, kind[M_H], G]
    down, across = g.stride_v * g.kernel_h * entry, g.stride_h * entry
    start = (a * g.kernel_h + b) * entry + c * g.filters + o
    for r in range(channels):
        for t in range(taps_h):
            source = start + r * g.filters + t * across
            apply_matrix(vertical, i * ORDER, ORDER, 1, taps_v, w, source, down, middle, t * run, run, False)
        apply_matrix(horizontal, 0, ORDER, kind[N_H], taps_h, middle, 0, run, v, at + r * step, point, False)


@kernel
def multiply_points(
    points: int, rows: int, k: int, a: Array, stride: int, table: Array, panels: Array, products: Array
) -> None:
    """products (points, rows in whole tiles, W) = a (points, rows, k) times panels (points, k, W)."""
    run, whole = tile_width(a), (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    for r in range(whole):
        table[r] = min(r, rows - 1) * stride  # what sticks out of the last tile repeats the last row
    for j in range(points):
        for r in range(0, whole, TILE_ROWS):
            multiply_rows(
                1,
                k,
                a,
                j * rows * stride,
                table,
                r,
                0,
                panels,
                j * k * run,
                products,
                (j * whole + r) * run,
                run,
                False,
            )


@kernel
def _forward_line(
    item: int,
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    tables: Array,
    x: Array,
    w: Array,
    row: int,
    out: Array,
    out_row: int,
    us: Array,
    panels: Array,
    products: Array,
    middles: Array,
    row_tables: Array,
) -> None:
    slot = numba.get_thread_id()
    u, panel, product, middle, table = us[slot], panels[slot], products[slot], middles[slot], row_tables[slot]
    kind, i, first, end = kinds[lines[item, 0]], lines[item, 1], lines[item, 2], lines[item, 3]
    run, rows, in_batch = tile_width(x), end - first, g.images * kind[TILES]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    transform_inputs(i, g, kind, tiles, tables, first, end, x, u, row, middle)
    for o in range(0, g.filters, run):
        for k in range(0, g.patch, g.channels):
            transform_weights(i, g, kind, tables, w, k, g.channels, o, panel, k * run, run, g.patch * run, middle)
        multiply_points(kind[N_H], rows, g.patch, u, row, table, panel, product)
        for r in range(rows):
            at = kind[Y_AT] + (i * kind[M_H] * in_batch + first + r) * out_row + o
            apply_matrix(
                tables[1, kind[M_H], AT], 0, ORDER, kind[M_H], kind[N_H],
                product, r * run, whole * run, out, at, in_batch * out_row, False)  # fmt: skip


@parallel_kernel
def forward_lines(
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    tables: Array,
    x: Array,
    w: Array,
    row: int,
    out: Array,
    out_row: int,
    us: Array,
    panels: Array,
    products: Array,
    middles: Array,
    row_tables: Array,
) -> None:
    """Lines of y from x with its border and w; `row` and `out_row` are the strides of a tile in U and in the lines."""
    arguments = (g, kinds, tiles, lines, tables, x, w, row, out, out_row, us, panels, products, middles, row_tables)
    fork(_forward_line, lines.shape[0], arguments)


@kernel
def _input_grad_line(
    item: int,
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    tables: Array,
    dy: Array,
    w: Array,
    row: int,
    out: Array,
    out_row: int,
    zs: Array,
    panels: Array,
    products: Array,
    middles: Array,
    row_tables: Array,
    weights: Array,
) -> None:
    slot = numba.get_thread_id()
    z, panel, product, middle, table = zs[slot], panels[slot], products[slot], middles[slot], row_tables[slot]
    kind, i, first, end = kinds[lines[item, 0]], lines[item, 1], lines[item, 2], lines[item, 3]
    run, rows, in_batch, v = tile_width(dy), end - first, g.images * kind[TILES], weights[slot]
    whole = (rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS
    transform_gradients(i, g, kind, tiles, tables, first, end, dy, z, row, middle)
    for k in range(0, g.patch, run):
        for o in range(0, g.filters, run):
            transform_weights(i, g, kind, tables, w, k, run, o, v, o, g.filters, run * g.filters, middle)
        for j in range(kind[N_H]):
            pack_column_rows(v, j * run * g.filters, g.filters, g.filters, run, panel, j * g.filters * run)
        multiply_points(kind[N_H], rows, g.filters, z, row, table, panel, product)
        for r in range(rows):
            at = kind[X_AT] + (i * kind[N_H] * in_batch + first + r) * out_row + k
            apply_matrix(
                tables[1, kind[M_H], B], 0, ORDER, kind[N_H], kind[N_H],
                product, r * run, whole * run, out, at, in_batch * out_row, False)  # fmt: skip


@parallel_kernel
def input_grad_lines(
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    tables: Array,
    dy: Array,
    w: Array,
    row: int,
    out: Array,
    out_row: int,
    zs: Array,
    panels: Array,
    products: Array,
    middles: Array,
    row_tables: Array,
    weights: Array,
) -> None:
    """Lines of dx from dy and w; `weights` is room for W rows of V a thread, the others as in `forward_lines`."""
    fork(
        _input_grad_line, lines.shape[0],
        (g, kinds, tiles, lines, tables, dy, w, row, out, out_row, zs, panels, products, middles, row_tables, weights),
    )  # fmt: skip


@kernel
def _weight_grad_line(
    item: int,
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    block: int,
    tables: Array,
    x: Array,
    dy: Array,
    u_row: int,
    z_row: int,
    out: Array,
    us: Array,
    zs: Array,
    products: Array,
    middles: Array,
) -> None:
    slot = numba.get_thread_id()
    u, z, product, middle = us[slot], zs[slot], products[slot], middles[slot]
    kind, i, in_batch = kinds[lines[item, 0]], lines[item, 1], lines[item, 3]
    run, n_h, taps = tile_width(x), kind[N_H], (g.kernel_h - 1) // g.stride_h + 1
    horizontal = tables[1, kind[M_H], GT]
    for first in range(0, in_batch, block):
        end = min(in_batch, first + block)
        rows = end - first
        transform_inputs(i, g, kind, tiles, tables, first, end, x, u, u_row, middle)
        transform_gradients(i, g, kind, tiles, tables, first, end, dy, z, z_row, middle)
        for k in range(0, g.patch, BLOCK_ROWS):
            rows_k = min(BLOCK_ROWS, g.patch - k)
            for j in range(n_h):
                for o in range(0, g.filters, run):
                    for r in range(0, rows_k, TILE_ROWS):
                        multiply_panels(
                            rows, u, j * rows * u_row + k + r, u_row, z, j * rows * z_row + o, z_row,
                            product, (j * BLOCK_ROWS + r) * g.filters + o, g.filters, False,
                        )  # fmt: skip
            for r in range(rows_k):
                at = kind[W_AT] + (i * taps * g.patch + k + r) * g.filters
                for o in range(0, g.filters, run):
                    apply_matrix(
                        horizontal, 0, ORDER, taps, n_h, product, r * g.filters + o, BLOCK_ROWS * g.filters,
                        out, at + o, g.patch * g.filters, first > 0,
                    )  # fmt: skip


@parallel_kernel
def weight_grad_lines(
    g: Geometry,
    kinds: Array,
    tiles: Array,
    lines: Array,
    block: int,
    tables: Array,
    x: Array,
    dy: Array,
    u_row: int,
    z_row: int,
    out: Array,
    us: Array,
    zs: Array,
    products: Array,
    middles: Array,
) -> None:
    """Lines of dw from x with its border and dy, `block` tiles at a time."""
    arguments = (g, kinds, tiles, lines, block, tables, x, dy, u_row, z_row, out, us, zs, products, middles)
    fork(_weight_grad_line, lines.shape[0], arguments)
