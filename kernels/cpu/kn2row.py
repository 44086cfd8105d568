"""Convolutions onto few pixels: a product for every window and tap that meet inside the image, and none for the border.

A convolution is a sum over the taps of its kernel, each a matrix (C, O) that multiplies shifted pixels (kn2row:
Vasudevan, Anderson and Gregg 2017). With x_s (N, C) the pixels s of all images and y_p (N, O) the windows p,

    y_p  = sum over t of x_s w_t        dx_s = sum over t of dy_p w_t^T        dw_t = sum over p of x_s^T dy_p

over the pairs (p, t) whose pixel s exists. Where the image is hardly larger than the kernel that is the minority: of
4 x 4 pixels to 2 x 2 by a 5 x 5 kernel of stride 2, 49 of 100, and Winograd's transforms need 64 products.

A work item is a few panels of y or dx, or a block of rows of dw_t. For y and dx it goes through the taps, and packs the
tap's panel of w, 64 bytes for each number of the sum on AVX2, just before the pairs use it; of few points the sums stay
in the second-level cache. A weight that meets only the border has no part in y, not even one that is not finite.

Floor: 2 C O FLOPs for each pair and image; w (or dw) once for each pass, the rest stays in the caches.
"""

from functools import lru_cache
from typing import NamedTuple

import numba
import numpy as np

from ..types import Array, Pads, Pair, Shape
from .epilogue import finish, place
from .fork import fork
from .gemm import ask_for_rows, panels_of, rows_of_panel
from .jit import kernel, parallel_kernel
from .microkernel import SHORT_ROWS, TILE_ROWS, multiply_short_tile, multiply_tile, tile_width
from .packing import pack_column_rows, pack_columns
from .row_blocks import multiply_blocks, row_in_blocks, rows_in_one, whole_tiles
from .vector import clear_run, copy_run
from .winograd_plan import MOST_TILES, apart, parts

MOST_SUMS = 16
"""Sums of an item, panels times points, but for a single panel of more points: (images of a pass, W) each, a quarter of
the second-level cache."""

MOST_PANELS = 4

BLOCK_PANELS = 8
"""Micro-tiles' heights in a block of dw: their part of x, for a few pixels, fits the second-level cache."""


class Pairs(NamedTuple):
    """A convolution of one shape by its pairs, as the kernels read it."""

    pixels: int
    windows: int
    channels: int
    filters: int
    taps: int
    places: Array  # (pairs, 2): pixel, window; tap by tap
    first: Array  # (taps + 1,): where a tap's pairs begin
    passes: Array  # (passes, 2): first image, images
    x_apart: int  # from a pixel's matrix (images of a pass, C) in blocks of rows to the next
    y_apart: int  # from a window's (images, O)


@lru_cache(maxsize=256)
def pairs(x_shape: Shape, w_shape: Shape, outputs: Pair, stride: Pair, pads: Pads, dtype: np.dtype) -> Pairs:
    """The pairs of a convolution of x (N, H, W, C) with w (KH, KW, C, O) to `outputs` (HO, WO)."""
    (n, h, w, c), (kh, kw, _, o), (ho, wo) = x_shape, w_shape, outputs
    places, first = [], [0]
    for i, j in np.ndindex(kh, kw):
        for a, b in np.ndindex(ho, wo):
            row, column = a * stride[0] - pads[0] + i, b * stride[1] - pads[2] + j
            if 0 <= row < h and 0 <= column < w:
                places.append((row * w + column, a * wo + b))
        first.append(len(places))
    passes = parts(n, MOST_TILES)
    most = max(count for _, count in passes) + TILE_ROWS
    return Pairs(
        h * w,
        ho * wo,
        c,
        o,
        kh * kw,
        np.array(places, np.int64).reshape(-1, 2),
        np.array(first, np.int64),
        np.array(passes, np.int64),
        apart(most, c, dtype.itemsize),
        apart(most, o, dtype.itemsize),
    )


@lru_cache(maxsize=1024)
def applies(x_shape: Shape, w_shape: Shape, width: int) -> bool:
    """Whether the kernels can: channels in whole panels, and images that are not empty."""
    return min(x_shape[:3]) > 0 and w_shape[2] % width == 0 and w_shape[3] % width == 0


