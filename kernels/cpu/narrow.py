"""Input gradient onto an image of few channels (grey, colour): all its kernel entries at once, then added in place.

With C = 1 a phase of the implicit product would have one useful column among the W that a micro-tile computes. Here the
columns are all KH*KW*C entries of the kernel:

    for each image, in parallel
        columns (HO*WO, KH*KW*C) = dy @ w^T            rows of dy read where they stand, result in the cache; entries
                                                       for one vector of a last panel by thin tiles
        planes (KH*KW*C, HO, WO) = columns^T           L x L numbers at a time, in registers; zeros around each row
        for each phase of the image                    pixels a stride apart, which meet the same entries
            add up the planes of its entries, shifted; store them
        activation over the image

A convolution of stride 1 is such a sum as well, the input gradient of one whose kernel is turned by 180 degrees: where
it ends in few channels it goes the same way (the last layer of `r3gan`, 3x3 from 32 channels to one).

Floor: 2 N HO WO KH KW C O FLOPs; dx, w and dy once each. The columns of one image (196 x 16 for the last layer of a
28 x 28 generator, 12 KiB) never leave the cache. Each of them belongs to one pixel, but neighbours among them to pixels
a stride apart; added one by one where they belong, they took longer than the product. A plane holds what one entry
gives to all windows, so what neighbours of one phase are given lies side by side. For that layer, on one Zen 3 core, in
microseconds an image: product 4.6 (floor 3.9), planes 0.8, additions 1.1. Row by row, 14 numbers at a time, in place of
whole phases, the additions took 4 to 5. On AVX-512 its 16 entries are half of a panel: as a whole one, multiplied and
transposed with the other half, it took 1.4 to 1.8 times as long.
"""

from typing import NamedTuple

import numba
import numpy as np

from ..types import Array, Pads, Pair
from .epilogue import finish, place
from .fork import fork
from .jit import kernel, parallel_kernel
from .microkernel import THIN_ROWS, TILE_BYTES, TILE_ROWS, multiply_rows, multiply_thin_rows, tile_width
from .target import TARGET
from .vector import CACHE_LINE, expect_read, transpose_of

VECTOR_BYTES = TARGET.vector_bytes

PIXELS_AHEAD = 8 * TILE_ROWS
"""How far ahead the cache is asked for dy: 3,000 cycles with 64 channels."""

ROWS_AT_ONCE = max(TILE_ROWS, THIN_ROWS)
"""Most rows of a tile of either kind."""

_transpose_square = transpose_of(VECTOR_BYTES)


def wins(channels: int, dtype: np.dtype) -> bool:
    """Whether C is so small that phases would waste more than half of a micro-tile's columns."""
    return 2 * channels <= TILE_BYTES // dtype.itemsize


def turned_pads(kernel_size: Pair, pads: Pads) -> Pads:
    """Of the convolution of stride 1 that goes the other way; below 0 where windows lie in the border as a whole."""
    (top, bottom, left, right), (across, along) = pads, (kernel_size[0] - 1, kernel_size[1] - 1)
    return across - top, across - bottom, along - left, along - right


