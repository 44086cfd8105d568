"""Dropout."""

from typing import Any

from kernels import Ops
from kernels.types import Array

from ..layer import Layer, Note, Params
from ..params import Spec


class Dropout(Layer):
    """y = x m with a random mask m: 0 with probability `rate`, else 1/(1 - rate); the identity in eval mode.

    Linear for a given mask: dx = dy m, ddy = ddx m (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014,
    scaled while training so that nothing is to be done afterwards).
    """

    def __init__(self, rate: float = 0.5) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: the rate must lie in [0, 1), got {rate!r}")
        self.rate = rate

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """Any shape, unchanged; no parameters."""
        return in_shape, {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Array | None]:
        """y = x m; keeps the mask, None in eval mode."""
        mask = ops.dropout_mask(x.shape, self.rate) if train else None
        return (x if mask is None else ops.multiply(x, mask)), mask

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Array | None,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, Array | None]:
        """dx = dy m."""
        if not need_dx:
            return None, cache
        return (dy if cache is None else ops.multiply(dy, cache)), cache

    def double_backward(
        self, ops: Ops, p: Params, tape: Array | None, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, Note]:
        """ddy = ddx m."""
        return (ddx if tape is None or ddx is None else ops.multiply(ddx, tape)), None
