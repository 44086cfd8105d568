"""Convolutions onto few pixels on the backend's memory."""

from ...contract.base import OpsBase
from ...types import Array
from .. import kn2row
from ..kn2row import BLOCK_PANELS, Pairs, panels_of_item
from ..microkernel import TILE_BYTES, TILE_ROWS
from .flat import flat
from .scratch import for_each_thread


class Kn2row:
    """The three products of one convolution; call them inside a scratch block."""

    def __init__(self, ops: OpsBase, pairs: Pairs) -> None:
        self.ops, self.pairs = ops, pairs
        self.run, self.most = TILE_BYTES // ops.dtype.itemsize, int(pairs.passes[:, 1].max())

    def forward(self, x: Array, w: Array, bias: Array, slope: float, y: Array) -> None:
        """y = f(conv2d(x, w) + bias)."""
        p = self.pairs
        u = self.ops.empty((p.pixels * p.x_apart,))
        panel = for_each_thread(self.ops, p.channels * self.run)
        kn2row.forward(p, flat(x), flat(w), bias, slope, flat(y), u, panel, self._sums(p.windows))

    def input_grad(self, dy: Array, w: Array, bias: Array, slope: float, dx: Array) -> None:
        """dx = f(conv2d_input_grad(dy, w) + bias)."""
        p = self.pairs
        z = self.ops.empty((p.windows * p.y_apart,))
        panel = for_each_thread(self.ops, p.filters * self.run)
        kn2row.input_grad(p, flat(dy), flat(w), bias, slope, flat(dx), z, panel, self._sums(p.pixels))

    def weight_grad(self, x: Array, dy: Array, dw: Array, accumulate: bool) -> None:
        """dw (+)= conv2d_weight_grad(x, dy)."""
        p = self.pairs
        z, pixels = self.ops.empty((p.windows * p.y_apart,)), int((p.first[1:] - p.first[:-1]).max())
        block = for_each_thread(self.ops, pixels * self.most * BLOCK_PANELS * TILE_ROWS)
        tile = for_each_thread(self.ops, TILE_ROWS * self.run)
        kn2row.weight_grad(p, flat(x), flat(dy), flat(dw), accumulate, z, block, tile)

    def _sums(self, points: int) -> Array:
        """For each thread, of an item with so many points."""
        whole = -(-self.most // TILE_ROWS) * TILE_ROWS
        return for_each_thread(self.ops, panels_of_item(points) * points * whole * self.run)