@lru_cache(maxsize=1024)
def met(size: Pair, kernel: Pair, outputs: Pair, stride: Pair, pads: Pads) -> int:
    """Number of pairs."""
    both = 1
    for axis, before in enumerate((pads[0], pads[2])):
        places = (a * stride[axis] - before + i for a in range(outputs[axis]) for i in range(kernel[axis]))
        both *= sum(0 <= place < size[axis] for place in places)
    return both


def panels_of_item(points: int) -> int:
    """Panels of a product that an item takes, each with sums for all points."""
    return max(1, min(MOST_PANELS, MOST_SUMS // points))


_panels_of_item, _panels_of = kernel(panels_of_item), kernel(panels_of)


@kernel
def rows_of_image(
    item: int, first: int, points: int, columns: int, per_block: int, distance: int, image: Array, u: Array
) -> None:
    """Image first + item (points, columns) as a row of each point's matrix, in blocks of per_block rows."""
    run, start = tile_width(image), (first + item) * points * columns
    for point in range(points):
        to = point * distance + row_in_blocks(item, per_block, columns, run)
        for c in range(0, columns, run):
            copy_run(image, start + point * columns + c, u, to + c * per_block, run)


@kernel
def items_of(points: int, columns: int, run: int) -> int:
    """Items of a product with so many columns."""
    return (columns + _panels_of_item(points) * run - 1) // (_panels_of_item(points) * run)


@kernel
def columns_of_item(item: int, points: int, columns: int, run: int) -> tuple[int, int]:
    """First column of an item, and the first one behind it."""
    count = _panels_of_item(points) * run
    return item * count, min(columns, (item + 1) * count)


@kernel
def deliver_sums(
    points: int, columns: int, begin: int, end: int, first: int, images: int, sums: Array, bias: Array, slope: float,
    y: Array,
) -> None:  # fmt: skip
    """Columns [begin, end) of y (N, points, columns) = f(sums (panels, points, images in whole tiles, W) + bias)."""
    run, product = tile_width(y), whole_tiles(images) * tile_width(y)
    for n in range(images):
        for point in range(points):
            at = ((first + n) * points + point) * columns
            for q in range(begin, end, run):
                copy_run(sums, ((q - begin) // run * points + point) * product + n * run, y, at + q, run)
            finish(y, at + begin, end - begin, bias, begin, slope)


@kernel
def forward_item(
    item: int, p: Pairs, first: int, images: int, u: Array, w: Array, bias: Array, slope: float, y: Array,
    panels: Array, products: Array,
) -> None:  # fmt: skip
    """A few panels of y of a pass's images."""
    run, panel, sums = tile_width(y), panels[numba.get_thread_id()], products[numba.get_thread_id()]
    begin, end = columns_of_item(item, p.windows, p.filters, run)
    product = whole_tiles(images) * run
    clear_run(sums, 0, (end - begin) // run * p.windows * product)
    for t in range(p.taps):
        if p.first[t] == p.first[t + 1]:
            continue
        for q in range(begin, end, run):
            start = t * p.channels * p.filters + q
            pack_columns(w, start, p.filters, p.channels, run, panel, 0)
            following = start + run if q + run < end else start + p.channels * p.filters - q + begin
            ask_for_rows(0, 1, w, following, p.filters, p.channels, run)
            for pair in range(p.first[t], p.first[t + 1]):
                pixel, window = p.places[pair]
                at = ((q - begin) // run * p.windows + window) * product
                multiply_blocks(0, images, p.channels, u, pixel * p.x_apart, panel, sums, at, True)
    deliver_sums(p.windows, p.filters, begin, end, first, images, sums, bias, slope, y)


@kernel
def input_grad_item(
    item: int, p: Pairs, first: int, images: int, z: Array, w: Array, bias: Array, slope: float, dx: Array,
    panels: Array, products: Array,
) -> None:  # fmt: skip
    """A few panels of dx of a pass's images."""
    run, panel, sums = tile_width(dx), panels[numba.get_thread_id()], products[numba.get_thread_id()]
    begin, end = columns_of_item(item, p.pixels, p.channels, run)
    product = whole_tiles(images) * run
    clear_run(sums, 0, (end - begin) // run * p.pixels * product)
    for t in range(p.taps):
        if p.first[t] == p.first[t + 1]:
            continue
        for q in range(begin, end, run):
            pack_column_rows(w, (t * p.channels + q) * p.filters, p.filters, p.filters, run, panel, 0)
            for pair in range(p.first[t], p.first[t + 1]):
                pixel, window = p.places[pair]
                at = ((q - begin) // run * p.pixels + pixel) * product
                multiply_blocks(0, images, p.filters, z, window * p.y_apart, panel, sums, at, True)
    deliver_sums(p.pixels, p.channels, begin, end, first, images, sums, bias, slope, dx)


@kernel
def blocks_of_tap(channels: int) -> int:
    """Items of the weight gradient of a tap."""
    whole, short = _panels_of(channels)
    return (whole + short + BLOCK_PANELS - 1) // BLOCK_PANELS


@kernel
def weight_grad_item(
    item: int, p: Pairs, first: int, images: int, x: Array, z: Array, dw: Array, add: bool, blocks: Array, tiles: Array
) -> None:
    """BLOCK_PANELS micro-tiles' heights of dw_t, of a pass's images."""
    run, block, tile = tile_width(dw), blocks[numba.get_thread_id()], tiles[numba.get_thread_id()]
    whole, short = _panels_of(p.channels)
    heights, of_tap = whole + short, blocks_of_tap(p.channels)
    t, begin = item // of_tap, item % of_tap * BLOCK_PANELS
    end, width = min(heights, begin + BLOCK_PANELS), BLOCK_PANELS * TILE_ROWS
    top, (bottom, last) = rows_of_panel(begin, p.channels)[0], rows_of_panel(end - 1, p.channels)
    count, per_block = p.first[t + 1] - p.first[t], rows_in_one(images)
    for i in range(count):
        pixel = p.places[p.first[t] + i, 0]
        for n in range(images):
            source = ((first + n) * p.pixels + pixel) * p.channels + top
            copy_run(x, source, block, (i * images + n) * width, bottom + last - top)
    for row in range(top, bottom + last if count == 0 and not add else top):
        clear_run(dw, (t * p.channels + row) * p.filters, p.filters)
    for o in range(0, p.filters, run):
        for height in range(begin, end):
            row, rows = rows_of_panel(height, p.channels)
            at = (t * p.channels + row) * p.filters + o
            for i in range(count):
                start, to_add = i * images * width + row - top, add or i > 0
                source = p.places[p.first[t] + i, 1] * p.y_apart + o * per_block
                if rows == TILE_ROWS:
                    multiply_tile(images, block, start, width, z, source, run, dw, at, p.filters, to_add)
                elif rows == SHORT_ROWS:
                    multiply_short_tile(images, block, start, width, z, source, run, dw, at, p.filters, to_add)
                else:
                    multiply_tile(images, block, start, width, z, source, run, tile, 0, run, False)
                    for r in range(rows):
                        place(tile, r * run, dw, at + r * p.filters, run, to_add)


@parallel_kernel
def forward(
    p: Pairs, x: Array, w: Array, bias: Array, slope: float, y: Array, u: Array, panels: Array, products: Array
) -> None:
    """y = f(conv2d(x, w) + bias), U (pixels, x_apart), with a row of `panels` and `products` for each thread."""
    items = items_of(p.windows, p.filters, tile_width(y))
    for first, images in p.passes:
        fork(rows_of_image, images, (first, p.pixels, p.channels, TILE_ROWS, p.x_apart, x, u))
        fork(forward_item, items, (p, first, images, u, w, bias, slope, y, panels, products))


@parallel_kernel
def input_grad(
    p: Pairs, dy: Array, w: Array, bias: Array, slope: float, dx: Array, z: Array, panels: Array, products: Array
) -> None:
    """dx = f(conv2d_input_grad(dy, w) + bias), Z (windows, y_apart)."""
    items = items_of(p.pixels, p.channels, tile_width(dx))
    for first, images in p.passes:
        fork(rows_of_image, images, (first, p.windows, p.filters, TILE_ROWS, p.y_apart, dy, z))
        fork(input_grad_item, items, (p, first, images, z, w, bias, slope, dx, panels, products))


@parallel_kernel
def weight_grad(
    p: Pairs, x: Array, dy: Array, dw: Array, accumulate: bool, z: Array, blocks: Array, tiles: Array
) -> None:
    """dw (+)= conv2d_weight_grad(x, dy), Z (windows, y_apart)."""
    add = accumulate
    for first, images in p.passes:
        per_block = rows_in_one(images)
        fork(rows_of_image, images, (first, p.windows, p.filters, per_block, p.y_apart, dy, z))
        fork(weight_grad_item, p.taps * blocks_of_tap(p.channels), (p, first, images, x, z, dw, add, blocks, tiles))
        add = True
