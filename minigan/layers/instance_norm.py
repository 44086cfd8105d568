"""InstanceNorm: every channel of every image normalised by itself. Axes: N, H, W, C; P = H W pixels.

With a row for each channel of each image, (N C, P), it is LayerNorm without a gain, and an affine map per channel
afterwards; both are operations that other norms have already.
"""

from typing import Any, NamedTuple

from kernels import Activation, Ops
from kernels.types import Array, Shape

from ..layer import Params, add
from ..params import Spec
from .norm import Norm, NormExtra
from .shape import image


class InstanceCache(NamedTuple):
    """Kept by forward."""

    rows: Array  # (N C, P): x, a row for each channel of each image
    mean: Array  # (N C,)
    var: Array  # (N C,)
    h: Array  # (N, H, W, C): x normalised
    y: Array  # (N, H, W, C)


class InstanceTape(NamedTuple):
    """Kept by backward; None where neither dy nor an extra came from behind."""

    cache: InstanceCache
    dy: Array | None  # (N, H, W, C)
    dz: Array | None  # (N, H, W, C)
    dh: Array | None  # (N C, P)


class InstanceNorm(Norm):
    """Normalisation of each channel of each image over its pixels (Ulyanov, Vedaldi and Lempitsky 2016).

    With h = (x - mean) r, r = 1/sqrt(var + eps) and P u = u - mean(u) - h mean(u h), means over the pixels:

        forward          y = f(gamma h + beta)
        backward         dz = dy f' + extra.z,   dx = r P(gamma dz) + extra.x,   dgamma += sum dz h,   dbeta += sum dz
        double_backward  ddz = gamma r P(ddx) + ddgamma h + ddbeta,   dgamma += sum dz r P(ddx),   ddy = ddz f',
                         extra.z = ddz dy f'',   extra.x = r P(ddgamma dz) + what `kernels.reference.norms` derives

    Args:
        features: C.
        eps: added to the variance.
        activation: fused f, or None.

    Deviation: PyTorch's InstanceNorm2d has no gain and bias unless it is told to (affine=True).
    """

    def __init__(self, features: int, eps: float = 1e-5, activation: str | Activation | None = None) -> None:
        super().__init__(features, eps, activation)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(H, W, C) unchanged; one pixel alone has no variance."""
        shape, params = super().spec(image(self, in_shape))
        if shape[0] * shape[1] == 1:
            raise ValueError(f"InstanceNorm: expected images of more than one pixel, got {in_shape}")
        return shape, params

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, InstanceCache]:
        """y = f(gamma h + beta); the same in train and eval mode."""
        rows = _rows(ops, x)
        normalised, mean, var = ops.layer_norm(rows, *_identity(ops, rows.shape[1]), self.eps)
        h = _images(ops, normalised, x.shape)
        one, _ = _identity(ops, self.features)
        y = ops.channel_norm(h, p["gamma"], p["beta"], None, one, 0.0, self.activation)
        return y, InstanceCache(rows, mean, var, h, y)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: InstanceCache,
        dy: Array | None,
        g: Params | None = None,
        extra: NormExtra | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, InstanceTape]:
        """dz = dy f' + extra.z; dx = r P(gamma dz) + extra.x."""
        extra_z, extra_x = extra or (None, None)
        if dy is None and extra_z is None:
            return (extra_x if need_dx else None), InstanceTape(cache, None, None, None)
        dz = ops.activation_grad(self.activation, dy, cache.y, extra=extra_z)
        one, _ = _identity(ops, self.features)
        if g is not None:
            ops.channel_norm_weight_grad(dz, cache.h, None, one, 0.0, dgamma=g["gamma"], dbeta=g["beta"])
        if not need_dx:
            return None, InstanceTape(cache, dy, dz, None)
        dh = _rows(ops, ops.channel_norm(dz, p["gamma"], None, None, one, 0.0))
        gain, _ = _identity(ops, dh.shape[1])
        dx = _images(ops, ops.layer_norm_grad(dh, cache.rows, gain, cache.mean, cache.var, self.eps), dz.shape)
        return add(ops, dx, extra_x), InstanceTape(cache, dy, dz, dh)

    def double_backward(
        self,
        ops: Ops,
        p: Params,
        tape: InstanceTape,
        ddx: Array | None,
        g: Params | None = None,
        ddp: Params | None = None,
    ) -> tuple[Array | None, NormExtra | None]:
        """ddz = gamma r P(ddx) + ddgamma h + ddbeta, and both extras."""
        if tape.dz is None:
            return None, None
        rows, mean, var, h, y = tape.cache
        gain, _ = _identity(ops, rows.shape[1])
        one, _ = _identity(ops, self.features)
        ddz = owed = None
        if ddx is not None:
            assert tape.dh is not None, "double_backward needs the tape of a backward that made dx"
            projected, owed = ops.layer_norm_double_grad(_rows(ops, ddx), tape.dh, rows, gain, mean, var, self.eps)
            ddh = _images(ops, projected, h.shape)  # r P(ddx)
            if g is not None:
                ops.channel_norm_weight_grad(tape.dz, ddh, None, one, 0.0, dgamma=g["gamma"], dbeta=None)
            ddz = ops.channel_norm(ddh, p["gamma"], None, None, one, 0.0)
        if ddp:
            ddz = add(ops, ddz, ops.channel_norm(h, ddp["gamma"], ddp["beta"], None, one, 0.0))
            moved = _rows(ops, ops.channel_norm(tape.dz, ddp["gamma"], None, None, one, 0.0))
            owed = add(ops, owed, ops.layer_norm_grad(moved, rows, gain, mean, var, self.eps))
        if ddz is None or owed is None:
            return None, None
        ddy, extra_z = ops.activation_double_grad(self.activation, ddz, tape.dy, y)
        return ddy, NormExtra(extra_z, _images(ops, owed, h.shape))


def _identity(ops: Ops, count: int) -> tuple[Array, Array]:
    """Gains of 1 and biases of 0: a norm that has none. As variances the ones leave an affine map alone."""
    ones, zeros = ops.empty((count,)), ops.empty((count,))
    ops.fill(ones, 1.0)
    ops.fill(zeros, 0.0)
    return ones, zeros


def _rows(ops: Ops, x: Array) -> Array:
    """(N, H, W, C) -> (N C, P)."""
    n, h, w, c = x.shape
    rows = ops.empty((n * c, h * w))
    rows.reshape(n, c, h * w)[...] = x.reshape(n, h * w, c).swapaxes(1, 2)
    return rows


def _images(ops: Ops, rows: Array, shape: Shape) -> Array:
    """Back: (N C, P) -> (N, H, W, C)."""
    n, h, w, c = shape
    x = ops.empty(shape)
    x.reshape(n, h * w, c)[...] = rows.reshape(n, c, h * w).swapaxes(1, 2)
    return x
