"""The matrix products between Winograd's transforms: one for each point, all independent of each other.

A work item is one point times a group of panels of columns, so that a point's rows stay in the second-level cache of
one core. U and Z are read where they lie; V is kept in panels (K, W), which the forward pass reads as they are and the
input gradient transposes just in time. U, Z: row r of point p begins at points[p, IN_U] + r*u_row, and so on.
"""

import numba
from numba import prange

from ..types import Array
from .jit import kernel, parallel_kernel
from .microkernel import TILE_ROWS, multiply_panels, multiply_rows, tile_width
from .packing import pack_column_rows
from .winograd import IN_U, IN_V, IN_Z, ROWS
from .winograd_plan import Geometry

GROUPS = 4
"""Groups of columns of a point: 25 points and more make shares that are equal within a percent on two threads."""


@kernel
def fill_row_table(table: Array, rows: int, stride: int) -> None:
    """Offsets of rows 0..rows-1; what sticks out of the last micro-tile repeats the last row."""
    for r in range((rows + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS):
        table[r] = min(r, rows - 1) * stride


@parallel_kernel
def multiply_forward(g: Geometry, points: Array, u: Array, v: Array, products: Array, tables: Array) -> None:
    """products (rows, O) = U (rows, K) V (K, O) for each point; a row of `tables` for each thread."""
    run, k = tile_width(u), g.stride_v * g.stride_h * g.channels
    panels = g.filters // run
    for item in prange(points.shape[0] * GROUPS):
        p, group = item // GROUPS, item % GROUPS
        table, rows = tables[numba.get_thread_id()], points[p, ROWS]
        fill_row_table(table, rows, g.u_row)
        for panel in range(panels * group // GROUPS, panels * (group + 1) // GROUPS):
            for r in range(0, rows, TILE_ROWS):
                multiply_rows(
                    1, k, u, points[p, IN_U], table, r, 0, v, points[p, IN_V] + panel * k * run,
                    products, points[p, IN_Z] + r * g.z_row + panel * run, g.z_row, False,
                )  # fmt: skip


@parallel_kernel
def multiply_input_grad(
    g: Geometry, points: Array, z: Array, v: Array, products: Array, tables: Array, buffers: Array
) -> None:
    """products (rows, K) = Z (rows, O) V^T (O, K) for each point; a row of `tables` and `buffers` for each thread."""
    run, k = tile_width(z), g.stride_v * g.stride_h * g.channels
    panels = k // run
    for item in prange(points.shape[0] * GROUPS):
        p, group = item // GROUPS, item % GROUPS
        slot, rows = numba.get_thread_id(), points[p, ROWS]
        table, buffer = tables[slot], buffers[slot]
        fill_row_table(table, rows, g.z_row)
        for panel in range(panels * group // GROUPS, panels * (group + 1) // GROUPS):
            for o in range(0, g.filters, run):
                pack_column_rows(v, points[p, IN_V] + o * k + panel * run * run, run, run, run, buffer, o * run)
            for r in range(0, rows, TILE_ROWS):
                multiply_rows(
                    1, g.filters, z, points[p, IN_Z], table, r, 0, buffer, 0,
                    products, points[p, IN_U] + r * g.u_row + panel * run, g.u_row, False,
                )  # fmt: skip


@parallel_kernel
def multiply_weight_grad(g: Geometry, points: Array, u: Array, z: Array, products: Array) -> None:
    """products (K, O) = U^T (K, rows) Z (rows, O) for each point, z_row apart; read in place, nothing is packed."""
    run, k = tile_width(u), g.stride_v * g.stride_h * g.channels
    tiles = (k + TILE_ROWS - 1) // TILE_ROWS
    for item in prange(points.shape[0] * GROUPS):
        p, group = item // GROUPS, item % GROUPS
        for tile in range(tiles * group // GROUPS, tiles * (group + 1) // GROUPS):
            for o in range(0, g.filters, run):
                multiply_panels(
                    points[p, ROWS], u, points[p, IN_U] + tile * TILE_ROWS, g.u_row, z, points[p, IN_Z] + o, g.z_row,
                    products, points[p, IN_V] + tile * TILE_ROWS * g.z_row + o, g.z_row, False,
                )  # fmt: skip
