"""The end of a Winograd convolution: the lines of `winograd_lines.py` summed by the vertical transform.

y  = A^T lines        dx = B lines, overlapping tiles added        dw = G^T lines, summed over the passes
"""

import numba

from ..types import Array
from .epilogue import finish
from .jit import kernel
from .microkernel import tile_width
from .small_matrix import add_matrix, apply_matrix
from .vector import clear_run, copy_run
from .winograd_plan import AT, FIRST_TILE, GT, M_H, M_V, N_H, N_V, TILES, X_AT, B, Plan
from .winograd_transforms import distance_of, matrix


@kernel
def output_of_image(
    item: int, plan: Plan, kind: Array, first: int, images: int, lines: Array, bias: Array, slope: float, y: Array
) -> None:
    """The pass's tiles of y (N, HO, WO, O) in image first + item: f(A^T lines + bias)."""
    g, run = plan.geometry, tile_width(y)
    m_v, m_h, distance = kind[M_V], kind[M_H], distance_of(images * kind[TILES], plan.z_row, y.itemsize)
    for t in range(kind[TILES]):
        top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
        at = (((first + item) * g.rows + top) * g.columns + left) * g.filters
        for j in range(m_h):
            source = j * distance + (item * kind[TILES] + t) * plan.z_row
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
    item: int,
    plan: Plan,
    first: int,
    images: int,
    lines: Array,
    bias: Array,
    slope: float,
    dx: Array,
    scratch: Array,
) -> None:
    """A phase of an image of the group, from `first` on, of dx (N, H, W, C): f(B lines + bias).

    It is put together with its border in `scratch`.
    """
    g, image, run = plan.geometry, scratch[numba.get_thread_id()], tile_width(dx)
    phases = g.stride_v * g.stride_h
    n, phase = item // phases, item % phases
    clear_run(image, 0, g.height * g.width * g.channels)
    for kind in plan.kinds:
        n_v, n_h, distance = kind[N_V], kind[N_H], distance_of(images * kind[TILES], plan.u_row, dx.itemsize)
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            for j in range(n_h):
                source = kind[X_AT] + j * distance + (n * kind[TILES] + t) * plan.u_row + phase * g.channels
                add_matrix(
                    plan.tables, matrix(0, kind[M_V], B), n_v, n_v, lines, source, n_h * distance, run,
                    image, (top * g.width + left + j) * g.channels, g.width * g.channels, run, g.channels // run,
                )  # fmt: skip
    for i in range(g.height):
        row = i * g.stride_v + phase // g.stride_h - g.before_v
        if 0 <= row < g.size_v:
            for j in range(g.width):
                column = j * g.stride_h + phase % g.stride_h - g.before_h
                if 0 <= column < g.size_h:
                    at = (((first + n) * g.size_v + row) * g.size_h + column) * g.channels
                    copy_run(image, (i * g.width + j) * g.channels, dx, at, g.channels)
                    if bias.size or slope != 1:
                        finish(dx, at, g.channels, bias, 0, slope)


@kernel
def weight_grad_of_channel(k: int, plan: Plan, kind: Array, lines: Array, dw: Array, accumulate: bool) -> None:
    """The pass's part of dw (KH, KW, C, O), row k of its phases: (+)= G^T lines."""
    g, run = plan.geometry, tile_width(dw)
    phase, c, taps = k // g.channels, k % g.channels, (g.kernel_h - 1) // g.stride_h + 1
    a, b, line = phase // g.stride_h, phase % g.stride_h, taps * g.patch * g.filters
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
    down, runs = g.stride_v * g.kernel_h * g.channels * g.filters, g.filters // run
    vertical, n_v = matrix(0, kind[M_V], GT), kind[N_V]
    for t in range(taps_h):
        at = ((a * g.kernel_h + b + t * g.stride_h) * g.channels + c) * g.filters
        source = (t * g.patch + k) * g.filters
        if accumulate:
            add_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
        else:
            apply_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
