"""Winograd convolutions on the backend's memory: which buffers each of the three products needs."""

import numpy as np

from ...contract.base import OpsBase
from ...types import Array, Pads
from .. import winograd, winograd_lines
from ..microkernel import TILE_BYTES, TILE_ROWS
from ..winograd_plan import BLOCK_TILES, ORDER, Plan, row_stride
from .flat import flat
from .scratch import for_each_thread, padded


class Winograd:
    """The three products of one convolution; call them inside a scratch block."""

    def __init__(self, ops: OpsBase, plan: Plan, pads: Pads) -> None:
        self.ops, self.plan, self.pads = ops, plan, pads
        self.u_row = row_stride(plan.geometry.patch, ops.dtype.itemsize)
        self.z_row = row_stride(plan.geometry.filters, ops.dtype.itemsize)
        self.run = TILE_BYTES // ops.dtype.itemsize
        block = int((plan.lines[:, 3] - plan.lines[:, 2]).max())
        self.block = -(-block // TILE_ROWS) * TILE_ROWS

    def forward(self, x: Array, w: Array, bias: Array, code: int, slope: float, y: Array) -> None:
        """y = f(conv2d(x, w) + bias)."""
        plan, lines = self.plan, self.ops.empty((self.plan.y_size,))
        geometry, kinds, tiles, tables = plan.geometry, plan.kinds, plan.tiles, plan.tables
        with self.ops.scratch():
            winograd_lines.forward_lines(
                geometry, kinds, tiles, plan.lines, tables, self._bordered(x), flat(w), self.u_row, lines, self.z_row,
                self._matrix(self.u_row), *self._product(geometry.patch),
            )  # fmt: skip
        winograd.sum_output(geometry, kinds, tiles, tables, lines, self.z_row, bias, code, slope, flat(y))

    def input_grad(self, dy: Array, w: Array, bias: Array, code: int, slope: float, dx: Array) -> None:
        """dx = f(conv2d_input_grad(dy, w) + bias)."""
        plan, lines = self.plan, self.ops.empty((self.plan.x_size,))
        geometry, kinds, tiles, tables = plan.geometry, plan.kinds, plan.tiles, plan.tables
        with self.ops.scratch():
            winograd_lines.input_grad_lines(
                geometry, kinds, tiles, plan.lines, tables, flat(dy), flat(w), self.z_row, lines, self.u_row,
                self._matrix(self.z_row), *self._product(geometry.filters),
                for_each_thread(self.ops, ORDER * self.run * geometry.filters),
            )  # fmt: skip
        before, size = (self.pads[0], self.pads[2]), (dx.shape[1], dx.shape[2])
        images = for_each_thread(self.ops, geometry.height * geometry.width * self.run)
        winograd.sum_input_grad(
            geometry, kinds, tiles, tables, lines, self.u_row, bias, code, slope, before, size, flat(dx), images,
        )  # fmt: skip

    def weight_grad(self, x: Array, dy: Array, dw: Array, accumulate: bool) -> None:
        """dw (+)= conv2d_weight_grad(x, dy)."""
        plan, lines = self.plan, self.ops.empty((self.plan.w_size,))
        with self.ops.scratch():
            winograd_lines.weight_grad_lines(
                plan.geometry, plan.kinds, plan.tiles, plan.weight_lines, BLOCK_TILES, plan.tables,
                self._bordered(x), flat(dy), self.u_row, self.z_row, lines,
                self._matrix(self.u_row), self._matrix(self.z_row),
                for_each_thread(self.ops, ORDER * winograd_lines.BLOCK_ROWS * plan.geometry.filters), self._middle(),
            )  # fmt: skip
        winograd.sum_weight_grad(plan.geometry, plan.kinds, plan.tables, lines, flat(dw), accumulate)

    def _bordered(self, x: Array) -> Array:
        g, (top, _, left, _) = self.plan.geometry, self.pads
        return padded(self.ops, x, (top, g.height - top - x.shape[1], left, g.width - left - x.shape[2]))

    def _matrix(self, row: int) -> Array:
        """A line of U or Z for each thread; micro-tiles read a little beyond its end."""
        return for_each_thread(self.ops, ORDER * min(self.block, BLOCK_TILES) * row + TILE_ROWS)

    def _product(self, inner: int) -> tuple[Array, Array, Array, Array]:
        """For each thread: the panels of V, the products, room for a transform, and a table of rows."""
        return (
            for_each_thread(self.ops, ORDER * inner * self.run),
            for_each_thread(self.ops, ORDER * self.block * self.run),
            self._middle(),
            for_each_thread(self.ops, self.block, np.int64),
        )

    def _middle(self) -> Array:
        return for_each_thread(self.ops, ORDER * self.run)
