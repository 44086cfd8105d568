"""Winograd convolution: transform, one matrix product for each point, transform back. Plans are in winograd_plan.

    U = B^T x B    Z = A dy A^T    V = G w G^T           for each tile, phase and channel; products over K or O
    forward          y  = A^T (U V) A                    (rows, K) (K, O)
    input gradient   dx = B (Z V^T) B^T                  (rows, O) (O, K), overlapping tiles added
    weight gradient  dw = G^T (U^T Z) G                  (K, rows) (rows, O)

The three are adjoint to each other, so three transforms and their transposes serve all of them. A transform is bound
by memory: it touches n^2 numbers for the m^2 of a tile. It works on runs of W channels at a time, so all its arithmetic
is on vectors and the matrices may stay data: nothing is compiled for a size.

Floor of the products: 2 rows K O for each point, e.g. 81 points instead of 196 products for a 7 x 7 output of a 4 x 4
filter with stride 2; of the transforms: U, Z, V and the products, written and read once each.
"""

import numba
from numba import prange

from ..types import Array
from .epilogue import finish, place
from .jit import kernel, parallel_kernel
from .microkernel import tile_width
from .vector import apply_matrix, clear_run
from .winograd_plan import AT, BT, GT, ORDER, A, B, G, Geometry

TILE_RUNS = ORDER * ORDER
"""Runs of W numbers in a tile."""

# Fields of a tile and of a point, as in winograd_plan.
TOP, LEFT, M_V, M_H, N_V, N_H, POINT, NUMBER, OF_KIND = range(9)
ROWS, IN_U, IN_Z, IN_V = range(4)


@kernel
def transform(
    left: Array,
    rows: int,
    height: int,
    right: Array,
    columns: int,
    width: int,
    source: Array,
    start: int,
    down: int,
    across: int,
    target: Array,
    at: int,
    target_down: int,
    target_across: int,
    middle: Array,
) -> None:
    """target (rows, columns) = left (rows, height) source (height, width) right (columns, width)^T on runs of W.

    `down` and `across` are the distances of entries of the source; `middle` is scratch for a tile.
    """
    run = tile_width(source)
    for j in range(width):
        apply_matrix(left, 0, ORDER, rows, height, source, start + j * across, down, middle, j * run, width * run)
    for i in range(rows):
        apply_matrix(
            right, 0, ORDER, columns, width, middle, i * width * run, run, target, at + i * target_down, target_across
        )


@parallel_kernel
def transform_input(
    g: Geometry, tiles: Array, points: Array, tables: Array, x: Array, u: Array, middles: Array
) -> None:
    """U = B^T x B for x (N, height, width, C) with its border of zeros, flat."""
    run = tile_width(x)
    for n in prange(g.images):
        middle = middles[numba.get_thread_id()]
        for t in range(tiles.shape[0]):
            point, n_v, n_h = tiles[t, POINT], tiles[t, N_V], tiles[t, N_H]
            step = points[point + 1, IN_U] - points[point, IN_U]
            at = points[point, IN_U] + (n * tiles[t, OF_KIND] + tiles[t, NUMBER]) * g.u_row
            left, right = tables[0, tiles[t, M_V], BT], tables[1, tiles[t, M_H], BT]
            for phase in range(g.stride_v * g.stride_h):
                row = tiles[t, TOP] * g.stride_v + phase // g.stride_h
                column = tiles[t, LEFT] * g.stride_h + phase % g.stride_h
                start = ((n * g.height + row) * g.width + column) * g.channels
                down, across = g.stride_v * g.width * g.channels, g.stride_h * g.channels
                for c in range(0, g.channels, run):
                    transform(
                        left, n_v, n_v, right, n_h, n_h, x, start + c, down, across,
                        u, at + phase * g.channels + c, n_h * step, step, middle,
                    )  # fmt: skip


