"""InstanceNoise: normal noise on what a discriminator sees."""

from typing import Any

import numpy as np

from kernels import Ops, Use
from kernels.types import Array

from ..initializers import normal
from ..layer import Layer, Note, Params
from ..params import Param, Spec


class InstanceNoise(Layer):
    """y = x + std e, e ~ N(0, I), drawn anew in every forward pass; the identity in eval mode.

    Real and fake samples get the same noise, so that their distributions overlap and D cannot be perfect (Arjovsky and
    Bottou 2017, section 3; Sonderby et al. 2017, who let it fall to 0 on the way). dx = dy, ddy = ddx.

    `std` is state of the network, "std" (1,), since it may change from step to step.

    Args:
        std: its initial value, at least 0.
    """

    def __init__(self, std: float = 0.1) -> None:
        if not std >= 0:
            raise ValueError(f"InstanceNoise: expected a standard deviation of at least 0, got {std!r}")
        self.std = std

    def spec(self, in_shape: Any) -> tuple[Any, Spec]:
        """Any shape, unchanged."""
        return in_shape, {"std": Param((1,), normal(0.0, self.std), False)}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, None]:
        """y = x + std e."""
        if not train:
            return x, None
        noise = ops.random_normal(x.shape, Use.INSTANCE_NOISE)
        np.multiply(noise, p["std"], out=noise)
        return ops.add(x, noise), None

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: None,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, None]:
        """dx = dy."""
        return (dy if need_dx else None), None

    def double_backward(
        self, ops: Ops, p: Params, tape: None, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Any, None]:
        """ddy = ddx."""
        return ddx, None
