"""The end of a Winograd convolution: the lines of `winograd_lines.py` summed by the vertical transform.

    y  = A^T lines        dx = B lines, overlapping tiles added        dw = G^T lines, summed over the kinds of tiles

The three products are adjoint to each other, so three transforms and their transposes serve all of them. Floor of the
products: 2 K O FLOPs for each point and tile, e.g. 81 points instead of 196 products for a 7 x 7 output of a 4 x 4
filter with stride 2. A transform of a tile takes n_v n_h (n_v + n_h) multiply-adds a channel more.
"""

import numba

from ..types import Array
from .epilogue import finish
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import tile_width
from .small_matrix import add_matrix, apply_matrix
from .vector import clear_run, copy_run
from .winograd_plan import AT, FIRST_TILE, GT, M_H, M_V, N_H, N_V, TILES, W_AT, X_AT, Y_AT, B, Plan
from .winograd_transforms import matrix


@kernel
def _output_of_image(n: int, plan: Plan, lines: Array, bias: Array, slope: float, y: Array) -> None:
    g, run = plan.geometry, tile_width(y)
    for kind in plan.kinds:
        m_v, m_h, in_batch = kind[M_V], kind[M_H], g.images * kind[TILES]
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            at = ((n * g.rows + top) * g.columns + left) * g.filters
            for j in range(m_h):
                source = kind[Y_AT] + (j * in_batch + n * kind[TILES] + t) * plan.z_row
                apply_matrix(
                    plan.tables, matrix(0, m_v, AT), m_v, kind[N_V], lines, source, m_h * in_batch * plan.z_row, run,
                    y, at + j * g.filters, g.columns * g.filters, run, g.filters // run,
                )  # fmt: skip
            if bias.size or slope != 1:
                for i in range(m_v):
                    for j in range(m_h):
                        finish(y, at + (i * g.columns + j) * g.filters, g.filters, bias, 0, slope)


@parallel_kernel
def sum_output(plan: Plan, lines: Array, bias: Array, slope: float, y: Array) -> None:
    """y (N, HO, WO, O) = f(A^T lines + bias)."""
    fork(_output_of_image, plan.geometry.images, (plan, lines, bias, slope, y))


@kernel
def _input_grad_of_image(
    n: int,
    plan: Plan,
    lines: Array,
    bias: Array,
    slope: float,
    before: tuple[int, int],
    size: tuple[int, int],
    dx: Array,
    images: Array,
) -> None:
    g, image, run = plan.geometry, images[numba.get_thread_id()], tile_width(dx)
    clear_run(image, 0, g.height * g.width * g.channels)
    for kind in plan.kinds:
        n_v, n_h, in_batch, vertical = kind[N_V], kind[N_H], g.images * kind[TILES], matrix(0, kind[M_V], B)
        for t in range(kind[TILES]):
            top, left = plan.tiles[kind[FIRST_TILE] + t, 0], plan.tiles[kind[FIRST_TILE] + t, 1]
            for phase in range(g.stride_v * g.stride_h):
                row, column = top * g.stride_v + phase // g.stride_h, left * g.stride_h + phase % g.stride_h
                for j in range(n_h):
                    source = kind[X_AT] + (j * in_batch + n * kind[TILES] + t) * plan.u_row + phase * g.channels
                    add_matrix(
                        plan.tables, vertical, n_v, n_v, lines, source, n_h * in_batch * plan.u_row, run,
                        image, (row * g.width + column + j * g.stride_h) * g.channels,
                        g.stride_v * g.width * g.channels, run, g.channels // run,
                    )  # fmt: skip
    for i in range(size[0]):
        at = (n * size[0] + i) * size[1] * g.channels
        copy_run(image, ((i + before[0]) * g.width + before[1]) * g.channels, dx, at, size[1] * g.channels)
        if bias.size or slope != 1:
            for j in range(size[1]):
                finish(dx, at + j * g.channels, g.channels, bias, 0, slope)


@parallel_kernel
def sum_input_grad(
    plan: Plan,
    lines: Array,
    bias: Array,
    slope: float,
    before: tuple[int, int],
    size: tuple[int, int],
    dx: Array,
    images: Array,
) -> None:
    """dx (N, H, W, C) = f(B lines + bias); `before` = (top, left) pads, `size` = (H, W).

    An image with its border is put together in a row of `images`, one for each thread.
    """
    fork(_input_grad_of_image, plan.geometry.images, (plan, lines, bias, slope, before, size, dx, images))


@kernel
def _weight_grad_of_channel(k: int, plan: Plan, lines: Array, dw: Array, accumulate: bool) -> None:
    g, run = plan.geometry, tile_width(dw)
    phase, c, taps = k // g.channels, k % g.channels, (g.kernel_h - 1) // g.stride_h + 1
    a, b, line = phase // g.stride_h, phase % g.stride_h, taps * g.patch * g.filters
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
    down, runs = g.stride_v * g.kernel_h * g.channels * g.filters, g.filters // run
    for t in range(taps_h):
        at = ((a * g.kernel_h + b + t * g.stride_h) * g.channels + c) * g.filters
        add = accumulate
        for kind in plan.kinds:
            source, vertical, n_v = kind[W_AT] + (t * g.patch + k) * g.filters, matrix(0, kind[M_V], GT), kind[N_V]
            if add:
                add_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
            else:
                apply_matrix(plan.tables, vertical, taps_v, n_v, lines, source, line, run, dw, at, down, run, runs)
            add = True


@parallel_kernel
def sum_weight_grad(plan: Plan, lines: Array, dw: Array, accumulate: bool) -> None:
    """dw (KH, KW, C, O) (+)= G^T lines, summed over the kinds of tiles."""
    fork(_weight_grad_of_channel, plan.geometry.patch, (plan, lines, dw, accumulate))
