"""Convolutions with few taps, KH*KW*C of them: an image of one channel, or of three.

The phases of an input gradient onto more channels than `narrow` takes have few taps, too, where dy has few channels.

There is little to compute for each number that is written or read (16 multiply-adds for a 4x4 kernel on a grey image,
eight cycles of two units for a vector of numbers), so a block of results of its own, a second pass for bias and
activation, or patches packed into panels would cost as much as the product. The tiles of `direct_tile` go without any
of them:

    forward            for each block of pixels, in parallel
                           for each R pixels, for each W channels: one tile, finished, to where it belongs

    weight gradient    for each chunk of the lines of dy, in parallel
                           for each band of lines           what the first-level cache holds of dy
                               for each W channels, for each R taps: one tile over all pixels of the band
                       add up the chunks' dw in order

While a tile is computed the cache is asked for what the next one will write, or, where that pays (see `target`), for a
share of the next band: on Cascade Lake the weight gradient of dcgan took 1.1 times as long with that, of r3gan 1.35.

Floor: 2 N HO WO KH KW C O FLOPs; x, w and y (or dy) once each. The products of one image channel are near both: those
of dcgan take 26 MFLOP and 3.2 MB, 0.26 ms of a core at its peak and 0.13 ms of a bandwidth of 25 GB/s.
"""

import numba
import numpy as np

from ..types import Array
from .direct_tile import (
    DIRECT_ROWS,
    SHORT_TAPS,
    add_fewer_outer_products,
    add_outer_products,
    add_short_outer_products,
    multiply_taps,
)
from .fork import fork
from .implicit_gemm import locate_block
from .jit import kernel, parallel_kernel
from .microkernel import TILE_BYTES, tile_width
from .sampling import Sampling, locate
from .target import TARGET
from .vector import clear_run, copy_run, expect_read
from .weight_grad import Panels, add_chunks

MOST_TAPS = 80
"""Up to 5x5 taps of three channels. The offsets of the taps are read one by one, which long runs have no need of."""

BAND_BYTES = 24 << 10
"""Part of dy that a band takes: the first-level cache holds it together with the lines of the image."""

BAND_LINES = 64
"""Most lines in a band."""

LEAST_PIXELS, MOST_PIXEL_BYTES = 28, 2 << 10
"""Pixels in a band of dy, at least, and bytes of each, at most, for the weight gradient to go by bands."""


def applies(sampling: Sampling) -> bool:
    """Whether a patch has so few taps."""
    return sampling.segments * sampling.length <= MOST_TAPS


def applies_to_weights(sampling: Sampling, dtype: np.dtype) -> bool:
    """Whether, besides, dy is so narrow that a band of it is worth its tiles.

    A tile loads and stores R W numbers of dw for the pixels of one band, in `weight_grad` for DEPTH patches: the wider
    dy, the fewer pixels has a band, and dw itself outgrows the caches. dy (16, 14, 14, 1024) of an image of 80 channels
    and a kernel of 1x1 took 15.6 ms by bands of one line, 10.8 ms as a product like all others.
    """
    pixel_bytes = padded_columns(sampling, dtype) * dtype.itemsize
    pixels = band_pixels(sampling, dtype)
    return applies(sampling) and pixel_bytes <= MOST_PIXEL_BYTES and pixels >= LEAST_PIXELS


def band_pixels(sampling: Sampling, dtype: np.dtype) -> int:
    """Pixels of dy in a band."""
    return sampling.width * band_lines(sampling.width, padded_columns(sampling, dtype) * dtype.itemsize)


