"""The three sweeps of y = f(A x + b), shared by Dense and both convolutions, which differ in A only.

A is linear in x and in W. With z = A x + b, y = f(z), and B the same map as A with ddW for W:

    forward          z = A x + b,  y = f(z)
    backward         dz = dy f'(z) + extra.z,   dx = A^T dz + extra.x,   dW += (dA/dW)(x, dz),   db += sum dz
    double_backward  ddz = A ddx + B x + ddb,   ddy = ddz f'(z),   dW += (dA/dW)(ddx, dz),
                     extra.z = ddz dy f''(z),   extra.x = B^T dz
"""

from abc import abstractmethod
from typing import Any, NamedTuple

from kernels import Activation, Ops
from kernels.activations import fusable
from kernels.types import Array, Shape

from ..initializers import Initializer, normal, zeros
from ..layer import Layer, Params, add
from ..params import Param


class LinearCache(NamedTuple):
    """Kept by forward."""

    x: Array  # the input
    y: Array  # the output, from which f' follows


class LinearTape(NamedTuple):
    """Kept by backward."""

    x: Array
    y: Array
    dy: Array | None  # same shape as y
    dz: Array  # same shape as y


class LinearExtra(NamedTuple):
    """The extra has two places: before the activation and at the input."""

    z: Array | None
    x: Array | None


class LinearLayer(Layer):
    """y = f(A x + b); a subclass says what A is by three products.

    Args:
        activation: fused function or None: "relu", ("leaky_relu" through `kernels.activation`), "tanh", "sigmoid", ...
        bias: whether there is a b; a layer that a BatchNorm follows has none.
        init: of W; b starts at 0.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str | Activation | None,
        bias: bool,
        init: Initializer | None,
    ) -> None:
        name = type(self).__name__
        for what, value in (("in", in_features), ("out", out_features)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {what} must be a whole number of at least 1, got {value!r}")
        self.in_features, self.out_features = in_features, out_features
        self.activation = fusable(activation, name)
        self.bias = bias
        self.weight_init = init if init is not None else normal(0.02)

    def params(self, weight_shape: Shape, init: Initializer | None = None) -> dict[str, Param]:
        """The Params of W, drawn by the layer's own initializer or by `init`, and of b."""
        spec = {"W": Param(weight_shape, init if init is not None else self.weight_init)}
        if self.bias:
            spec["b"] = Param((self.out_features,), zeros)
        return spec

    @abstractmethod
    def apply(self, ops: Ops, w: Array, x: Array, bias: Array | None, activation: Activation | None) -> Array:
        """f(A x + bias)."""

    @abstractmethod
    def apply_adjoint(self, ops: Ops, w: Array, dz: Array, x_shape: Shape) -> Array:
        """A^T dz, of shape `x_shape`."""

    @abstractmethod
    def weight_grad(self, ops: Ops, dw: Array, x: Array, dz: Array, accumulate: bool = True) -> None:
        """dw (+)= derivative of <dz, A x> in W; without `accumulate` dw is overwritten unread."""

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, LinearCache]:
        """y = f(A x + b)."""
        y = self.apply(ops, p["W"], x, p["b"] if self.bias else None, self.activation)
        return y, LinearCache(x, y)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: LinearCache,
        dy: Array | None,
        g: Params | None = None,
        extra: LinearExtra | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, LinearTape | None]:
        """dz = dy f' + extra.z; dx = A^T dz + extra.x; g["W"], g["b"] accumulate."""
        extra_z, extra_x = extra or (None, None)
        if dy is None and extra_z is None:
            return (extra_x if need_dx else None), None
        db = g["b"] if g is not None and self.bias else None
        dz = ops.activation_grad(self.activation, dy, cache.y, extra=extra_z, db=db)
        if g is not None:
            dw, accumulate = g.target("W")
            self.weight_grad(ops, dw, cache.x, dz, accumulate)
        dx = add(ops, self.apply_adjoint(ops, p["W"], dz, cache.x.shape), extra_x) if need_dx else None
        return dx, LinearTape(cache.x, cache.y, dy, dz)

    def double_backward(
        self,
        ops: Ops,
        p: Params,
        tape: LinearTape,
        ddx: Array | None,
        g: Params | None = None,
        ddp: Params | None = None,
    ) -> tuple[Array | None, LinearExtra | None]:
        """ddz = A ddx + B x + ddb; ddy = ddz f'; both extras; g["W"] accumulates."""
        ddz = extra_x = None
        if ddx is not None:
            ddz = self.apply(ops, p["W"], ddx, None, None)
            if g is not None:
                dw, accumulate = g.target("W")
                self.weight_grad(ops, dw, ddx, tape.dz, accumulate)
        if ddp:
            ddz = add(ops, ddz, self.apply(ops, ddp["W"], tape.x, ddp["b"] if self.bias else None, None))
            extra_x = self.apply_adjoint(ops, ddp["W"], tape.dz, tape.x.shape)
        if ddz is None:
            return None, None
        ddy, extra_z = ops.activation_double_grad(self.activation, ddz, tape.dy, tape.y)
        return ddy, (None if extra_z is None and extra_x is None else LinearExtra(extra_z, extra_x))