@parallel_kernel
def transform_output_grad(
    g: Geometry, tiles: Array, points: Array, tables: Array, dy: Array, z: Array, middles: Array
) -> None:
    """Z = A dy A^T for dy (N, HO, WO, O) flat."""
    run = tile_width(dy)
    for n in prange(g.images):
        middle = middles[numba.get_thread_id()]
        for t in range(tiles.shape[0]):
            point, n_v, n_h = tiles[t, POINT], tiles[t, N_V], tiles[t, N_H]
            step = points[point + 1, IN_Z] - points[point, IN_Z]
            at = points[point, IN_Z] + (n * tiles[t, OF_KIND] + tiles[t, NUMBER]) * g.z_row
            left, right = tables[0, tiles[t, M_V], A], tables[1, tiles[t, M_H], A]
            start = ((n * g.rows + tiles[t, TOP]) * g.columns + tiles[t, LEFT]) * g.filters
            for o in range(0, g.filters, run):
                transform(
                    left, n_v, tiles[t, M_V], right, n_h, tiles[t, M_H],
                    dy, start + o, g.columns * g.filters, g.filters,
                    z, at + o, n_h * step, step, middle,
                )  # fmt: skip


@parallel_kernel
def transform_weights(
    g: Geometry, tiles: Array, points: Array, tables: Array, w: Array, v: Array, middles: Array
) -> None:
    """V = G w G^T for w (KH, KW, C, O) flat, into panels (K, W) of W columns each."""
    run, k = tile_width(w), g.stride_v * g.stride_h * g.channels
    for c in prange(g.channels):
        middle = middles[numba.get_thread_id()]
        for t in range(tiles.shape[0]):
            if tiles[t, NUMBER] > 0:
                continue
            point = tiles[t, POINT]
            step = points[point + 1, IN_V] - points[point, IN_V]
            left, right = tables[0, tiles[t, M_V], G], tables[1, tiles[t, M_H], G]
            for phase in range(g.stride_v * g.stride_h):
                a, b = phase // g.stride_h, phase % g.stride_h
                taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
                start = ((a * g.kernel_h + b) * g.channels + c) * g.filters
                down, across = g.stride_v * g.kernel_h * g.channels * g.filters, g.stride_h * g.channels * g.filters
                at = points[point, IN_V] + (phase * g.channels + c) * run
                for o in range(0, g.filters, run):
                    transform(
                        left, tiles[t, N_V], taps_v, right, tiles[t, N_H], taps_h, w, start + o, down, across,
                        v, at + o * k, tiles[t, N_H] * step, step, middle,
                    )  # fmt: skip


@parallel_kernel
def transform_output(
    g: Geometry,
    tiles: Array,
    points: Array,
    tables: Array,
    products: Array,
    bias: Array,
    code: int,
    slope: float,
    y: Array,
    middles: Array,
) -> None:
    """y (N, HO, WO, O) = f(A^T products A + bias); `products` is laid out like Z."""
    run = tile_width(y)
    for n in prange(g.images):
        middle = middles[numba.get_thread_id()]
        for t in range(tiles.shape[0]):
            point, m_v, m_h, n_h = tiles[t, POINT], tiles[t, M_V], tiles[t, M_H], tiles[t, N_H]
            step = points[point + 1, IN_Z] - points[point, IN_Z]
            source = points[point, IN_Z] + (n * tiles[t, OF_KIND] + tiles[t, NUMBER]) * g.z_row
            left, right = tables[0, m_v, AT], tables[1, m_h, AT]
            start = ((n * g.rows + tiles[t, TOP]) * g.columns + tiles[t, LEFT]) * g.filters
            for o in range(0, g.filters, run):
                transform(
                    left, m_v, tiles[t, N_V], right, m_h, n_h, products, source + o, n_h * step, step,
                    y, start + o, g.columns * g.filters, g.filters, middle,
                )  # fmt: skip
            if bias.size or code:
                for i in range(m_v):
                    for j in range(m_h):
                        finish(y, start + (i * g.columns + j) * g.filters, g.filters, bias, 0, code, slope)


