"""Winograd convolution, second half: the lines of `winograd_lines.py` summed by the vertical transform.

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
from .vector import apply_matrix, clear_run, copy_run
from .winograd_lines import FIRST_TILE, M_H, M_V, N_H, N_V, TILES, W_AT, X_AT, Y_AT
from .winograd_plan import AT, GT, ORDER, B, Geometry


@kernel
def _output_of_image(
    n: int,
    g: Geometry,
    kinds: Array,
    tiles: Array,
    tables: Array,
    lines: Array,
    row: int,
    bias: Array,
    code: int,
    slope: float,
    y: Array,
) -> None:
    run = tile_width(y)
    for kind in kinds:
        in_batch, vertical = g.images * kind[TILES], tables[0, kind[M_V], AT]
        for t in range(kind[TILES]):
            top, left = tiles[kind[FIRST_TILE] + t, 0], tiles[kind[FIRST_TILE] + t, 1]
            for j in range(kind[M_H]):
                source = kind[Y_AT] + (j * in_batch + n * kind[TILES] + t) * row
                at = ((n * g.rows + top) * g.columns + left + j) * g.filters
                for o in range(0, g.filters, run):
                    apply_matrix(
                        vertical, 0, ORDER, kind[M_V], kind[N_V],
                        lines, source + o, kind[M_H] * in_batch * row, y, at + o, g.columns * g.filters, False,
                    )  # fmt: skip
                for i in range(kind[M_V]):
                    finish(y, at + i * g.columns * g.filters, g.filters, bias, 0, code, slope)


@parallel_kernel
def sum_output(
    g: Geometry,
    kinds: Array,
    tiles: Array,
    tables: Array,
    lines: Array,
    row: int,
    bias: Array,
    code: int,
    slope: float,
    y: Array,
) -> None:
    """y (N, HO, WO, O) = f(A^T lines + bias); `row` is the stride of a tile in the lines."""
    fork(_output_of_image, g.images, (g, kinds, tiles, tables, lines, row, bias, code, slope, y))


@kernel
def _input_grad_of_image(
    n: int,
    g: Geometry,
    kinds: Array,
    tiles: Array,
    tables: Array,
    lines: Array,
    row: int,
    bias: Array,
    code: int,
    slope: float,
    before: tuple[int, int],
    size: tuple[int, int],
    dx: Array,
    images: Array,
) -> None:
    image, run = images[numba.get_thread_id()], tile_width(dx)
    for c in range(0, g.channels, run):
        clear_run(image, 0, g.height * g.width * run)
        for kind in kinds:
            in_batch, vertical = g.images * kind[TILES], tables[0, kind[M_V], B]
            for t in range(kind[TILES]):
                for phase in range(g.stride_v * g.stride_h):
                    top = tiles[kind[FIRST_TILE] + t, 0] * g.stride_v + phase // g.stride_h
                    left = tiles[kind[FIRST_TILE] + t, 1] * g.stride_h + phase % g.stride_h
                    for j in range(kind[N_H]):
                        source = kind[X_AT] + (j * in_batch + n * kind[TILES] + t) * row + phase * g.channels + c
                        at = (top * g.width + left + j * g.stride_h) * run
                        apply_matrix(
                            vertical, 0, ORDER, kind[N_V], kind[N_V],
                            lines, source, kind[N_H] * in_batch * row, image, at, g.stride_v * g.width * run, True,
                        )  # fmt: skip
        for i in range(size[0]):
            source = ((i + before[0]) * g.width + before[1]) * run
            at = (n * size[0] + i) * size[1] * g.channels + c
            for j in range(size[1]):
                copy_run(image, source + j * run, dx, at + j * g.channels, run)
                if bias.size or code:
                    finish(dx, at + j * g.channels, run, bias, c, code, slope)


@parallel_kernel
def sum_input_grad(
    g: Geometry,
    kinds: Array,
    tiles: Array,
    tables: Array,
    lines: Array,
    row: int,
    bias: Array,
    code: int,
    slope: float,
    before: tuple[int, int],
    size: tuple[int, int],
    dx: Array,
    images: Array,
) -> None:
    """dx (N, H, W, C) = f(B lines + bias); `before` = (top, left) pads, `size` = (H, W).

    A run of W channels of an image, with its border, is put together in a row of `images`.
    """
    arguments = (g, kinds, tiles, tables, lines, row, bias, code, slope, before, size, dx, images)
    fork(_input_grad_of_image, g.images, arguments)


@kernel
def _weight_grad_of_channel(
    k: int, g: Geometry, kinds: Array, tables: Array, lines: Array, dw: Array, accumulate: bool
) -> None:
    run = tile_width(dw)
    phase, c, taps = k // g.channels, k % g.channels, (g.kernel_h - 1) // g.stride_h + 1
    a, b = phase // g.stride_h, phase % g.stride_h
    taps_v, taps_h = (g.kernel_v - a - 1) // g.stride_v + 1, (g.kernel_h - b - 1) // g.stride_h + 1
    for t in range(taps_h):
        for o in range(0, g.filters, run):
            add = accumulate
            for kind in kinds:
                source, line = kind[W_AT] + (t * g.patch + k) * g.filters + o, taps * g.patch * g.filters
                at = ((a * g.kernel_h + b + t * g.stride_h) * g.channels + c) * g.filters + o
                apply_matrix(
                    tables[0, kind[M_V], GT], 0, ORDER, taps_v, kind[N_V],
                    lines, source, line, dw, at, g.stride_v * g.kernel_h * g.channels * g.filters, add,
                )  # fmt: skip
                add = True


@parallel_kernel
def sum_weight_grad(g: Geometry, kinds: Array, tables: Array, lines: Array, dw: Array, accumulate: bool) -> None:
    """dw (KH, KW, C, O) (+)= G^T lines, summed over the kinds of tiles."""
    fork(_weight_grad_of_channel, g.patch, (g, kinds, tables, lines, dw, accumulate))
