"""Winograd convolution on paper: the matrices, and how an axis is cut into tiles.

F(m, r) gives m outputs of a filter of r taps with n = m + r - 1 products instead of m r (Winograd 1980; Lavin and Gray
2016, eq. 6 to 8):

    y = A^T [(G w) * (B^T x)]            x (n,), w (r,), y (m,);  * element by element

In polynomials: the filter's transpose, multiplying w by y, is done by evaluating both at n points, multiplying, and
interpolating. With V(k) the (n, k) Vandermonde matrix of the points, whose last row picks the highest coefficient (the
point at infinity):  A = V(m),  G = V(r),  B^T = (V(n)^-1)^T.

A stride of S splits an axis into S phases, x_p[i] = x[S i + p] with taps w_p[t] = w[S t + p], each of stride 1; their
products are summed before the last transform, so phases only make the inner sum longer.

An axis of outputs is cut into tiles of 4, 3 or 2. Rounding errors grow with n; with points 0, 1, -1, 1/2, -2 and
infinity the tiles of 4 keep the error of float32 near 1e-5 of the largest output.
"""

from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from ..types import Array, Pads, Pair, Shape
from .target import TARGET

TILE_ROWS = TARGET.tile_rows
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
LARGEST_TILE = 4
MOST_TAPS = 3
ORDER = LARGEST_TILE + MOST_TAPS - 1
"""Largest n; all matrices are stored with rows of this length."""


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


def cut(size: int) -> list[int]:
    """Tiles of 4, 3 and 2 that add up to `size` >= 2: as few as there can be."""
    tiles = -(-size // LARGEST_TILE)
    shorter = tiles * LARGEST_TILE - size
    if tiles == 1:
        return [size]
    return [LARGEST_TILE] * (tiles - shorter) + [LARGEST_TILE - 1] * shorter if shorter <= tiles else [3, 2]


class Geometry(NamedTuple):
    """Sizes that every kernel needs. Vertical before horizontal; height and width include the border of zeros."""

    images: int
    height: int
    width: int
    channels: int
    rows: int  # of the output
    columns: int
    filters: int
    kernel_v: int
    kernel_h: int
    stride_v: int
    stride_h: int
    u_row: int  # distance of two rows of U
    z_row: int  # of Z


class Tile(NamedTuple):
    """A tile of an image, as a row of `Plan.tiles`."""

    top: int  # first output
    left: int
    m_v: int
    m_h: int
    n_v: int
    n_h: int
    point: int  # first point of its kind, n_v x n_h in all
    number: int  # which of its kind it is in its image
    of_kind: int  # how many of its kind there are in an image


class Plan(NamedTuple):
    """A Winograd convolution of one shape, as the kernels read it.

    U (transformed input, K = SH SW C columns) and Z (transformed output gradient, O columns) hold a matrix for each
    point of each kind of tile (m_v x m_h), with a row for each such tile of the batch; V (transformed weights) one
    matrix (K, O), in panels of W columns.
    """

    geometry: Geometry
    tiles: Array  # (tiles of an image, fields of Tile)
    points: Array  # (points, 4): rows; where its matrix begins in U, in Z, in V
    u_size: int
    z_size: int
    v_size: int
    tables: Array  # (2 axes, LARGEST_TILE + 1, 6, ORDER*ORDER): for each m the matrices B^T, B, A^T, A, G, G^T


BT, B, AT, A, G, GT = range(6)
"""Places in `Plan.tables`."""


def row_stride(columns: int, itemsize: int) -> int:
    """Distance of two rows of U or Z: a cache line more, so that columns do not fall into one set of the cache."""
    return columns + 64 // itemsize


def matrix_size(rows: int, columns: int, itemsize: int) -> int:
    """Numbers of one matrix of U or Z: whole micro-tiles of rows, and an odd number of cache lines."""
    return -(-rows // TILE_ROWS) * TILE_ROWS * row_stride(columns, itemsize) + 64 // itemsize


@lru_cache(maxsize=256)
def plan(size: Shape, w_shape: Shape, outputs: Pair, stride: Pair, pads: Pads, dtype: np.dtype) -> Plan:
    """The plan of the convolution of an image batch `size` (N, H, W) to `outputs` (HO, WO)."""
    (kh, kw, c, o), itemsize = w_shape, dtype.itemsize
    taps = taps_of(kh, stride[0]), taps_of(kw, stride[1])
    cuts = cut(outputs[0]), cut(outputs[1])
    k = stride[0] * stride[1] * c
    tiles: list[Tile] = []
    points: list[tuple[int, int, int, int]] = []
    u, z, v = 0, 0, 0
    for m_v, m_h in product(*(sorted(set(lengths)) for lengths in cuts)):
        n_v, n_h = m_v + taps[0] - 1, m_h + taps[1] - 1
        corners = list(product(_starts(cuts[0], m_v), _starts(cuts[1], m_h)))
        tiles += [
            Tile(top, left, m_v, m_h, n_v, n_h, len(points), i, len(corners)) for i, (top, left) in enumerate(corners)
        ]
        for _ in range(n_v * n_h):
            rows = size[0] * len(corners)
            points.append((rows, u, z, v))
            u += matrix_size(rows, k, itemsize)
            z += matrix_size(rows, o, itemsize)
            v += matrix_size(k, o, itemsize)
    height = max(size[1] + pads[0], *((t.top + t.n_v) * stride[0] for t in tiles))
    width = max(size[2] + pads[2], *((t.left + t.n_h) * stride[1] for t in tiles))
    geometry = Geometry(
        size[0], height, width, c, *outputs, o, kh, kw, *stride, row_stride(k, itemsize), row_stride(o, itemsize)
    )
    tables = np.stack([_tables(lengths, t, dtype) for lengths, t in zip(cuts, taps, strict=True)])
    return Plan(geometry, np.array(tiles, np.int64), np.array(points, np.int64), u, z, v, tables)


def taps_of(kernel: int, stride: int) -> int:
    """Taps of a phase of a filter, r; the later phases may have one less, which counts as a tap of 0."""
    return -(-kernel // stride)


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