@parallel_kernel
def transform_input_grad(
    g: Geometry,
    tiles: Array,
    points: Array,
    tables: Array,
    products: Array,
    bias: Array,
    code: int,
    slope: float,
    before: tuple[int, int],
    size: tuple[int, int],
    dx: Array,
    middles: Array,
    images: Array,
) -> None:
    """dx (N, H, W, C) = f(B products B^T + bias), tiles added where they overlap; `products` is laid out like U.

    A run of W channels of an image is put together in `images`, a row of which holds (height, width, W), and the part
    inside the border copied out: `before` = (top, left), `size` = (H, W).
    """
    run = tile_width(dx)
    for n in prange(g.images):
        slot = numba.get_thread_id()
        middle, image = middles[slot], images[slot]
        tile_at = TILE_RUNS * run
        for c in range(0, g.channels, run):
            clear_run(image, 0, g.height * g.width * run)
            for t in range(tiles.shape[0]):
                point, n_v, n_h = tiles[t, POINT], tiles[t, N_V], tiles[t, N_H]
                step = points[point + 1, IN_U] - points[point, IN_U]
                source = points[point, IN_U] + (n * tiles[t, OF_KIND] + tiles[t, NUMBER]) * g.u_row
                left, right = tables[0, tiles[t, M_V], B], tables[1, tiles[t, M_H], B]
                for phase in range(g.stride_v * g.stride_h):
                    transform(
                        left, n_v, n_v, right, n_h, n_h, products, source + phase * g.channels + c, n_h * step, step,
                        middle, tile_at, n_h * run, run, middle,
                    )  # fmt: skip
                    row = tiles[t, TOP] * g.stride_v + phase // g.stride_h
                    column = tiles[t, LEFT] * g.stride_h + phase % g.stride_h
                    for i in range(n_v):
                        for j in range(n_h):
                            at = ((row + i * g.stride_v) * g.width + column + j * g.stride_h) * run
                            place(middle, tile_at + (i * n_h + j) * run, image, at, run, True)
            for i in range(size[0]):
                for j in range(size[1]):
                    at = ((n * size[0] + i) * size[1] + j) * g.channels + c
                    place(image, ((i + before[0]) * g.width + j + before[1]) * run, dx, at, run, False)
                    finish(dx, at, run, bias, c, code, slope)


@parallel_kernel
def transform_weight_grad(
    g: Geometry,
    tiles: Array,
    points: Array,
    tables: Array,
    products: Array,
    dw: Array,
    accumulate: bool,
    middles: Array,
) -> None:
    """dw (KH, KW, C, O) (+)= G^T products G summed over the kinds of tiles; `products` is (K, O) for each point."""
    run = tile_width(dw)
    for c in prange(g.channels):
        middle = middles[numba.get_thread_id()]
        tile_at = TILE_RUNS * run
        for phase in range(g.stride_v * g.stride_h):
            a, b = phase // g.stride_h, phase % g.stride_h
            taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
            for o in range(0, g.filters, run):
                add = accumulate
                for t in range(tiles.shape[0]):
                    if tiles[t, NUMBER] > 0:
                        continue
                    point, n_h = tiles[t, POINT], tiles[t, N_H]
                    step = points[point + 1, IN_V] - points[point, IN_V]
                    left, right = tables[0, tiles[t, M_V], GT], tables[1, tiles[t, M_H], GT]
                    source = points[point, IN_V] + (phase * g.channels + c) * g.z_row + o
                    transform(
                        left, taps_v, tiles[t, N_V], right, taps_h, n_h, products, source, n_h * step, step,
                        middle, tile_at, taps_h * run, run, middle,
                    )  # fmt: skip
                    for i in range(taps_v):
                        for j in range(taps_h):
                            entry = (a + i * g.stride_v) * g.kernel_h + b + j * g.stride_h
                            at = (entry * g.channels + c) * g.filters + o
                            place(middle, tile_at + (i * taps_h + j) * run, dw, at, run, add)
                    add = True