def turned_wins(kernel_size: Pair, channels: int, dtype: np.dtype) -> bool:
    """Whether so few channels take at most half the multiply-adds as columns that they take as a product."""
    width, taps = TILE_BYTES // dtype.itemsize, kernel_size[0] * kernel_size[1]
    return 2 * -(-taps * channels // width) <= taps


@parallel_kernel
def turn(w: Array, taps: int, channels: int, filters: int, add: bool, turned: Array) -> None:
    """turned (KH*KW, O, C) (+)= the kernel (KH*KW, C, O) turned by 180 degrees, and seen from the other side."""
    for t in range(taps):
        for c in range(channels):
            for o in range(filters):
                at = ((taps - 1 - t) * filters + o) * channels + c
                value = w[(t * channels + c) * filters + o]
                turned[at] = turned[at] + value if add else value


class Planes(NamedTuple):
    """Where planes lie: row i of plane b begins at b*stride + border + i*line, with `border` zeros before and after.

    The zeros are what pixels are given by windows that do not exist: with them a whole phase of the image is added up
    in one run for each entry of the kernel, without a thought of the ends of its rows.
    """

    border: int
    line: int
    stride: int


def planes_of(windows: Pair, kernel_size: Pair, stride: Pair, before: Pair, size: Pair, itemsize: int) -> Planes:
    """The layout for an image of that size; a row has room for whole squares of the transposition.

    (A column of windows, 4,096 x 1, takes eight times the planes for that, and 6 % longer.) A plane takes
    an odd number of cache lines: with a power of two the squares would share few places of the cache.
    """
    lanes, line = VECTOR_BYTES // itemsize, CACHE_LINE // itemsize
    wide, (step, left) = windows[1], (stride[1], before[1])
    shifts = [(q + left - b) // step for q in range(step) for b in range(kernel_size[1]) if (q + left - b) % step == 0]
    row = max(-(-wide // lanes) * lanes, wide - min(shifts), -(-size[1] // step) + max(shifts))
    return Planes(row - wide, row, (-(-((windows[0] + 1) * row - wide) // line) | 1) * line)


class Scratch(NamedTuple):
    """Numbers of scratch: the packed kernel; for each thread the columns of one image, its planes and one phase."""

    panels: int
    columns: int
    planes: int
    phase: int


def scratch_sizes(
    windows: Pair, entries: int, inner: int, size: Pair, stride: Pair, planes: Planes, dtype: np.dtype
) -> Scratch:
    """What `input_grad` needs; tiles of the product and squares of the transposition stick out of the pixels."""
    width, lanes = TILE_BYTES // dtype.itemsize, VECTOR_BYTES // dtype.itemsize
    padded, squares = -(-entries // width) * width, -(-entries // lanes) * lanes
    columns = (windows[0] * windows[1] + max(ROWS_AT_ONCE, lanes)) * padded
    return Scratch(inner * padded, columns, squares * planes.stride, -(-size[0] // stride[0]) * planes.line)


@kernel
def multiply_image(
    dy: Array, start: int, pixels: int, inner: int, entries: int, panels: Array, rows: Array, columns: Array
) -> None:
    """columns (pixels, padded entries) = dy of one image (pixels, O) @ w^T; rows beyond the last repeat it."""
    width, lanes = tile_width(dy), VECTOR_BYTES // dy.itemsize
    b_panels = (entries + width - 1) // width
    padded, thin = b_panels * width, b_panels * width - entries >= width - lanes
    wide = b_panels - 1 if thin else b_panels
    if wide:
        for first in range(0, pixels, TILE_ROWS):
            locate_rows(first, TILE_ROWS, start, pixels, inner, dy, rows)
            for panel in range(wide):
                at = first * padded + panel * width
                multiply_rows(1, inner, dy, 0, rows, 0, 0, panels, panel * inner * width, columns, at, padded, False)
    if thin:
        for first in range(0, pixels, THIN_ROWS):
            locate_rows(first, THIN_ROWS, start, pixels, inner, dy, rows)
            at = first * padded + wide * width
            multiply_thin_rows(1, inner, dy, 0, rows, 0, 0, panels, wide * inner * width, columns, at, padded, False)


@kernel
def locate_rows(first: int, count: int, start: int, pixels: int, inner: int, dy: Array, rows: Array) -> None:
    """Where the pixels of a tile begin; the cache is asked for those of a later one."""
    for i in range(count):
        rows[i] = start + min(first + i, pixels - 1) * inner
    ahead = start + (first + PIXELS_AHEAD) * inner
    expect_read(dy, ahead, min(count * inner, dy.size - ahead))


@kernel
def transpose_columns(
    columns: Array, windows: tuple[int, int], entries: int, padded: int, at: Planes, planes: Array
) -> None:
    """planes (entries, rows with their borders) = the columns (pixels, padded entries) transposed, by whole squares.

    Squares that stick out of a row write to the border after it, which is cleared afterwards.
    """
    lanes = VECTOR_BYTES // columns.itemsize
    for entry in range(0, entries, lanes):
        for i in range(windows[0]):
            for j in range(0, windows[1], lanes):
                pixel, to = i * windows[1] + j, entry * at.stride + at.border + i * at.line + j
                _transpose_square(columns, pixel * padded + entry, padded, planes, to, at.stride)
    for entry in range(entries):
        for i in range(windows[0] + 1):
            first = entry * at.stride + i * at.line
            for j in range(first, first + at.border):
                planes[j] = 0


@kernel
def add_planes(
    planes: Array,
    at: Planes,
    windows: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    before: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    bias: Array,
    phase: Array,
    dx: Array,
    start: int,
) -> None:
    """The image at `start` = bias + what its windows give to each pixel, a phase (p, q) of a channel at a time.

    Pixel p + i*SH of a column meets entry a in window i + (p + top - a)/SH, where that is whole; so along a row.
    """
    step = stride[1] * channels
    for p in range(min(stride[0], size[0])):
        rows = (size[0] - p + stride[0] - 1) // stride[0]
        for q in range(min(stride[1], size[1])):
            count = (size[1] - q + stride[1] - 1) // stride[1]
            for c in range(channels):
                phase[: rows * at.line] = bias[c] if bias.size else 0
                for a in range((p + before[0]) % stride[0], kernel_size[0], stride[0]):
                    down = (p + before[0] - a) // stride[0]
                    first, end = max(0, -down), min(rows, windows[0] - down)
                    if first >= end:
                        continue
                    for b in range((q + before[1]) % stride[1], kernel_size[1], stride[1]):
                        plane = ((a * kernel_size[1] + b) * channels + c) * at.stride + at.border
                        shifted = plane + (first + down) * at.line + (q + before[1] - b) // stride[1]
                        place(planes, shifted, phase, first * at.line, (end - first - 1) * at.line + count, True)
                for i in range(rows):
                    to = start + ((p + i * stride[0]) * size[1] + q) * channels + c
                    pixels, run = dx[to : to + count * step : step], phase[i * at.line : i * at.line + count]
                    for j in range(count):
                        pixels[j] = run[j]


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
    at: Planes,
    planes: Array,
    phase: Array,
) -> None:
    pixels, entries = windows[0] * windows[1], kernel_size[0] * kernel_size[1] * channels
    padded = (entries + tile_width(dy) - 1) // tile_width(dy) * tile_width(dy)
    image, slot = size[0] * size[1] * channels, numba.get_thread_id()
    start = n * image
    multiply_image(dy, n * pixels * inner, pixels, inner, entries, panels, rows[slot], columns[slot])
    transpose_columns(columns[slot], windows, entries, padded, at, planes[slot])
    add_planes(planes[slot], at, windows, kernel_size, stride, before, size, channels, bias, phase[slot], dx, start)
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
    at: Planes,
    planes: Array,
    phase: Array,
) -> None:
    """dx (N, H, W, C) = f(col2im(dy @ w^T) + bias); `before` = (top, left).

    Scratch as in `scratch_sizes`; `rows` (ROWS_AT_ONCE,), `columns`, `planes` and `phase` have a row a thread.
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
        at,
        planes,
        phase,
    )
    fork(_input_grad_image, dx.size // image, arguments)
