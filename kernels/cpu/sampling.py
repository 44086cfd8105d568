"""How a convolution reads an image as the rows of a matrix: the arithmetic of offsets.

Forward and input gradient are one kind of product. Row (n, i, j) of A is a patch of an image with a border of zeros:
`segments` runs of `length` contiguous numbers (a row of the patch, all its columns and channels), a fixed stride apart.
Row (n, i, j) of the result is a pixel of the target. Both lie at offsets that are linear in (n, i, j):

    forward          source x, target y: one sampling. Patch of KH rows of KW*C numbers.
    input gradient   source dy, target dx: one sampling for each of SH*SW phases. The pixels dx[p::SH, q::SW] meet the
                     kernel entries w[(p + top) % SH :: SH, (q + left) % SW :: SW] alone, so a phase is a dense
                     convolution of dy with stride 1 and that part of the kernel, turned by 180 degrees; nothing
                     multiplies the zeros that a strided convolution "inserts".

Axes as in the contract: x (N, H, W, C), w (KH, KW, C, O), y (N, HO, WO, O). Offsets and strides count numbers.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..types import Array, Pads, Pair, Shape
from .jit import kernel


class Sampling(NamedTuple):
    """A product whose rows are patches: a grid of (images, height, width) rows.

    Row (n, i, j) lies at source_start + n*source_image + i*source_row + j*source_column, its pixel likewise.
    """

    images: int
    height: int
    width: int
    source_start: int
    source_image: int
    source_row: int
    source_column: int
    target_start: int
    target_image: int
    target_row: int
    target_column: int
    segments: int
    length: int
    segment_stride: int
    columns: int  # channels of the target


class Phase(NamedTuple):
    """Part of an input gradient: the sampling, and the kernel entries that it uses, in the order of the patch."""

    sampling: Sampling
    entries: list[Pair]


@lru_cache(maxsize=1024)
def forward(x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, pads: Pads) -> Sampling:
    """The sampling of y = conv2d(x, w) over x with its pads written out."""
    n, h, w, c = x_shape
    height, width = h + pads[0] + pads[1], w + pads[2] + pads[3]
    kh, kw, _, o = w_shape
    _, ho, wo, _ = y_shape
    row = width * c
    source, target = (0, height * row, stride[0] * row, stride[1] * c), (0, ho * wo * o, wo * o, o)
    return Sampling(n, ho, wo, *source, *target, kh, kw * c, row, o)


def input_grad_pads(dy_shape: Shape, w_shape: Shape, dx_shape: Shape, stride: Pair, pads: Pads) -> Pads:
    """The border of zeros around dy inside which all patches of all phases lie."""
    vertical = _border(dy_shape[1], w_shape[0], dx_shape[1], stride[0], pads[0])
    horizontal = _border(dy_shape[2], w_shape[1], dx_shape[2], stride[1], pads[2])
    return (*vertical, *horizontal)


def _border(windows: int, kernel: int, size: int, stride: int, before: int) -> Pair:
    taps = -(-kernel // stride)
    return taps - 1, max(0, (size - 1 + before) // stride - (windows - 1))


def input_grad(dy_shape: Shape, w_shape: Shape, dx_shape: Shape, stride: Pair, pads: Pads) -> Iterator[Phase]:
    """The phases of dx = conv2d_input_grad(dy, w) over dy with `input_grad_pads` written out."""
    border = input_grad_pads(dy_shape, w_shape, dx_shape, stride, pads)
    n, ho, wo, o = dy_shape
    _, h, w, c = dx_shape
    height, width = ho + border[0] + border[1], wo + border[2] + border[3]
    for p in range(min(stride[0], h)):
        rows, first_row = _taps(p, w_shape[0], stride[0], pads[0])
        for q in range(min(stride[1], w)):
            columns, first_column = _taps(q, w_shape[1], stride[1], pads[2])
            top, left = first_row + border[0], first_column + border[2]
            source = ((top * width + left) * o, height * width * o, width * o, o)
            target = ((p * w + q) * c, h * w * c, stride[0] * w * c, stride[1] * c)
            grid = -(-(h - p) // stride[0]), -(-(w - q) // stride[1])
            sampling = Sampling(n, *grid, *source, *target, len(rows), len(columns) * o, width * o, c)
            yield Phase(sampling, [(a, b) for a in rows for b in columns])


def _taps(phase: int, kernel: int, stride: int, before: int) -> tuple[list[int], int]:
    """Kernel entries that pixel `phase` meets, last one first, and the window that the last one belongs to.

    Pixel r meets entry a in window (r + before - a)/stride, where that is whole: the larger a, the earlier the window.
    """
    entries = list(range((phase + before) % stride, kernel, stride))[::-1]
    return entries, (phase + before - entries[0]) // stride if entries else 0


@kernel
def locate(
    first: int,
    count: int,
    images: int,
    height: int,
    width: int,
    start: int,
    image: int,
    row: int,
    column: int,
    at: Array,
) -> None:
    """at[r] = start + n*image + i*row + j*column for rows (n, i, j) number first, ..., first + count - 1 of a grid.

    Behind the last row of the grid it is repeated. Counted up: three divisions a row took longer than a short product.
    """
    n, pixel = first // (height * width), first % (height * width)
    i, j = pixel // width, pixel % width
    rows = min(count, images * height * width - first)
    for r in range(rows):
        at[r] = start + n * image + i * row + j * column
        j += 1
        if j == width:
            i, j = i + 1, 0
            if i == height:
                n, i = n + 1, 0
    for r in range(rows, count):
        at[r] = at[rows - 1]
