"""Winograd convolutions on the backend's memory: which buffers each of the three products needs."""

import numpy as np

from ...contract.base import OpsBase
from ...types import Array
from .. import winograd
from ..implicit_gemm import pack_weights
from ..microkernel import TILE_BYTES, TILE_ROWS
from ..winograd_lines import BLOCK_ROWS, LINE_PANELS
from ..winograd_plan import MOST_TAPS, MOST_TILES, N_H, N_V, ORDER, TILES, Plan
from ..winograd_scratch import Scratch
from .flat import flat
from .scratch import for_each_thread


class Winograd:
    """The three products of one convolution; call them inside a scratch block."""

    def __init__(self, ops: OpsBase, plan: Plan) -> None:
        self.ops, self.plan, self.run = ops, plan, TILE_BYTES // ops.dtype.itemsize

    def forward(self, x: Array, w: Array, bias: Array, slope: float, y: Array) -> None:
        """y = f(conv2d(x, w) + bias)."""
        plan, g = self.plan, self.plan.geometry
        u, lines = (self.ops.empty((size,)) for size in (plan.u_size, plan.y_size))
        rows = int((plan.passes[:, 2] * plan.kinds[plan.passes[:, 0], TILES]).max())
        scratch = self._scratch(
            tiles=self._points_of_item() * g.stride_h * g.channels,
            panel=g.patch * self.run,
            middle=LINE_PANELS * MOST_TAPS * g.patch * self.run,
            rows=rows,
        )
        winograd.forward(plan, flat(x), flat(w), bias, slope, flat(y), u, lines, scratch)

    def input_grad(self, dy: Array, w: Array, bias: Array, slope: float, dx: Array) -> None:
        """dx = f(conv2d_input_grad(dy, w) + bias)."""
        plan, g = self.plan, self.plan.geometry
        z, lines, panels = (self.ops.empty((size,)) for size in (plan.group_z_size, plan.x_size, w.size))
        pack_weights(flat(w), np.arange(w.shape[0] * w.shape[1]), g.filters, g.channels, True, panels)
        scratch = self._scratch(
            tiles=self._points_of_item() * g.filters,
            panel=g.filters * self.run,
            middle=LINE_PANELS * MOST_TAPS * self.run * g.filters,
            rows=int(plan.groups[:, 1].max() * plan.kinds[:, TILES].max()),
        )
        winograd.input_grad(plan, flat(dy), panels, bias, slope, flat(dx), z, lines, scratch)

    def weight_grad(self, x: Array, dy: Array, dw: Array, accumulate: bool) -> None:
        """dw (+)= conv2d_weight_grad(x, dy)."""
        plan, g = self.plan, self.plan.geometry
        u, z, lines = (self.ops.empty((size,)) for size in (plan.u_size, plan.z_size, plan.w_size))
        scratch = self._scratch(
            tiles=self._points_of_item() * max(g.stride_h * g.channels, g.filters),
            products=ORDER * BLOCK_ROWS * g.filters,
            block=MOST_TILES * BLOCK_ROWS,
        )
        winograd.weight_grad(plan, flat(x), flat(dy), flat(dw), accumulate, u, z, lines, scratch)

    def _points_of_item(self) -> int:
        """Points of all the tiles that a work item transforms together, neighbours at one place of their images."""
        images = max(self.plan.passes[:, 2].max(), self.plan.groups[:, 1].max())
        return int(min(TILE_ROWS, images) * (self.plan.kinds[:, N_V] * self.plan.kinds[:, N_H]).max())

    def _scratch(
        self,
        tiles: int,
        panel: int = 0,
        middle: int = 0,
        products: int = 0,
        rows: int = 0,
        block: int = 0,
    ) -> Scratch:
        """Numbers for each thread; `rows` are those of a product whose horizontal transform follows at once."""
        whole = -(-rows // TILE_ROWS) * TILE_ROWS
        return Scratch(
            tiles=for_each_thread(self.ops, tiles),
            panel=for_each_thread(self.ops, panel),
            middle=for_each_thread(self.ops, middle),
            products=for_each_thread(self.ops, products or LINE_PANELS * ORDER * whole * self.run),
            block=for_each_thread(self.ops, block),
        )
