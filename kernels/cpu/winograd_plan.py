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
from itertools import product
from typing import NamedTuple

import numpy as np

from ..types import Array, Pads, Pair, Shape

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
    height: int  # of a phase of the image, with as much of its border as tiles reach
    width: int
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
    """A size of tile, as a row of `Plan.kinds`. Its tiles are numbered image by image."""

    m_v: int
    m_h: int
    n_v: int
    n_h: int
    first_tile: int  # in `Plan.tiles`
    tiles: int  # in an image
    z_at: int  # where its part begins of what an input gradient stores of all tiles: Z, and the lines of dx
    x_at: int


M_V, M_H, N_V, N_H, FIRST_TILE, TILES, Z_AT, X_AT = range(len(Kind._fields))
"""The fields of a kind by number."""


class Plan(NamedTuple):
    """A Winograd convolution of one shape, as the kernels read it."""

    geometry: Geometry
    kinds: Array  # (kinds, fields of Kind)
    tiles: Array  # (tiles of an image, 2): first output row and column
    passes: Array  # (passes, 3): kind, first image, images
    lines: Array  # (lines, 4), for the input gradient: kind, vertical point, first and end tile
    tables: Array  # (2 axes, LARGEST_TILE + 1, 6, ORDER*ORDER) flat: for each m the matrices B^T, B, A^T, A, G, G^T
    u_row: int  # from a tile to the next in U and in the lines of dx
    z_row: int  # in Z and in the lines of y
    u_size: int  # numbers that a pass stores, at most: U, Z, the lines of y and of dw
    z_size: int
    y_size: int
    w_size: int
    all_z_size: int  # numbers that an input gradient stores: Z of all tiles, the lines of dx
    x_size: int


BT, B, AT, A, G, GT = range(6)
"""Places in `Plan.tables`."""

BLOCK_TILES = 64
"""Tiles in a pass, and in a line of an input gradient, at most, but for those of a single image: then a line of U for
them, and the panels it meets, fit the second-level cache. Fewer would have V transformed more often: at 64 rows its
transform takes an eighth of the time of its products."""


def row_stride(columns: int, itemsize: int) -> int:
    """Distance of two rows of a matrix: a cache line more, so that a column does not fall into one set of the cache."""
    return columns + 64 // itemsize


def apart(rows: int, stride: int, itemsize: int) -> int:
    """From a point's matrix of `rows` rows to the next point's: five cache lines more than a multiple of 4 KiB.

    The numbers of a tile are written at all points together; a multiple of 4 KiB apart, all would have to share the
    eight lines of one set of the first cache.
    """
    size = rows * stride * itemsize
    return (size + (320 - size) % 4096) // itemsize


@lru_cache(maxsize=256)
def plan(size: Shape, w_shape: Shape, outputs: Pair, stride: Pair, pads: Pads, dtype: np.dtype) -> Plan:
    """The plan of the convolution of an image batch `size` (N, H, W) to `outputs` (HO, WO)."""
    (kh, kw, c, o), taps = w_shape, (taps_of(w_shape[0], stride[0]), taps_of(w_shape[1], stride[1]))
    cuts, k, images = (
        [cut(length, t) for length, t in zip(outputs, taps, strict=True)],
        stride[0] * stride[1] * c,
        size[0],
    )
    u_row, z_row = row_stride(k, dtype.itemsize), row_stride(o, dtype.itemsize)
    kinds: list[Kind] = []
    tiles: list[Pair] = []
    passes: list[tuple[int, int, int]] = []
    lines: list[tuple[int, int, int, int]] = []
    of_pass, of_all = np.zeros(4, np.int64), np.zeros(2, np.int64)
    for m_v, m_h in product(*(sorted(set(lengths), reverse=True) for lengths in cuts)):
        n_v, n_h = m_v + taps[0] - 1, m_h + taps[1] - 1
        corners = list(product(_starts(cuts[0], m_v), _starts(cuts[1], m_h)))
        blocks = _parts(images, max(1, BLOCK_TILES // len(corners)))
        passes += [(len(kinds), first, end - first) for first, end in blocks]
        in_pass = len(corners) * max(end - first for first, end in blocks)
        u, z = (n_h * apart(in_pass, row, dtype.itemsize) for row in (u_row, z_row))
        y, w = m_h * apart(in_pass, z_row, dtype.itemsize), taps[1] * k * o
        of_pass = np.maximum(of_pass, n_v * np.array([u, z, y, w]))
        in_batch = len(corners) * images
        lines += [(len(kinds), i, *block) for i in range(n_v) for block in _parts(in_batch, BLOCK_TILES)]
        kinds.append(Kind(m_v, m_h, n_v, n_h, len(tiles), len(corners), *of_all))
        of_all += [n_v * n_h * apart(in_batch, row, dtype.itemsize) for row in (z_row, u_row)]
        tiles += corners
    reach_v = max(top + kind.n_v for kind in kinds for top, _ in tiles[kind.first_tile :][: kind.tiles])
    reach_h = max(left + kind.n_h for kind in kinds for _, left in tiles[kind.first_tile :][: kind.tiles])
    height, width = (
        max(reach, -(-(length + before) // step))
        for reach, length, before, step in zip((reach_v, reach_h), size[1:], (pads[0], pads[2]), stride, strict=True)
    )
    geometry = Geometry(images, size[1], size[2], pads[0], pads[2], height, width, c, *outputs, o, kh, kw, *stride, k)
    tables = np.stack([_tables(lengths, t, dtype) for lengths, t in zip(cuts, taps, strict=True)])
    return Plan(
        geometry,
        np.array(kinds, np.int64),
        np.array(tiles, np.int64),
        np.array(passes, np.int64),
        np.array(lines, np.int64),
        tables.ravel(),
        u_row,
        z_row,
        *map(int, of_pass),
        *map(int, of_all),
    )


def product_flops(plan: Plan) -> int:
    """Multiplications and additions of the products between the transforms: 2 K O for each point of each tile."""
    points = (plan.kinds[:, N_V] * plan.kinds[:, N_H] * plan.kinds[:, TILES]).sum()
    return int(2 * points * plan.geometry.images * plan.geometry.patch * plan.geometry.filters)


def taps_of(kernel: int, stride: int) -> int:
    """Taps of a phase of a filter, r; the later phases may have one less, which counts as a tap of 0."""
    return -(-kernel // stride)


def _parts(count: int, most: int) -> list[Pair]:
    """0..count in as few ranges as there can be of at most `most`, all but equal: (first, end) of each."""
    parts = -(-count // most)
    return [(count * i // parts, count * (i + 1) // parts) for i in range(parts)]


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


def applies(x_shape: Shape, w_shape: Shape, y_shape: Shape, stride: Pair, tile_width: int) -> bool:
    """Whether there is a plan: 2 or 3 taps a phase, at least 2 outputs an axis, channels in whole panels."""
    taps = [taps_of(kernel, step) for kernel, step in zip(w_shape[:2], stride, strict=True)]
    return (
        all(2 <= t <= MOST_TAPS for t in taps)
        and min(y_shape[1:3]) >= 2
        and min(w_shape[:2]) >= max(stride)
        and x_shape[0] > 0
        and w_shape[2] % tile_width == 0
        and w_shape[3] % tile_width == 0
    )


def wins(x_shape: Shape, w_shape: Shape, dtype: np.dtype) -> bool:
    """Whether to take it: float32, where speed is wanted, and enough channels and images to pay for the transforms."""
    return dtype == np.float32 and min(w_shape[2:]) >= 32 and x_shape[0] >= 16
