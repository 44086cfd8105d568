"""Winograd convolutions on the backend's memory: which buffers each of the three products needs."""

import numpy as np

from ...contract.base import OpsBase
from ...types import Array, Pads
from .. import winograd, winograd_lines, winograd_transforms
from ..implicit_gemm import pack_weights
from ..microkernel import TILE_BYTES, TILE_ROWS
from ..winograd_plan import BLOCK_TILES, MOST_TAPS, ORDER, Plan
from .flat import flat
from .scratch import for_each_thread


class Winograd:
    """The three products of one convolution; call them inside a scratch block."""

    def __init__(self, ops: OpsBase, plan: Plan, pads: Pads) -> None:
        self.ops, self.plan, self.pads = ops, plan, pads

    def forward(self, x: Array, w: Array, bias: Array, slope: float, y: Array) -> None:
        """y = f(conv2d(x, w) + bias)."""
        plan, lines = self.plan, self.ops.empty((self.plan.y_size,))
        u = self._inputs(x)
        with self.ops.scratch():
            kh, kw, c, o = w.shape
            panels = self.ops.empty((w.size,))
            pack_weights(flat(w), np.zeros(1, np.int64), kh * kw * c, o, False, panels)
            winograd_lines.forward_lines(plan, u, panels, lines, self._scratch(plan.geometry.patch))
        winograd.sum_output(plan, lines, bias, slope, flat(y))

    def input_grad(self, dy: Array, w: Array, bias: Array, slope: float, dx: Array) -> None:
        """dx = f(conv2d_input_grad(dy, w) + bias)."""
        plan, lines = self.plan, self.ops.empty((self.plan.x_size,))
        g, z = plan.geometry, self._gradients(dy)
        with self.ops.scratch():
            winograd_lines.input_grad_lines(plan, z, flat(w), lines, self._scratch(g.filters))
        before, size = (self.pads[0], self.pads[2]), (dx.shape[1], dx.shape[2])
        images = for_each_thread(self.ops, g.height * g.width * g.channels)
        winograd.sum_input_grad(plan, lines, bias, slope, before, size, flat(dx), images)

    def weight_grad(self, x: Array, dy: Array, dw: Array, accumulate: bool) -> None:
        """dw (+)= conv2d_weight_grad(x, dy)."""
        plan, lines = self.plan, self.ops.empty((self.plan.w_size,))
        u, z = self._inputs(x), self._gradients(dy)
        products = for_each_thread(self.ops, ORDER * winograd_lines.BLOCK_ROWS * plan.geometry.filters)
        blocks = for_each_thread(self.ops, BLOCK_TILES * winograd_lines.BLOCK_ROWS)
        winograd_lines.weight_grad_lines(plan, u, z, lines, products, blocks)
        winograd.sum_weight_grad(plan, lines, flat(dw), accumulate)

    def _inputs(self, x: Array) -> Array:
        """U; micro-tiles read a little beyond its end."""
        g, u = self.plan.geometry, self.ops.empty((self.plan.u_size + TILE_ROWS,))
        with self.ops.scratch():
            images = for_each_thread(self.ops, g.height * g.width * g.channels)
            middle = for_each_thread(self.ops, ORDER * ORDER * g.stride_h * g.channels)
            before, size = (self.pads[0], self.pads[2]), (x.shape[1], x.shape[2])
            winograd_transforms.transform_inputs(self.plan, flat(x), before, size, u, images, middle)
        return u

    def _gradients(self, dy: Array) -> Array:
        """Z."""
        z = self.ops.empty((self.plan.z_size,))
        with self.ops.scratch():
            middle = for_each_thread(self.ops, ORDER * ORDER * self.plan.geometry.filters)
            winograd_transforms.transform_gradients(self.plan, flat(dy), z, middle)
        return z

    def _scratch(self, inner: int) -> winograd_lines.Scratch:
        """For products with `inner` summed channels."""
        g, run = self.plan.geometry, TILE_BYTES // self.ops.dtype.itemsize
        block = int((self.plan.lines[:, 3] - self.plan.lines[:, 2]).max())
        block = -(-block // TILE_ROWS) * TILE_ROWS
        return winograd_lines.Scratch(
            for_each_thread(self.ops, ORDER * run * g.filters),
            for_each_thread(self.ops, ORDER * inner * run),
            for_each_thread(self.ops, ORDER * block * run),
            for_each_thread(self.ops, MOST_TAPS * run * max(g.channels, g.filters)),
            for_each_thread(self.ops, block, np.int64),
        )
