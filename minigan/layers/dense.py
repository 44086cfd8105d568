"""Dense: y = f(x W + b). Axes: N = batch, I = in_features, O = out_features."""

import math
from typing import Any

from kernels import Activation, Ops
from kernels.types import Array, Shape

from ..initializers import Initializer
from ..layer import features
from ..params import Spec
from .linear import LinearLayer


class Dense(LinearLayer):
    """y = f(x W + b) with W (I, O), b (O,): x (N, ..., I) -> (N, ..., O).

    Without activation:

        forward          y = x W + b
        backward         dx = dy W^T,   dW += x^T dy,   db += sum_n dy
        double_backward  ddy = ddx W + x ddW + ddb,   dW += ddx^T dy,   extra.x = dy ddW^T

    Args:
        in_features, out_features: I and O.
        activation: fused f (see `minigan.layers.linear` for its sweeps), None for the identity.
        bias: False where a BatchNorm follows.
        init: of W, normal(0, 0.02) by default.

    Deviation: PyTorch's Linear stores W transposed and draws it from U(-1/sqrt(I), 1/sqrt(I)).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str | Activation | None = None,
        bias: bool = True,
        init: Initializer | None = None,
    ) -> None:
        super().__init__(in_features, out_features, activation, bias, init)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(..., I) -> (..., O)."""
        shape = features(self, in_shape, self.in_features)
        return (*shape[:-1], self.out_features), self.params((self.in_features, self.out_features))

    def flops(self, in_shape: Any) -> int:
        """2 I O per row."""
        return 2 * math.prod(in_shape) * self.out_features

    def apply(self, ops: Ops, w: Array, x: Array, bias: Array | None, activation: Activation | None) -> Array:
        """f(x W + b)."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"Dense: x has {x.shape[-1]} features, W expects {w.shape[0]} (x {x.shape}, W {w.shape})")
        y = ops.matmul(_rows(x), w, bias=bias, activation=activation)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def apply_adjoint(self, ops: Ops, w: Array, dz: Array, x_shape: Shape) -> Array:
        """dz W^T."""
        dx = ops.matmul(_rows(dz), w, trans_b=True)
        return dx if len(x_shape) == 2 else dx.reshape(x_shape)

    def weight_grad(self, ops: Ops, dw: Array, x: Array, dz: Array, accumulate: bool = True) -> None:
        """dW (+)= x^T dz."""
        ops.matmul(_rows(x), _rows(dz), trans_a=True, out=dw, accumulate=accumulate)


def _rows(x: Array) -> Array:
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])  # (N, ..., C) -> (N*..., C)
