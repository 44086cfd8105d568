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
    m_v, m_h, distance = kind[M_V], kind[M_H], distance_of(images * kind[TILES], kind[M_H] * g.filters, y.itemsize)
    for t in range(kind[TILES]):
        top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
        at = (((first + item) * g.rows + top) * g.columns + left) * g.filters
        apply_matrix(
            plan.tables, matrix(0, m_v, AT), m_v, kind[N_V],
            lines, (t * images + item) * m_h * g.filters, distance, run,
            y, at, g.columns * g.filters, run, m_h * g.filters // run,
        )  # fmt: skip
        if bias.size or slope != 1:
            for i in range(m_v):
                for j in range(m_h):
                    finish(y, at + (i * g.columns + j) * g.filters, g.filters, bias, 0, slope)


@kernel
def input_grad_of_image(
    item: int, plan: Plan, first: int, images: int, lines: Array, bias: Array, slope: float, dx: Array
) -> None:
    """A vertical phase of an image of the group, from `first` on, of dx (N, H, W, C): f(B lines + bias).

    The tiles above and to the left come first (`Plan.kinds` begins with the longer ones, which lie there). What a tile
    shares with them is added, the rest overwritten; what sticks out of the image is left out.
    """
    g, run, tables = plan.geometry, tile_width(dx), plan.tables
    n, a = item // g.stride_v, item % g.stride_v
    line = g.size_h * g.channels
    image, down = (first + n) * g.size_v * line, g.stride_v * line
    for kind in plan.kinds:
        n_v, n_h, distance = kind[N_V], kind[N_H], distance_of(images * kind[TILES], kind[N_H] * g.patch, dx.itemsize)
        vertical = matrix(0, kind[M_V], B)
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            row, column = top * g.stride_v + a - g.before_v, left * g.stride_h - g.before_h
            low, high = inside(row, g.stride_v, n_v, g.size_v)
            begin, end = inside(column, 1, n_h * g.stride_h, g.size_h)
            above = min(max(0 if top == 0 else n_v - kind[M_V], low), high)
            beside = min(max(0 if left == 0 else (n_h - kind[M_H]) * g.stride_h, begin), end)
            source = kind[X_AT] + ((t * images + n) * g.stride_v + a) * n_h * g.stride_h * g.channels
            at = image + row * line + column * g.channels
            for k, behind, c, last in ((low, high, begin, beside), (low, above, beside, end)):
                add_matrix(
                    tables, vertical + k * ORDER, behind - k, n_v, lines, source + c * g.channels, distance, run,
                    dx, at + k * down + c * g.channels, down, run, (last - c) * g.channels // run,
                )  # fmt: skip
            apply_matrix(
                tables, vertical + above * ORDER, high - above, n_v, lines, source + beside * g.channels, distance, run,
                dx, at + above * down + beside * g.channels, down, run, (end - beside) * g.channels // run,
            )  # fmt: skip
    behind_v = (g.rows + (g.kernel_v - 1) // g.stride_v) * g.stride_v - g.before_v
    behind_h = (g.columns + (g.kernel_h - 1) // g.stride_h) * g.stride_h - g.before_h
    for row in range((a - g.before_v) % g.stride_v, g.size_v, g.stride_v):
        at, seen = image + row * line, 0 if row >= behind_v else min(max(0, behind_h), g.size_h) * g.channels
        clear_run(dx, at + seen, line - seen)
        if bias.size or slope != 1:
            for column in range(g.size_h):
                finish(dx, at + column * g.channels, g.channels, bias, 0, slope)


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
