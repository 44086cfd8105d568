"""Layers by which a discriminator sees several samples at once, and so whether they are all alike: Pack and
MinibatchStddev.

Axes: N = batch, m = samples of a group, G = N/m groups, P = pixels (1 for flat features), C = channels, F = P C. Groups
are neighbours in the batch: samples 0 .. m-1 are the first group.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from kernels import Ops
from kernels.types import Array, Shape

from ..layer import Layer, Note, Params, add, is_shape
from ..params import Spec
from .fixed_linear import FixedLinear


class Pack(FixedLinear):
    """PacGAN: m neighbours side by side in the channels, (N, ..., C) -> (N/m, ..., m C).

    A discriminator behind it judges packs, with one logit for each: a generator that always draws the same is found out
    (Lin, Khetan, Fanti and Oh 2018, section 2). Sample k of a pack is in channels k C to (k + 1) C.

    dx cuts dy into the samples again; ddy packs ddx.
    """

    def __init__(self, size: int) -> None:
        self.group: int = _at_least_one(self, size)

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(..., C) -> (..., m C)."""
        shape = _one_array(self, in_shape)
        return (*shape[:-1], self.group * shape[-1]), {}

    def apply(self, ops: Ops, x: Array) -> Array:
        """(N, ..., C) -> (G, ..., m C)."""
        m, c = self.group, x.shape[-1]
        groups = _groups(self, len(x), m)
        y = ops.empty((groups, *x.shape[1:-1], m * c))
        y.reshape(groups, -1, m, c)[...] = x.reshape(groups, m, -1, c).swapaxes(1, 2)  # (G, m, P, C) -> (G, P, m, C)
        return y

    def apply_adjoint(self, ops: Ops, dy: Array, x_shape: Shape) -> Array:
        """(G, ..., m C) -> (N, ..., C)."""
        groups, m, c = len(dy), self.group, x_shape[-1]
        dx = ops.empty(x_shape)
        dx.reshape(groups, m, -1, c)[...] = dy.reshape(groups, -1, m, c).swapaxes(1, 2)  # (G, P, m, C) -> (G, m, P, C)
        return dx


class StddevCache(NamedTuple):
    """Kept by forward: the samples of a group as rows, its features beside those of the other groups."""

    rows: Array  # (m, G F): x
    mean: Array  # (G F,)
    var: Array  # (G F,)
    h: Array  # (m, G F): (x - mean)/sd
    shape: Shape  # of x


class StddevTape(NamedTuple):
    """Kept by backward."""

    cache: StddevCache
    ds: Array | None  # (G,), the gradient in each group's number; None where no dy came


