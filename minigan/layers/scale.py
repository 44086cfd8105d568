"""ScaleShift: the same two numbers for every element."""

from typing import Any

from kernels import Ops
from kernels.types import Array, Shape

from ..layer import Params
from ..params import Spec
from .fixed_linear import FixedLinear


class ScaleShift(FixedLinear):
    """y = scale x + shift; ScaleShift(2, -1) takes [0, 1] to [-1, 1].

    dx = scale dy,   ddy = scale ddx (the shift has no derivative).
    """

    def __init__(self, scale: float, shift: float = 0.0) -> None:
        self.scale, self.shift = float(scale), float(shift)

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """Any shape, unchanged; no parameters."""
        return in_shape, {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Shape]:
        """y = scale x + shift."""
        return ops.scale_shift(x, self.scale, self.shift), x.shape

    def apply(self, ops: Ops, x: Array) -> Array:
        """The linear part, scale x."""
        return ops.scale_shift(x, self.scale)

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """scale dy."""
        return ops.scale_shift(dy, self.scale)
