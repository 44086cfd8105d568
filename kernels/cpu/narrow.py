"""Input gradient onto an image of few channels (grey, colour): all its kernel entries at once, then added in place.

With C = 1 a phase of the implicit product would have one useful column among the W that a micro-tile computes. Here the
columns are all KH*KW*C entries of the kernel:

    for each image, in parallel
        columns (HO*WO, KH*KW*C) = dy @ w^T            rows of dy read where they stand, result in the cache
        planes (KH*KW*C, HO*WO) = columns^T            L x L numbers at a time, in registers
        for each row and phase of the image            pixels a stride apart, which meet the same entries
            add up runs of the planes, store them
        activation over the image

Floor: 2 N HO WO KH KW C O FLOPs; dy, w and dx once each. The columns of one image (196 x 16 for the last layer of a
28 x 28 generator, 12 KiB) never leave the cache. Each of them belongs to one pixel, but neighbours among them to pixels
a stride apart; added one by one where they belong, they took longer than the product. A plane holds what one entry
gives to all windows, so what neighbours of one phase are given lies side by side.
"""

from typing import NamedTuple

import numba
import numpy as np

from ..types import Array
from .epilogue import finish, place
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, TILE_ROWS, multiply_rows, tile_width
from .target import TARGET
from .vector import CACHE_LINE, expect_read, transpose_of

VECTOR_BYTES = TARGET.vector_bytes

PIXELS_AHEAD = 8 * TILE_ROWS
"""How far ahead the cache is asked for dy: 3,000 cycles with 64 channels."""

_transpose_square = transpose_of(VECTOR_BYTES)


def wins(channels: int, dtype: np.dtype) -> bool:
    """Whether C is so small that phases would waste more than half of a micro-tile's columns."""
    return 2 * channels <= TILE_BYTES // dtype.itemsize


def plane_stride(pixels: int, itemsize: int) -> int:
    """Numbers from one plane to the next: all pixels in whole cache lines, an odd number of them.

    With a power of two the squares that are transposed would share few places of the cache.
    """
    return (((pixels * itemsize + CACHE_LINE - 1) // CACHE_LINE) | 1) * (CACHE_LINE // itemsize)


_plane_stride = kernel(plane_stride)


class Scratch(NamedTuple):
    """Numbers of scratch: the packed kernel, and for each thread the columns of one image and its planes."""

    panels: int
    columns: int
    planes: int


def scratch_sizes(pixels: int, entries: int, inner: int, dtype: np.dtype) -> Scratch:
    """What `input_grad` needs; tiles of the product and squares of the transposition stick out of the pixels."""
    width, stride = TILE_BYTES // dtype.itemsize, plane_stride(pixels, dtype.itemsize)
    padded = -(-entries // width) * width
    return Scratch(inner * padded, (stride + TILE_ROWS) * padded, padded * stride)


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
        ahead = start + (first + PIXELS_AHEAD) * inner
        expect_read(dy, ahead, min(TILE_ROWS * inner, dy.size - ahead))
        for panel in range(b_panels):
            at = (first * b_panels + panel) * width
            multiply_rows(
                1, inner, dy, 0, rows, 0, 0, panels, panel * inner * width, columns, at, b_panels * width, False
            )


@kernel
def transpose_columns(columns: Array, pixels: int, padded: int, planes: Array, stride: int) -> None:
    """planes (padded entries, stride) = the columns (pixels, padded entries) transposed, whole squares of them."""
    lanes = VECTOR_BYTES // columns.itemsize
    for entry in range(0, padded, lanes):
        for p in range(0, pixels, lanes):
            _transpose_square(columns, p * padded + entry, padded, planes, entry * stride + p, stride)


@kernel
def add_planes(
    planes: Array,
    plane: int,
    windows: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    bias: Array,
    run: Array,
    dx: Array,
    start: int,
) -> None:
    """The image at `start` = bias + what its windows give to each pixel; planes lie `plane` numbers apart.

    Pixel q + j*SW of a row meets entry b in window j + (q + left - b)/SW, where that is whole.
    """
    phases = min(stride[1], size[1])
    for line in range(size[0] * channels * phases):
        r, c, q = line // (channels * phases), line // phases % channels, line % phases
        count = (size[1] - q + stride[1] - 1) // stride[1]
        run[:count] = bias[c] if bias.size else 0
        for a in range((r + before[0]) % stride[0], kernel_size[0], stride[0]):
            i = (r + before[0] - a) // stride[0]
            if i < 0 or i >= windows[0]:
                continue
            for b in range((q + before[1]) % stride[1], kernel_size[1], stride[1]):
                shift = (q + before[1] - b) // stride[1]
                first, end = max(0, -shift), min(count, windows[1] - shift)
                at = ((a * kernel_size[1] + b) * channels + c) * plane + i * windows[1] + shift
                place(planes, at + first, run, first, max(0, end - first), True)
        at, step = start + (r * size[1] + q) * channels + c, stride[1] * channels
        for j in range(count):
            dx[at + j * step] = run[j]


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
    planes: Array,
    runs: Array,
) -> None:
    pixels, entries = windows[0] * windows[1], kernel_size[0] * kernel_size[1] * channels
    padded = (entries + tile_width(dy) - 1) // tile_width(dy) * tile_width(dy)
    image, plane = size[0] * size[1] * channels, _plane_stride(pixels, dy.itemsize)
    slot, start = numba.get_thread_id(), n * image
    multiply_image(dy, n * pixels * inner, pixels, inner, entries, panels, rows[slot], columns[slot])
    transpose_columns(columns[slot], pixels, padded, planes[slot], plane)
    add_planes(planes[slot], plane, windows, kernel_size, stride, before, size, channels, bias, runs[slot], dx, start)
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
    planes: Array,
    runs: Array,
) -> None:
    """dx (N, H, W, C) = f(col2im(dy @ w^T) + bias); `before` = (top, left).

    Scratch as in `scratch_sizes`; `rows` (R,), `columns`, `planes` and `runs` (W,) have a row a thread.
    """
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
        planes,
        runs,
    )
    fork(_input_grad_image, dx.size // image, arguments)