class MinibatchStddev(Layer):
    """One more channel that says how much the samples of a group differ: (N, ..., C) -> (N, ..., C + 1).

    sd = sqrt(var + eps) is the standard deviation of each feature over the m samples of a group; s, its mean over all
    features, is put into every pixel of the group's samples (Karras, Aila, Laine and Lehtinen 2018, section 3). With
    h = (x - mean)/sd, ds = sum of dy's last channel over the group, and dx, dy without that channel in what follows:

        forward          s = mean sd
        backward         dx = dy + ds h/(m F) + extra                        (since d sd/dx = h/m)
        double_backward  ddy = ddx, its last channel <ddx, h>/(m F),
                         extra = ds/(m F) (ddx - mean(ddx) - h mean(ddx h))/sd,    means over the group

    so the second order of this layer is the first of a BatchNorm, which is h.

    Args:
        group: m; None takes the whole batch as one group.
        eps: added to the variance.

    Deviation: Karras et al. group samples N/m apart, here they are neighbours, so that no group holds both real and
    fake samples of a batch that joins them; and a batch that m does not divide is refused, not regrouped.
    """

    def __init__(self, group: int | None = 4, eps: float = 1e-8) -> None:
        self.group = None if group is None else _at_least_one(self, group)
        if not eps > 0:
            raise ValueError(f"MinibatchStddev: eps must be above 0, got {eps!r}")
        self.eps = eps

    def spec(self, in_shape: Any) -> tuple[Shape, Spec]:
        """(..., C) -> (..., C + 1)."""
        shape = _one_array(self, in_shape)
        return (*shape[:-1], shape[-1] + 1), {}

    def forward(self, ops: Ops, p: Params, x: Any, train: bool = True) -> tuple[Array, StddevCache]:
        """Append s; the same in train and eval mode."""
        m = self.group or len(x)
        groups = _groups(self, len(x), m)
        rows = _as_rows(ops, x, m)
        ones, zeros = ops.empty(rows.shape[1:]), ops.empty(rows.shape[1:])
        ops.fill(ones, 1.0)
        ops.fill(zeros, 0.0)
        h, mean, var = ops.batch_norm(rows, ones, zeros, self.eps)
        sd = ops.empty(var.shape)
        np.sqrt(np.add(var, self.eps, out=sd), out=sd)
        s = sd.reshape(groups, -1).mean(1)  # (G F,) -> (G,)
        return _append(ops, x, s), StddevCache(rows, mean, var, h, x.shape)

    def backward(
        self,
        ops: Ops,
        p: Params,
        cache: StddevCache,
        dy: Array | None,
        g: Params | None = None,
        extra: Array | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, StddevTape]:
        """dx = dy + ds h/(m F) + extra."""
        if dy is None:
            return (extra if need_dx else None), StddevTape(cache, None)
        rest, last = ops.split(dy, (cache.shape[-1], 1))
        m = len(cache.rows)
        ds = last.reshape(len(dy) // m, -1).sum(1)  # (N, ..., 1) -> (G,)
        if not need_dx:
            return None, StddevTape(cache, ds)
        through = _as_samples(ops, _scaled(ops, cache.h, ds, cache.shape), cache.shape)
        return add(ops, ops.add(rest, through), extra), StddevTape(cache, ds)

    def double_backward(
        self,
        ops: Ops,
        p: Params,
        tape: StddevTape,
        ddx: Array | None,
        g: Params | None = None,
        ddp: Params | None = None,
    ) -> tuple[Array | None, Note]:
        """ddy = (ddx, <ddx, h>/(m F)); extra by BatchNorm's gradient."""
        if ddx is None:
            return None, None
        rows, mean, var, h, shape = tape.cache
        m, features = len(rows), math.prod(shape[1:])
        along = _as_rows(ops, ddx, m)  # (m, G F)
        products = ops.sum_rows(ops.multiply(along, h)).reshape(-1, features)  # (G, F)
        ddy = _append(ops, ddx, products.sum(1) / (m * features))
        if tape.ds is None:
            return ddy, None
        ones = ops.empty(mean.shape)
        ops.fill(ones, 1.0)
        curved = ops.batch_norm_grad(along, rows, ones, mean, var, self.eps)
        return ddy, _as_samples(ops, _scaled(ops, curved, tape.ds, shape), shape)


def _as_rows(ops: Ops, x: Array, m: int) -> Array:
    """(N, ...) -> (m, G F): the samples of a group below one another, the groups side by side."""
    groups = len(x) // m
    if groups == 1:
        return x.reshape(m, -1)
    rows = ops.empty((m, x.size // m))
    rows.reshape(m, groups, -1)[...] = x.reshape(groups, m, -1).swapaxes(0, 1)
    return rows


def _as_samples(ops: Ops, rows: Array, shape: Shape) -> Array:
    """Back: (m, G F) -> (N, ...)."""
    m, groups = len(rows), shape[0] // len(rows)
    if groups == 1:
        return rows.reshape(shape)
    x = ops.empty(shape)
    x.reshape(groups, m, -1)[...] = rows.reshape(m, groups, -1).swapaxes(0, 1)
    return x


def _scaled(ops: Ops, rows: Array, ds: Array, shape: Shape) -> Array:
    """Each group's columns of (m, G F) times ds/(m F)."""
    m, features = len(rows), math.prod(shape[1:])
    scaled = ops.empty(rows.shape)
    factors = (ds / (m * features)).reshape(1, -1, 1)  # (1, G, 1)
    np.multiply(rows.reshape(m, -1, features), factors, out=scaled.reshape(m, -1, features))
    return scaled


def _append(ops: Ops, x: Array, s: Array) -> Array:
    """x (N, ..., C) with each group's s (G,) as one more channel."""
    channel = ops.empty((*x.shape[:-1], 1))
    channel.reshape(len(s), -1)[...] = s.reshape(-1, 1)
    return ops.concat([x, channel], axis=-1)


def _at_least_one(layer: Layer, size: int) -> int:
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{type(layer).__name__}: expected a whole number of samples of at least 1, got {size!r}")
    return size


def _one_array(layer: Layer, in_shape: Any) -> Shape:
    if not is_shape(in_shape) or not in_shape:
        raise ValueError(f"{type(layer).__name__}: expected one input (..., C), got {in_shape}")
    return tuple(in_shape)


def _groups(layer: Layer, count: int, m: int) -> int:
    if count % m:
        raise ValueError(f"{type(layer).__name__}: a batch of {count} cannot be cut into groups of {m}")
    return count // m
