"""Input gradient onto an image of few channels (grey, colour): all its kernel entries at once, then added in place.

With C = 1 a phase of the implicit product would have one useful column among the W that a micro-tile computes. Here the
columns are all KH*KW*C entries of the kernel:

    for each image, in parallel
        columns (HO*WO, KH*KW*C) = dy @ w^T            rows of dy read where they stand, result in the cache
        add each to the pixel that it belongs to        (col2im, image by image)
        bias and activation over the image

Floor: 2 N HO WO KH KW C O FLOPs; dy, w and dx once each. The columns of one image (196 x 16 for the last layer of a
28 x 28 generator, 12 KiB) never leave the cache.
"""

import numba
import numpy as np

from ..types import Array
from .epilogue import finish
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_rows, tile_width
from .vector import clear_run


def wins(channels: int, dtype: np.dtype) -> bool:
    """Whether C is so small that phases would waste more than half of a micro-tile's columns."""
    return 2 * channels <= TILE_BYTES // dtype.itemsize


def scratch_sizes(pixels: int, entries: int, inner: int, dtype: np.dtype) -> tuple[int, int]:
    """Numbers of scratch: the packed kernel, and for each thread the columns of one image."""
    width = TILE_BYTES // dtype.itemsize
    padded = -(-entries // width) * width
    return inner * padded, -(-pixels // TILE_ROWS) * TILE_ROWS * padded


@kernel
def multiply_image(
    dy: Array, start: int, pixels: int, inner: int, entries: int, panels: Array, rows: Array, columns: Array
) -> None:
    """columns (pixels, padded entries) = dy of one image (pixels, O) @ w^T; rows beyond the last repeat it."""
    width = tile_width(dy)
    b_panels = (entries + width - 1) // width
    for first in range(0, pixels, TILE_ROWS):
        for i in range(TILE_ROWS):
            rows[i] = start + min(first + i, pixels - 1) * inner
        for panel in range(b_panels):
            at = (first * b_panels + panel) * width
            multiply_rows(
                1, inner, dy, 0, rows, 0, 0, panels, panel * inner * width, columns, at, b_panels * width, False
            )


@kernel
def add_columns(
    columns: Array,
    windows: tuple[int, int],
    padded: int,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    dx: Array,
    start: int,
) -> None:
    """The image at `start` += its columns, each where it belongs; along a row of windows, the longest loop there is."""
    for i in range(windows[0]):
        for a in range(kernel_size[0]):
            r = i * stride[0] + a - before[0]
            if r < 0 or r >= size[0]:
                continue
            for b in range(kernel_size[1]):
                shift = b - before[1]
                first = max(0, (-shift + stride[1] - 1) // stride[1])
                end = min(windows[1], (size[1] - 1 - shift) // stride[1] + 1)
                for c in range(channels):
                    at = start + (r * size[1] + shift) * channels + c
                    column = i * windows[1] * padded + (a * kernel_size[1] + b) * channels + c
                    for j in range(first, end):
                        dx[at + j * stride[1] * channels] += columns[column + j * padded]


@kernel
def _input_grad_image(
    n: int,
    dy: Array,
    windows: tuple[int, int],
    inner: int,
    panels: Array,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    bias: Array,
    slope: float,
    dx: Array,
    rows: Array,
    columns: Array,
) -> None:
    pixels, entries = windows[0] * windows[1], kernel_size[0] * kernel_size[1] * channels
    padded = (entries + tile_width(dy) - 1) // tile_width(dy) * tile_width(dy)
    image = size[0] * size[1] * channels
    slot = numba.get_thread_id()
    multiply_image(dy, n * pixels * inner, pixels, inner, entries, panels, rows[slot], columns[slot])
    start = n * image
    if bias.size:
        for c in range(channels):
            dx[start + c : start + image : channels] = bias[c]
    else:
        clear_run(dx, start, image)
    add_columns(columns[slot], windows, padded, kernel_size, stride, before, size, channels, dx, start)
    finish(dx, start, image, bias[:0], 0, slope)


@parallel_kernel
def input_grad(
    dy: Array,
    windows: tuple[int, int],
    inner: int,
    panels: Array,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    bias: Array,
    slope: float,
    dx: Array,
    rows: Array,
    columns: Array,
) -> None:
    """dx (N, H, W, C) = f(col2im(dy @ w^T) + bias); `before` = (top, left); a row of `rows`, `columns` per thread."""
    image = size[0] * size[1] * channels
    arguments = (
        dy,
        windows,
        inner,
        panels,
        kernel_size,
        stride,
        before,
        size,
        channels,
        bias,
        slope,
        dx,
        rows,
        columns,
    )
    fork(_input_grad_image, dx.size // image, arguments)