def band_lines(width: int, pixel_bytes: int) -> int:
    """Lines of dy in a band: as many as fit it, or one that is longer."""
    return max(1, min(BAND_LINES, BAND_BYTES // max(width * pixel_bytes, 1)))


_band_lines = kernel(band_lines)


def padded_columns(sampling: Sampling, dtype: np.dtype) -> int:
    """Channels of the result, made up to whole panels."""
    width = TILE_BYTES // dtype.itemsize
    return -(-sampling.columns // width) * width


def padded_taps(sampling: Sampling) -> int:
    """Taps, made up to whole tiles of the weight gradient."""
    return -(-sampling.segments * sampling.length // DIRECT_ROWS) * DIRECT_ROWS


def panels_of(sampling: Sampling, dtype: np.dtype) -> Panels:
    """The B panels of dy (M, O): as it stands if its rows are made of whole panels, else packed."""
    width = TILE_BYTES // dtype.itemsize
    if sampling.columns % width == 0:
        return Panels(width, sampling.columns)
    return Panels(sampling.images * sampling.height * sampling.width * width, width)


@kernel
def locate_taps(s: Sampling, taps: Array) -> None:
    """taps[t] = offset of tap t from the first of its patch; behind the last one it is repeated."""
    k = s.segments * s.length
    for t in range(k):
        taps[t] = t // s.length * s.segment_stride + t % s.length
    for t in range(k, taps.size):
        taps[t] = taps[k - 1]


@kernel
def _convolve_block(
    b: int,
    s: Sampling,
    blocks: int,
    source: Array,
    taps: Array,
    panels: Array,
    bias: Array,
    slope: float,
    y: Array,
    offsets: Array,
) -> None:
    slot, width, k = numba.get_thread_id(), tile_width(y), s.segments * s.length
    source_at, target_at = offsets[slot, 0], offsets[slot, 1]
    _, rows = locate_block(b, blocks, DIRECT_ROWS, s, source_at, target_at)
    for tile in range(0, rows, DIRECT_ROWS):
        following = min(tile + DIRECT_ROWS, rows - DIRECT_ROWS)
        for c in range(0, s.columns, width):
            shift, left = c, s.columns - c
            multiply_taps(
                k, source, source_at, tile, taps, panels, c * k, bias, shift, slope, y, target_at, c, left, following
            )


@parallel_kernel
def convolve(
    s: Sampling,
    blocks: int,
    source: Array,
    panels: Array,
    bias: Array,
    slope: float,
    y: Array,
    taps: Array,
    shifts: Array,
    offsets: Array,
) -> None:
    """y = f(patches(source) @ panels + bias), the B panels packed as for an implicit product.

    Scratch: `taps` (KH*KW*C,), `shifts` (padded columns,) for the bias, `offsets` (2, rows of a block) for each thread.
    """
    locate_taps(s, taps)
    clear_run(shifts, 0, shifts.size)
    copy_run(bias, 0, shifts, 0, bias.size)
    fork(_convolve_block, blocks, (s, blocks, source, taps, panels, shifts, slope, y, offsets))


def taps_of_tile(left: int, tiles: int) -> int:
    """Taps of the next of so many tiles for those that are left: the fewest for which whole tiles do the others.

    Few are computed for nothing so: on AVX-512 16 are 8 + 8, on AVX2 4 + 6 + 6; 25 8 + 8 + 9, 4 + 4 + 5 + 6 + 6.
    """
    for rows in (SHORT_TAPS, DIRECT_ROWS - 1):
        if rows + (tiles - 1) * DIRECT_ROWS >= left:
            return rows
    return DIRECT_ROWS


_taps_of_tile = kernel(taps_of_tile)


@kernel
def multiply_band(
    s: Sampling,
    line: int,
    lines: int,
    following: int,
    source: Array,
    source_at: Array,
    taps: Array,
    dy: Array,
    panels: Panels,
    block: Array,
    add: bool,
) -> None:
    """block (taps, padded columns) (+)= the products of `lines` lines of dy, while `following` more are asked for."""
    width, k = tile_width(source), s.segments * s.length
    padded = (s.columns + width - 1) // width * width
    tiles = (k + DIRECT_ROWS - 1) // DIRECT_ROWS
    share = following * s.width * width
    for panel in range(padded // width):
        start = panel * panels.stride + line * s.width * panels.row
        if panels.row == width:
            ahead = start + lines * s.width * width
        else:
            ahead = (line + lines) * s.width * panels.row + panel * share
        tap = 0
        for tile in range(tiles):
            begin = share * tile // tiles
            if TARGET.asks_ahead:
                expect_read(dy, ahead + begin, share * (tile + 1) // tiles - begin)
            rows, to, pixels = _taps_of_tile(k - tap, tiles - tile), tap * padded + panel * width, lines * s.width
            if rows == DIRECT_ROWS:
                add_outer_products(pixels, source, source_at, taps, tap, dy, start, panels.row, block, to, padded, add)
            elif rows == SHORT_TAPS:
                add_short_outer_products(
                    pixels, source, source_at, taps, tap, dy, start, panels.row, block, to, padded, add
                )
            else:
                add_fewer_outer_products(
                    pixels, source, source_at, taps, tap, dy, start, panels.row, block, to, padded, add
                )
            tap += rows


@kernel
def _weight_grad_chunk(
    chunk: int,
    s: Sampling,
    chunks: int,
    source: Array,
    taps: Array,
    dy: Array,
    panels: Panels,
    partials: Array,
    offsets: Array,
    blocks: Array,
) -> None:
    slot, width = numba.get_thread_id(), tile_width(source)
    at, block = offsets[slot], blocks[slot]
    k, lines = s.segments * s.length, s.images * s.height
    padded = (s.columns + width - 1) // width * width
    first, end = lines * chunk // chunks, lines * (chunk + 1) // chunks
    band = _band_lines(s.width, padded * source.itemsize)
    for line in range(first, max(end, first + 1), band):  # no lines: a block of zeros
        count = min(band, end - line)
        image, row, column = s.source_image, s.source_row, s.source_column
        locate(line * s.width, count * s.width, s.images, s.height, s.width, s.source_start, image, row, column, at)
        following = min(band, end - line - count)
        multiply_band(s, line, count, following, source, at, taps, dy, panels, block, line > first)
    for tap in range(k):
        copy_run(block, tap * padded, partials, (chunk * k + tap) * s.columns, s.columns)


@parallel_kernel
def weight_grad(
    s: Sampling,
    chunks: int,
    source: Array,
    dy: Array,
    panels: Panels,
    dw: Array,
    accumulate: bool,
    taps: Array,
    partials: Array,
    offsets: Array,
    blocks: Array,
) -> None:
    """dw (+)= patches^T dy, dy as its `panels_of` lie.

    Scratch: `taps` (padded taps,), `partials` (chunks, taps, columns), and for each thread `offsets` (pixels of a
    band,) and `blocks` (padded taps, padded columns).
    """
    k = s.segments * s.length
    locate_taps(s, taps)
    fork(_weight_grad_chunk, chunks, (s, chunks, source, taps, dy, panels, partials, offsets, blocks))
    fork(add_chunks, k, (s.columns, chunks, k * s.columns, partials, dw, accumulate))
