"""The end of a Winograd convolution: the lines of `winograd_lines.py` summed by the vertical transform.

y  = A^T lines        dx = B lines, overlapping tiles added        dw = G^T lines, summed over the passes
"""

from ..types import Array
from .epilogue import finish
from .jit import kernel
from .microkernel import tile_width
from .small_matrix import add_matrix, apply_matrix
from .vector import clear_run
from .winograd_plan import AT, FIRST_TILE, GT, M_H, M_V, N_H, N_V, ORDER, TILES, X_AT, B, Plan
from .winograd_transforms import distance_of, inside, matrix, taps_across


@kernel
def output_of_image(
    item: int, plan: Plan, kind: Array, first: int, images: int, lines: Array, bias: Array, slope: float, y: Array
) -> None:
    """The pass's tiles of y (N, HO, WO, O) in image first + item: f(A^T lines + bias)."""
    g, run = plan.geometry, tile_width(y)
    m_v, m_h, distance = kind[M_V], kind[M_H], distance_of(images * kind[TILES], plan.y_row, y.itemsize)
    for t in range(kind[TILES]):
        top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
        at = (((first + item) * g.rows + top) * g.columns + left) * g.filters
        for j in range(m_h):
            source = j * distance + (item * kind[TILES] + t) * plan.y_row
            apply_matrix(
                plan.tables, matrix(0, m_v, AT), m_v, kind[N_V], lines, source, m_h * distance, run,
                y, at + j * g.filters, g.columns * g.filters, run, g.filters // run,
            )  # fmt: skip
        if bias.size or slope != 1:
            for i in range(m_v):
                for j in range(m_h):
                    finish(y, at + (i * g.columns + j) * g.filters, g.filters, bias, 0, slope)


@kernel
def input_grad_of_image(
    item: int, plan: Plan, first: int, images: int, lines: Array, bias: Array, slope: float, dx: Array
) -> None:
    """A phase of an image of the group, from `first` on, of dx (N, H, W, C): f(B lines + bias).

    The tiles above and to the left come first (`Plan.kinds` begins with the longer ones, which lie there). What a tile
    shares with them is added, the rest overwritten; what sticks out of the image is left out.
    """
    g, run, tables = plan.geometry, tile_width(dx), plan.tables
    n, phase = item // (g.stride_v * g.stride_h), item % (g.stride_v * g.stride_h)
    down, across = g.stride_v * g.size_h * g.channels, g.stride_h * g.channels
    first_row, first_column = phase // g.stride_h - g.before_v, phase % g.stride_h - g.before_h
    image = (first + n) * g.size_v * g.size_h * g.channels
    for kind in plan.kinds:
        n_v, n_h, distance = kind[N_V], kind[N_H], distance_of(images * kind[TILES], plan.x_row, dx.itemsize)
        vertical, step = matrix(0, kind[M_V], B), n_h * distance
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            row, column = first_row + top * g.stride_v, first_column + left * g.stride_h
            low, high = inside(row, g.stride_v, n_v, g.size_v)
            begin, end = inside(column, g.stride_h, n_h, g.size_h)
            for j in range(begin, end):
                shared = 0 if top == 0 else n_v - kind[M_V]
                if left and j < n_h - kind[M_H]:
                    shared = n_v
                shared = min(max(shared, low), high)
                source = kind[X_AT] + j * distance + (n * kind[TILES] + t) * plan.x_row + phase * g.channels
                at = image + (row * g.size_h + column) * g.channels + j * across
                add_matrix(
                    tables, vertical + low * ORDER, shared - low, n_v, lines, source, step, run,
                    dx, at + low * down, down, run, g.channels // run,
                )  # fmt: skip
                apply_matrix(
                    tables, vertical + shared * ORDER, high - shared, n_v, lines, source, step, run,
                    dx, at + shared * down, down, run, g.channels // run,
                )  # fmt: skip
    behind_v = first_row + (g.rows + (g.kernel_v - 1) // g.stride_v) * g.stride_v
    behind_h = first_column + (g.columns + (g.kernel_h - 1) // g.stride_h) * g.stride_h
    for row in range(first_row % g.stride_v, g.size_v, g.stride_v):
        for column in range(first_column % g.stride_h, g.size_h, g.stride_h):
            at = image + (row * g.size_h + column) * g.channels
            if row >= behind_v or column >= behind_h:
                clear_run(dx, at, g.channels)
            if bias.size or slope != 1:
                finish(dx, at, g.channels, bias, 0, slope)


@kernel
def weight_grad_of_channel(k: int, plan: Plan, kind: Array, lines: Array, dw: Array, accumulate: bool) -> None:
    """The pass's part of dw (KH, KW, C, O), row k of its phases: (+)= G^T lines."""
    g, run = plan.geometry, tile_width(dw)
    phase, c, taps = k // g.channels, k % g.channels, (g.kernel_h - 1) // g.stride_h + 1
    a, b, line = phase // g.stride_h, phase % g.stride_h, taps * g.patch * g.filters
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, taps_across(plan, phase)
    down, runs = g.stride_v * g.kernel_h * g.channels * g.filters, g.filters // run
    vertical, n_v = matrix(0, kind[M_V], GT), kind[N_V]
    for t in range(taps_h):
        at = ((a * g.kernel_h + b + t * g.stride_h) * g.channels + c) * g.filters
        source = (t * g.patch + k) * g.filters
        if accumulate:
            add_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
        else:
            apply_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
