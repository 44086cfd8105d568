"""The launches of a sum over the rows of a matrix, all columns at once: reduce.cuh has the kernels' side."""

from typing import NamedTuple

import numpy as np

from ...types import Array
from ..instances.operations import THREADS
from ..runtime import Dimensions
from .device import WARP, DeviceOps, warps_for
from .plan import LARGEST

ROWS_A_THREAD = 16
"""That a thread adds at least, before more strips are made."""

FULL_GRID = 512
"""Blocks from which on more strips bring nothing."""


class Columns(NamedTuple):
    """A matrix (rows, columns) cut into strips of rows, by its shape alone.

    Attributes:
        strips: how many partial sums a column has.
        block: (columns, rows) of threads; few columns leave more threads for rows.
    """

    rows: int
    columns: int
    strips: int
    block: tuple[int, int]

    @property
    def grid(self) -> Dimensions:
        """Blocks: columns by strips."""
        return max(1, -(-self.columns // self.block[0])), self.strips

    @property
    def sizes(self) -> tuple[np.int32, np.int32]:
        """As kernels take them."""
        return np.int32(self.rows), np.int32(self.columns)


def columns_of(x: Array) -> Columns:
    """x (..., C) as a matrix of C columns; a 0-d array is one number.

    Raises:
        ValueError: rows or columns are beyond LARGEST.
    """
    columns = x.shape[-1] if x.ndim else 1
    rows = x.size // columns if columns else 0
    if max(rows, columns) > LARGEST:
        raise ValueError(f"sums over {rows} rows of {columns} columns: CUDA kernels count to {LARGEST}")
    width = 1
    while width < min(columns, WARP):
        width *= 2
    height = THREADS // width
    across = max(1, -(-columns // width))
    strips = min(-(-rows // (height * ROWS_A_THREAD)), -(-FULL_GRID // across))
    return Columns(rows, columns, max(1, strips), (width, height))


def one_column(x: Array) -> Columns:
    """All numbers of x, one below the other; ValueError if they are more than LARGEST."""
    return columns_of(x.reshape(-1, 1))


def add_totals(
    ops: DeviceOps,
    partial: Array,
    first: Array | None,
    second: Array | None = None,
    *,
    accumulate: bool,
    totals: Array | None = None,
) -> None:
    """Add up partial (K, strips, C): quantity 0 goes to `first`, 1 to `second`, all in double to totals (K, C)."""
    quantities, strips, columns = partial.shape
    if columns:
        arguments = np.int32(strips), np.int32(columns), np.int32(accumulate), first, second, totals
        grid = warps_for(columns), quantities
        ops.launch("sums.cu", "add_totals", grid, partial, *arguments, block=(THREADS,))


def partial_sums(ops: DeviceOps, quantities: int, over: Columns) -> Array:
    """Room for them: (K, strips, C) in double precision."""
    return ops.empty((quantities, over.strips, over.columns), np.float64)
