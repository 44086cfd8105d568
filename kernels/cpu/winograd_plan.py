"""Winograd convolution on paper: the matrices, and how an axis is cut into tiles.

F(m, r) gives m outputs of a filter of r taps with n = m + r - 1 products instead of m r (Winograd 1980; Lavin and Gray
2016, eq. 6 to 8):

    y = A^T [(G w) * (B^T x)]            x (n,), w (r,), y (m,);  * element by element

In polynomials: the filter's transpose, multiplying w by y, is done by evaluating both at n points, multiplying, and
interpolating. With V(k) the (n, k) Vandermonde matrix of the points, whose last row picks the highest coefficient (the
point at infinity):  A = V(m),  G = V(r),  B^T = (V(n)^-1)^T.

A stride of S splits an axis into S phases, x_p[i] = x[S i + p] with taps w_p[t] = w[S t + p], each of stride 1; their
products are summed before the last transform, so phases only make the inner sum longer.

An axis of outputs is cut into as few tiles as n <= 8 allows. Rounding errors grow with n. Relative to the norm of the
outputs, sums of 256 products a tap: 0.6e-6 in float32 without Winograd, 1.8e-6 with tiles of 4, 7.2e-6 with one of 7
(n = 8, points 0, +-1, +-1/2, +-2 and infinity), where the largest single error is 2.7e-5 of the largest output. n = 9
would make that 2e-4 at best. 7 outputs of 2 taps are 8 x 8 points in one tile and 9 x 9 in tiles of 4 and 3.
"""

from functools import cache, lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from ..types import Array, Pads, Pair, Shape
from .microkernel import TILE_ROWS

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0, -0.5, 2.0)
ORDER = len(POINTS) + 1
"""Largest n; all matrices are stored with rows of this length."""

FEWEST_TAPS, MOST_TAPS = 2, 3
LARGEST_TILE = ORDER + 1 - FEWEST_TAPS


def _vandermonde(points: tuple[float, ...], n: int, columns: int) -> Array:
    matrix = np.zeros((n, columns))
    for i, point in enumerate(points[: n - 1]):
        matrix[i] = point ** np.arange(columns)
    matrix[n - 1, columns - 1] = 1
    return matrix


@cache
def matrices(outputs: int, taps: int) -> tuple[Array, Array, Array]:
    """(A^T (m, n), G (n, r), B^T (n, n)) of F(m, r); powers of two move from B^T to G, to keep numbers near 1."""
    n = outputs + taps - 1
    a, g = _vandermonde(POINTS, n, outputs), _vandermonde(POINTS, n, taps)
    bt = np.linalg.inv(_vandermonde(POINTS, n, n)).T
    scale = 2.0 ** np.round(np.log2(np.abs(bt).max(axis=1)))
    return a.T, g * scale[:, None], bt / scale[:, None]


