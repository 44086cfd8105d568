"""Embedding: a row of a table for each label. Axes: N = batch, K = labels, F = features."""

from typing import Any

from kernels import Ops
from kernels.types import Array, Shape

from ..initializers import Initializer, normal
from ..layer import Layer, Note, Params
from ..params import Param, Spec


class Embedding(Layer):
    """y[n] = W[label[n]]: labels (N,), whole numbers in [0, K) -> (N, F), W (K, F).

    dW[label[n]] += dy[n]. Labels carry no gradient, so dx is None, and ddy[n] = ddW[label[n]].
    """

    def __init__(self, labels: int, features: int, init: Initializer | None = None) -> None:
        for what, value in (("labels", labels), ("features", features)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Embedding: {what} must be a whole number of at least 1, got {value!r}")
        self.labels, self.features = labels, features
        self.weight_init = init if init is not None else normal(1.0)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """() -> (F,): one label a sample."""
        if in_shape != ():
            raise ValueError(f"Embedding: expected one label a sample, shape (), got {in_shape}")
        return (self.features,), {"W": Param((self.labels, self.features), self.weight_init)}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, Array]:
        """y = W[x]; keeps the labels."""
        return ops.gather_rows(p["W"], x), x

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: Array,
        dy: Any,
        g: Params | None = None,
        extra: Note = None,
        need_dx: bool = True,
    ) -> tuple[None, Array]:
        """dW accumulates; there is no dx."""
        if g is not None:
            ops.scatter_add_rows(g["W"], cache, dy)
        return None, cache

    def double_backward(
        self, ops: Ops, p: Params, tape: Array, ddx: Any, g: Params | None = None, ddp: Params | None = None
    ) -> tuple[Array | None, None]:
        """The moved rows; W is the only variable."""
        return (ops.gather_rows(ddp["W"], tape) if ddp else None), None
