"""The transforms of a Winograd convolution that come before its products.

    U = B^T x B   (n_v, n_h, tiles, K)      Z = A dy A^T   (n_v, n_h, tiles, O)      V = G w G^T   (n_v, n_h, K, O)

Each is a vertical transform of a tile and then a horizontal one. U and Z are made of whole images and stored: read once
more for each vertical point, x would take longer than the products, at the 15 to 20 GB/s of the third-level cache. V
is larger than both and w is small, so V is made a line of points at a time, by the thread that multiplies with it.

Floor: U of 64 images of 14 x 14 x 64 (F(4, 2) and F(3, 2)) is 5.6 MB written, 0.15 ms at 40 GB/s.
"""

import numba

from ..types import Array
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import tile_width
from .small_matrix import apply_matrix
from .vector import clear_run, copy_run
from .winograd_plan import BT, FIRST_TILE, LARGEST_TILE, M_H, M_V, N_H, N_V, ORDER, TILES, U_AT, Z_AT, A, G, Plan


@kernel
def matrix(axis: int, outputs: int, which: int) -> int:
    """Where a matrix of F(outputs, taps) for the vertical (0) or horizontal (1) axis begins in `Plan.tables`."""
    return ((axis * (LARGEST_TILE + 1) + outputs) * 6 + which) * ORDER * ORDER


@kernel
def _inputs_of_image(
    n: int,
    plan: Plan,
    x: Array,
    before: tuple[int, int],
    size: tuple[int, int],
    u: Array,
    images: Array,
    middles: Array,
) -> None:
    slot, g, run, tables = numba.get_thread_id(), plan.geometry, tile_width(x), plan.tables
    image, middle = images[slot], middles[slot]
    clear_run(image, 0, g.height * g.width * g.channels)
    for i in range(size[0]):
        at, inside = (n * size[0] + i) * size[1], (before[0] + i) * g.width + before[1]
        copy_run(x, at * g.channels, image, inside * g.channels, size[1] * g.channels)
    for kind in plan.kinds:
        n_v, n_h, in_batch = kind[N_V], kind[N_H], g.images * kind[TILES]
        vertical, horizontal = matrix(0, kind[M_V], BT), matrix(1, kind[M_H], BT)
        row = n_h * g.stride_h * g.channels  # of a tile, all horizontal phases in it
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            for a in range(g.stride_v):
                start = ((top * g.stride_v + a) * g.width + left * g.stride_h) * g.channels
                down = g.stride_v * g.width * g.channels
                apply_matrix(tables, vertical, n_v, n_v, image, start, down, run, middle, 0, row, run, row // run)
                for b in range(g.stride_h):
                    for i in range(n_v):
                        at = kind[U_AT] + (i * n_h * in_batch + n * kind[TILES] + t) * plan.u_row
                        apply_matrix(
                            tables, horizontal, n_h, n_h,
                            middle, i * row + b * g.channels, g.stride_h * g.channels, run,
                            u, at + (a * g.stride_h + b) * g.channels, in_batch * plan.u_row, run, g.channels // run,
                        )  # fmt: skip


@parallel_kernel
def transform_inputs(
    plan: Plan,
    x: Array,
    before: tuple[int, int],
    size: tuple[int, int],
    u: Array,
    images: Array,
    middles: Array,
) -> None:
    """U from x (N, H, W, C); `before` = (top, left) pads, `size` = (H, W).

    Scratch, a row a thread: `images` for an image with its border, `middles` for ORDER rows of a tile.
    """
    fork(_inputs_of_image, plan.geometry.images, (plan, x, before, size, u, images, middles))


@kernel
def _gradients_of_image(n: int, plan: Plan, dy: Array, z: Array, middles: Array) -> None:
    g, run, middle, tables = plan.geometry, tile_width(dy), middles[numba.get_thread_id()], plan.tables
    for kind in plan.kinds:
        m_v, m_h, n_v, n_h, in_batch = kind[M_V], kind[M_H], kind[N_V], kind[N_H], g.images * kind[TILES]
        vertical, horizontal = matrix(0, m_v, A), matrix(1, m_h, A)
        row = m_h * g.filters
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            start = ((n * g.rows + top) * g.columns + left) * g.filters
            apply_matrix(
                tables, vertical, n_v, m_v, dy, start, g.columns * g.filters, run, middle, 0, row, run, row // run
            )
            for i in range(n_v):
                at = kind[Z_AT] + (i * n_h * in_batch + n * kind[TILES] + t) * plan.z_row
                apply_matrix(
                    tables, horizontal, n_h, m_h, middle, i * row, g.filters, run,
                    z, at, in_batch * plan.z_row, run, g.filters // run,
                )  # fmt: skip


@parallel_kernel
def transform_gradients(plan: Plan, dy: Array, z: Array, middles: Array) -> None:
    """Z from dy (N, HO, WO, O); `middles` as in `transform_inputs`."""
    fork(_gradients_of_image, plan.geometry.images, (plan, dy, z, middles))


@kernel
def transform_weights(
    i: int,
    plan: Plan,
    kind: Array,
    phase: int,
    w: Array,
    entry: int,
    first: int,
    count: int,
    v: Array,
    at: int,
    point: int,
    middle: Array,
) -> None:
    """Line i of V for `count` runs of W numbers of a phase's filter, side by side in w as in v.

    In w an entry of the kernel has `entry` numbers, of which those from `first` on are taken; in v they begin at `at`,
    those of the next point `point` further.
    """
    g, run = plan.geometry, tile_width(w)
    a, b = phase // g.stride_h, phase % g.stride_h
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
    down, across = g.stride_v * g.kernel_h * entry, g.stride_h * entry
    vertical, horizontal = matrix(0, kind[M_V], G) + i * ORDER, matrix(1, kind[M_H], G)
    for t in range(taps_h):
        start = (a * g.kernel_h + b) * entry + t * across + first
        apply_matrix(plan.tables, vertical, 1, taps_v, w, start, down, run, middle, t * count * run, 0, run, count)
    apply_matrix(plan.tables, horizontal, kind[N_H], taps_h, middle, 0, count * run, run, v, at, point, run, count)
