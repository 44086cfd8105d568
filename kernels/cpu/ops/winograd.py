"""Winograd convolutions on the backend's memory: which buffers each of the three products needs.

U, V and Z are the transforms of x, w and dy. What one product has made, another of the same layer finds in its `Reuse`,
under the operand's name; without a `Reuse` a transform is scratch.
"""

from collections.abc import Callable

import numpy as np

from ...contract import Reuse
from ...contract.base import OpsBase
from ...types import Array, Pads, Pair
from .. import winograd, winograd_products
from ..microkernel import TILE_BYTES, TILE_ROWS
from ..winograd_plan import Plan
from .flat import flat
from .scratch import for_each_thread, padded


class Winograd:
    """One convolution of a given plan and pads."""

    def __init__(self, ops: OpsBase, plan: Plan, pads: Pads, reuse: Reuse | None) -> None:
        self.ops, self.plan, self.pads = ops, plan, pads
        self.kept = {} if reuse is None else reuse.kept
        self.transform = (plan.geometry, plan.tiles, plan.points, plan.tables)

    def prepare(self, x: Array | None = None, w: Array | None = None, dy: Array | None = None) -> None:
        """Make the transforms of these operands, unless they are kept; outside of scratch, so that they can be."""
        plan = self.plan
        for name, operand, size, make in (
            ("x", x, plan.u_size, self._make_u),
            ("w", w, plan.v_size, self._make_v),
            ("dy", dy, plan.z_size, self._make_z),
        ):
            if operand is not None and name not in self.kept:
                self.kept[name] = self.ops.empty((size,))
                with self.ops.scratch():
                    make(operand, self.kept[name])

    def forward(self, bias: Array, code: int, slope: float, y: Array) -> None:
        """y = f(A^T (U V) A + bias); x and w are prepared."""
        plan, u, v = self.plan, self.kept["x"], self.kept["w"]
        with self.ops.scratch():
            products = self.ops.empty((plan.z_size,))
            winograd_products.multiply_forward(plan.geometry, plan.points, u, v, products, self._row_tables())
            winograd.transform_output(*self.transform, products, bias, code, slope, flat(y), self._middles())

    def input_grad(self, bias: Array, code: int, slope: float, dx: Array) -> None:
        """dx = f(B (Z V^T) B^T + bias); dy and w are prepared."""
        plan, g = self.plan, self.plan.geometry
        before, size = (self.pads[0], self.pads[2]), (dx.shape[1], dx.shape[2])
        with self.ops.scratch():
            products = self.ops.empty((plan.u_size,))
            panel = for_each_thread(self.ops, g.filters * self._run)
            images = for_each_thread(self.ops, g.height * g.width * self._run)
            winograd_products.multiply_input_grad(
                g, plan.points, self.kept["dy"], self.kept["w"], products, self._row_tables(), panel
            )
            winograd.transform_input_grad(
                *self.transform, products, bias, code, slope, before, size, flat(dx), self._middles(), images
            )

    def weight_grad(self, dw: Array, accumulate: bool) -> None:
        """dw (+)= G^T (U^T Z) G; x and dy are prepared."""
        plan = self.plan
        with self.ops.scratch():
            products = self.ops.empty((plan.v_size,))
            winograd_products.multiply_weight_grad(
                plan.geometry, plan.points, self.kept["x"], self.kept["dy"], products
            )
            winograd.transform_weight_grad(*self.transform, products, flat(dw), accumulate, self._middles())

    def _make_u(self, x: Array, u: Array) -> None:
        g, (top, _, left, _) = self.plan.geometry, self.pads
        border = (top, g.height - top - x.shape[1], left, g.width - left - x.shape[2])
        winograd.transform_input(*self.transform, padded(self.ops, x, border), u, self._middles())

    def _make_v(self, w: Array, v: Array) -> None:
        winograd.transform_weights(*self.transform, flat(w), v, self._middles())

    def _make_z(self, dy: Array, z: Array) -> None:
        winograd.transform_output_grad(*self.transform, flat(dy), z, self._middles())

    def _middles(self) -> Array:
        return for_each_thread(self.ops, 2 * winograd.TILE_RUNS * self._run)

    def _row_tables(self) -> Array:
        return for_each_thread(self.ops, int(self.plan.points[:, 0].max()) + TILE_ROWS, np.int64)

    @property
    def _run(self) -> int:
        return TILE_BYTES // self.ops.dtype.itemsize