def cut(size: int, taps: int) -> list[int]:
    """Tiles that add up to `size` >= 2: as few as there can be, all but equal, longer ones first."""
    tiles = -(-size // (ORDER + 1 - taps))
    return [-(-(size - i) // tiles) for i in range(tiles)]


class Geometry(NamedTuple):
    """Sizes that every kernel needs; vertical before horizontal."""

    images: int
    size_v: int  # of the image
    size_h: int
    before_v: int  # the pad at the top
    before_h: int
    channels: int
    rows: int  # of the output
    columns: int
    filters: int
    kernel_v: int
    kernel_h: int
    stride_v: int
    stride_h: int
    patch: int  # K = SH SW C, the channels of all phases side by side


class Kind(NamedTuple):
    """A size of tile, as a row of `Plan.kinds`. A pass numbers its tiles place by place in the image."""

    m_v: int
    m_h: int
    n_v: int
    n_h: int
    first_tile: int  # in `Plan.tiles`
    tiles: int  # in an image
    z_at: int  # where its part begins of what a group stores: Z, and the lines of dx
    x_at: int


M_V, M_H, N_V, N_H, FIRST_TILE, TILES, Z_AT, X_AT = range(len(Kind._fields))
"""The fields of a kind by number."""


class Plan(NamedTuple):
    """A Winograd convolution of one shape, as the kernels read it."""

    geometry: Geometry
    kinds: Array  # (kinds, fields of Kind)
    tiles: Array  # (tiles of an image, 2): first output row and column
    passes: Array  # (passes, 3): kind, first image, images
    groups: Array  # (groups, 2), passes of all kinds together: first image, images
    lines: Array  # (lines, 2): kind, vertical point
    tables: Array  # (2 axes, LARGEST_TILE + 1, 6, ORDER*ORDER) flat: for each m the matrices B^T, B, A^T, A, G, G^T
    u_size: int  # numbers that a pass stores, at most: U, Z, the lines of y and of dw
    z_size: int
    y_size: int
    w_size: int
    group_z_size: int  # numbers that a group stores, at most: Z, the lines of dx
    x_size: int


BT, B, AT, A, G, GT = range(6)
"""Places in `Plan.tables`."""

MOST_TILES, MANY_FILTERS = 128, 256


def tiles_of_pass(filters: int) -> int:
    """Tiles of a kind in a pass at most, but for those of a single image.

    The more tiles, the less the transform of V weighs; the fewer, the less of the caches U takes. Passes of 64 tiles
    are up to 15 % faster with 128 filters and fewer, passes of 128 tiles with 256 filters and more; passes of 32 tiles
    take 5 % longer than those of 64.
    """
    return MOST_TILES if filters >= MANY_FILTERS else MOST_TILES // 2


def apart(rows: int, stride: int, itemsize: int) -> int:
    """From a point's matrix, or a line, of `rows` rows to the next: five cache lines more than a multiple of 4 KiB.

    The numbers of a tile are written at all points together, and read from all lines; a multiple of 4 KiB apart, all
    would have to share the eight lines of one set of the first cache.
    """
    size = rows * stride * itemsize
    return (size + (320 - size) % 4096) // itemsize


@lru_cache(maxsize=256)
def plan(size: Shape, w_shape: Shape, outputs: Pair, stride: Pair, pads: Pads, dtype: np.dtype) -> Plan:
    """The plan of the convolution of an image batch `size` (N, H, W) to `outputs` (HO, WO)."""
    images, image, (kh, kw, c, o) = size[0], (size[1], size[2]), w_shape
    taps = taps_of(kh, stride[0]), taps_of(kw, stride[1])
    cuts = cut(outputs[0], taps[0]), cut(outputs[1], taps[1])
    kinds, tiles = _kinds(cuts, taps)
    k = stride[0] * stride[1] * c

    most = tiles_of_pass(o)
    passes = [(number, *part) for number, kind in enumerate(kinds) for part in parts(images, most // kind.tiles)]
    of_pass = [0, 0, 0, 0]
    for number, _, count in passes:
        m_h, n_v, n_h, in_pass = kinds[number].m_h, kinds[number].n_v, kinds[number].n_h, count * kinds[number].tiles
        u, z = (apart(in_pass + TILE_ROWS, columns, dtype.itemsize) for columns in (k, o))
        y = apart(in_pass, m_h * o, dtype.itemsize)
        stored = n_v * n_h * u, n_v * n_h * z, n_v * y, n_v * taps[1] * k * o
        of_pass = [max(*pair) for pair in zip(of_pass, stored, strict=True)]

    groups = parts(images, most // max(kind.tiles for kind in kinds))
    of_group = [0, 0]
    for number, kind in enumerate(kinds):
        kinds[number] = kind._replace(z_at=of_group[0], x_at=of_group[1])
        in_group = kind.tiles * max(count for _, count in groups)
        of_group[0] += kind.n_v * kind.n_h * apart(in_group + TILE_ROWS, o, dtype.itemsize)
        of_group[1] += kind.n_v * apart(in_group, kind.n_h * k, dtype.itemsize)

    return Plan(
        Geometry(images, *image, pads[0], pads[2], c, *outputs, o, kh, kw, stride[0], stride[1], k),
        np.array(kinds, np.int64),
        np.array(tiles, np.int64),
        np.array(passes, np.int64),
        np.array(groups, np.int64),
        np.array([(number, i) for number, kind in enumerate(kinds) for i in range(kind.n_v)], np.int64),
        np.stack([_tables(lengths, t, dtype) for lengths, t in zip(cuts, taps, strict=True)]).ravel(),
        *of_pass,
        *of_group,
    )


def _kinds(cuts: tuple[list[int], list[int]], taps: Pair) -> tuple[list[Kind], list[Pair]]:
    """The kinds of tiles, not placed yet, and the first output row and column of each tile of an image."""
    kinds: list[Kind] = []
    tiles: list[Pair] = []
    for m_v, m_h in product(*(sorted(set(lengths), reverse=True) for lengths in cuts)):
        corners = list(product(_starts(cuts[0], m_v), _starts(cuts[1], m_h)))
        kinds.append(Kind(m_v, m_h, m_v + taps[0] - 1, m_h + taps[1] - 1, len(tiles), len(corners), 0, 0))
        tiles += corners
    return kinds, tiles


def product_flops(plan: Plan) -> int:
    """Multiplications and additions of the products between the transforms: 2 K O for each point of each tile."""
    points = (plan.kinds[:, N_V] * plan.kinds[:, N_H] * plan.kinds[:, TILES]).sum()
    return int(2 * points * plan.geometry.images * plan.geometry.patch * plan.geometry.filters)


@lru_cache(maxsize=1024)
def products_of_filter(kernel: Pair, outputs: Pair, stride: Pair) -> int:
    """Multiplications between the transforms for each channel and filter of an image."""
    points = [
        sum(m + taps_of(taps, step) - 1 for m in cut(size, taps_of(taps, step)))
        for taps, size, step in zip(kernel, outputs, stride, strict=True)
    ]
    return points[0] * points[1] * stride[0] * stride[1]


def taps_of(kernel: int, stride: int) -> int:
    """Taps of a phase of a filter, r; the later phases may have one less, which counts as a tap of 0."""
    return -(-kernel // stride)


def parts(count: int, most: int) -> list[Pair]:
    """0..count in as few ranges as there can be of at most `most`, or of 1, all but equal: (first, length) of each."""
    parts = -(-count // max(1, most))
    edges = [count * i // parts for i in range(parts + 1)]
    return [(first, end - first) for first, end in pairwise(edges)]


def _starts(lengths: list[int], length: int) -> list[int]:
    """Where the tiles of this length begin."""
    return [sum(lengths[:i]) for i, other in enumerate(lengths) if other == length]


def _tables(lengths: list[int], taps: int, dtype: np.dtype) -> Array:
    """(LARGEST_TILE + 1, 6, ORDER*ORDER): the matrices for each m, in the upper left corner of ORDER x ORDER."""
    table = np.zeros((LARGEST_TILE + 1, 6, ORDER, ORDER), dtype)
    for m in set(lengths):
        at, g, bt = matrices(m, taps)
        for place, matrix in zip((BT, B, AT, A, G, GT), (bt, bt.T, at, at.T, g, g.T), strict=True):
            table[m, place, : matrix.shape[0], : matrix.shape[1]] = matrix
    return table.reshape(LARGEST_TILE + 1, 6, ORDER * ORDER)


@lru_cache(maxsize=1024)
def applies(x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, tile_width: int) -> bool:
    """Whether there is a plan: 2 or 3 taps a phase, at least 2 outputs an axis, channels in whole panels."""
    taps = [taps_of(kernel, step) for kernel, step in zip(w_shape[:2], stride, strict=True)]
    return (
        all(FEWEST_TAPS <= t <= MOST_TAPS for t in taps)
        and min(y_shape[1:3]) >= 2
        and min(w_shape[:2]) >= max(stride)
        and x_shape[0] > 0
        and w_shape[2] % tile_width == 0
        and w_shape[3] % tile_width == 0
    )
