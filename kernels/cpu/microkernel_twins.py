"""What the micro-kernels compute, in plain Python: they run so with NUMBA_DISABLE_JIT=1, and the tests compare."""

import numpy as np

from ..types import Array
from .target import TARGET


def tile_twin(k: int, tile_rows: int, a: Array, a_start: int, lda: int, b: Array, b_start: int, ldb: int) -> Array:
    """A (k, R)^T B (k, W), for the twins."""
    width = TARGET.tile_bytes // b.itemsize
    tile = np.zeros((tile_rows, width), b.dtype)
    for p in range(k):
        column_a, row_b = a[a_start + p * lda :][:tile_rows], b[b_start + p * ldb :][:width]
        tile += column_a[:, None] * row_b
    return tile


def rows_twin(
    tile_rows: int,
    vectors: int,
    segments: int,
    length: int,
    a: Array,
    a_start: int,
    rows: Array,
    first_row: int,
    segment_stride: int,
    b: Array,
    b_start: int,
    c: Array,
    c_start: int,
    ldc: int,
    add: bool,
) -> None:
    """`multiply_rows` for tiles of that many rows and vectors a row, in plain Python."""
    panel_width, width = TARGET.tile_bytes // c.itemsize, vectors * TARGET.vector_bytes // c.itemsize
    tile = np.zeros((tile_rows, width), c.dtype)
    for s in range(segments):
        first_b = b_start + s * length * panel_width
        panel_b = np.array([b[first_b + p * panel_width :][:width] for p in range(length)], c.dtype).reshape(-1, width)
        for i in range(tile_rows):
            start = a_start + rows[first_row + i] + s * segment_stride
            tile[i] += a[start : start + length] @ panel_b
    write_twin(tile, c, c_start, ldc, add)


def write_twin(tile: Array, c: Array, c_start: int, ldc: int, add: bool) -> None:
    """C (+)= tile, for the twins."""
    for i, row in enumerate(tile):
        target = c[c_start + i * ldc :][: len(row)]
        target[...] = target + row if add else row
