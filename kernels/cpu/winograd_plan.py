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
    patch: int  # K = SH SW C, the channels of all phases side by side


class Kind(NamedTuple):
    """A size of tile, as a row of `Plan.kinds`. Its tiles in the batch are numbered image by image."""

    m_v: int
    m_h: int
    n_v: int
    n_h: int
    first_tile: int  # in `Plan.tiles`
    tiles: int  # in an image
    u_at: int  # where its part of each buffer begins: the transforms, then the partial results of the three products
    z_at: int
    y_at: int
    x_at: int
    w_at: int


M_V, M_H, N_V, N_H, FIRST_TILE, TILES, U_AT, Z_AT, Y_AT, X_AT, W_AT = range(len(Kind._fields))
"""The fields of a kind by number."""


class Plan(NamedTuple):
    """A Winograd convolution of one shape, as the kernels read it."""

    geometry: Geometry
    kinds: Array  # (kinds, fields of Kind)
    tiles: Array  # (tiles of an image, 2): first output row and column
    lines: Array  # (lines, 4): kind, vertical point, first and end tile: a work item
    weight_lines: Array  # (lines, 4): the same for the weight gradient, which takes all tiles in one item
    tables: Array  # (2 axes, LARGEST_TILE + 1, 6, ORDER*ORDER) flat: for each m the matrices B^T, B, A^T, A, G, G^T
    u_row: int  # from a tile to the next in U and in the lines of dx
    z_row: int  # in Z and in the lines of y
    u_size: int  # numbers of each buffer
    z_size: int
    y_size: int
    x_size: int
    w_size: int


BT, B, AT, A, G, GT = range(6)
"""Places in `Plan.tables`."""

BLOCK_TILES = 64
"""Tiles in a work item at most: then a line of U for them, and the panels it meets, fit the second-level cache."""


def row_stride(columns: int, itemsize: int) -> int:
    """Distance of two rows of a matrix: a cache line more, so that a column does not fall into one set of the cache."""
    return columns + 64 // itemsize


@lru_cache(maxsize=256)
def plan(size: Shape, w_shape: Shape, outputs: Pair, stride: Pair, pads: Pads, dtype: np.dtype) -> Plan:
    """The plan of the convolution of an image batch `size` (N, H, W) to `outputs` (HO, WO)."""
    (kh, kw, c, o), taps = w_shape, (taps_of(w_shape[0], stride[0]), taps_of(w_shape[1], stride[1]))
    cuts = cut(outputs[0]), cut(outputs[1])
    k = stride[0] * stride[1] * c
    kinds: list[Kind] = []
    tiles: list[Pair] = []
    lines: list[tuple[int, int, int, int]] = []
    weight_lines: list[tuple[int, int, int, int]] = []
    u_row, z_row = row_stride(k, dtype.itemsize), row_stride(o, dtype.itemsize)
    sizes = np.zeros(5, np.int64)
    for m_v, m_h in product(*(sorted(set(lengths), reverse=True) for lengths in cuts)):
        n_v, n_h = m_v + taps[0] - 1, m_h + taps[1] - 1
        corners = list(product(_starts(cuts[0], m_v), _starts(cuts[1], m_h)))
        in_batch = size[0] * len(corners)
        blocks = -(-in_batch // BLOCK_TILES)
        for i in range(n_v):
            weight_lines.append((len(kinds), i, 0, in_batch))
            lines += [(len(kinds), i, in_batch * b // blocks, in_batch * (b + 1) // blocks) for b in range(blocks)]
        kinds.append(Kind(m_v, m_h, n_v, n_h, len(tiles), len(corners), *sizes))
        tiles += corners
        u, z, y, w = n_h * in_batch * u_row, n_h * in_batch * z_row, m_h * in_batch * z_row, taps[1] * k * o
        sizes += n_v * np.array([u, z, y, u, w])
    reach_v = max(top + kind.n_v for kind in kinds for top, _ in tiles[kind.first_tile :][: kind.tiles])
    reach_h = max(left + kind.n_h for kind in kinds for _, left in tiles[kind.first_tile :][: kind.tiles])
    height, width = max(size[1] + pads[0], reach_v * stride[0]), max(size[2] + pads[2], reach_h * stride[1])
    geometry = Geometry(size[0], height, width, c, *outputs, o, kh, kw, *stride, k)
    tables = np.stack([_tables(lengths, t, dtype) for lengths, t in zip(cuts, taps, strict=True)])
    return Plan(
        geometry,
        np.array(kinds, np.int64),
        np.array(tiles, np.int64),
        np.array(lines, np.int64),
        np.array(weight_lines, np.int64),
        tables.ravel(),
        u_row,
        z_row,
        *map(int, sizes),
    )


def product_flops(plan: Plan) -> int:
    """Multiplications and additions of the products between the transforms: 2 K O for each point of each tile."""
    points = (plan.kinds[:, N_V] * plan.kinds[:, N_H] * plan.kinds[:, TILES]).sum()
    return int(2 * points * plan.geometry.images * plan.geometry.patch * plan.geometry.filters)


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
