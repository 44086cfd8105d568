"""Normalisation in NumPy.

Axes as in the contract: x (N, ..., C), gamma, beta (C,). r = 1/sqrt(var + eps), h = (x - mean) r, z = gamma h + beta,
y = f(z). "batch" statistics are means over all axes but the last, "sample" statistics over all axes but the first.

BatchNorm: Ioffe and Szegedy 2015 (Algorithm 1). LayerNorm: Ba, Kiros and Hinton 2016 (eq. 3 and 4), here with one gain
per channel.
"""

import numpy as np

from ..activations import Activation
from ..contract.norms import NormOps
from ..types import Array
from .products import epilogue


class NumpyNorms(NormOps):
    """The norm family."""

    def _batch_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        """Mean and variance over the batch, then y = f(gamma h + beta)."""
        rows = x.reshape(-1, x.shape[-1])  # (N, ..., C) -> (R, C)
        mean[...] = rows.mean(0, dtype=np.float64)
        var[...] = rows.var(0, dtype=np.float64)
        self._channel_norm(x, gamma, beta, mean, var, eps, act, y)

    def _batch_norm_grad(
        self,
        dy: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        y: Array | None,
        act: Activation | None,
        dgamma: Array | None,
        dbeta: Array | None,
        dx: Array,
    ) -> None:
        """dz = dy f'(y);  with sums over the batch of R rows, dbeta = sum dz and dgamma = sum dz h:

        dx = gamma r (dz - dbeta/R - h dgamma/R).
        """
        c = x.shape[-1]
        r = 1 / np.sqrt(var + eps)
        h = (x.reshape(-1, c) - mean) * r  # (R, C)
        dz = (dy if act is None or y is None else dy * act.df(y)).reshape(-1, c)
        sum_dz, sum_dz_h = _row_sum(dz), _row_sum(dz * h)
        if dgamma is not None:
            dgamma += sum_dz_h
        if dbeta is not None:
            dbeta += sum_dz
        rows = len(h)
        h *= sum_dz_h / rows
        h += sum_dz / rows
        np.multiply(dz - h, gamma * r, out=dx.reshape(-1, c))

    def _channel_norm(
        self,
        x: Array,
        gamma: Array,
        beta: Array | None,
        mean: Array | None,
        var: Array,
        eps: float,
        act: Activation | None,
        y: Array,
    ) -> None:
        """y = f(gamma r (x - mean) + beta), an affine map per channel."""
        np.subtract(x, 0 if mean is None else mean, out=y)
        y *= gamma / np.sqrt(var + eps)
        epilogue(y, beta, act)

    def _channel_norm_weight_grad(
        self, dz: Array, x: Array, mean: Array | None, var: Array, eps: float, dgamma: Array, dbeta: Array | None
    ) -> None:
        """dgamma += sum dz h, dbeta += sum dz."""
        c = x.shape[-1]
        rows, dz = x.reshape(-1, c), dz.reshape(-1, c)
        h = (rows if mean is None else rows - mean) / np.sqrt(var + eps)
        dgamma += _row_sum(dz * h)
        if dbeta is not None:
            dbeta += _row_sum(dz)

    def _layer_norm(
        self, x: Array, gamma: Array, beta: Array, eps: float, act: Activation | None, y: Array, mean: Array, var: Array
    ) -> None:
        """Mean and variance over the sample, then y = f(gamma h + beta)."""
        flat = x.reshape(len(x), -1)  # (N, ..., C) -> (N, F)
        flat.mean(1, out=mean)
        flat.var(1, out=var)
        y[...] = _normalised(x, mean, var, eps)
        y *= gamma
        epilogue(y, beta, act)

    def _layer_norm_grad(
        self,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        dgamma: Array | None,
        dbeta: Array | None,
        dx: Array,
    ) -> None:
        """With dh = gamma dz and P u = u - mean(u) - h mean(u h), means over the sample:  dx = r P dh."""
        h, r = _normalised(x, mean, var, eps), _per_sample(1 / np.sqrt(var + eps), x)
        if dgamma is not None:
            dgamma += _row_sum(dz * h)
        if dbeta is not None:
            dbeta += _row_sum(dz)
        np.multiply(r, _project(dz * gamma, h), out=dx)

    def _layer_norm_double_grad(
        self,
        ddx: Array,
        dz: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        var: Array,
        eps: float,
        dgamma: Array | None,
        ddz: Array,
        extra: Array,
    ) -> None:
        """Derivatives of s = <v, r P dh>, v = ddx, dh = gamma dz, F = size of a sample, P as above (symmetric):

        ddz    = gamma r P v                                        dgamma += sum dz r P v
        ds/dr  = <v, P dh> per sample                               ds/dh = -r (v mean(dh h) + dh mean(v h))
        extra  = r P(ds/dh) - (ds/dr) r^2 h/F                       (dh/dx = r P, dr/dx = -r^2 h/F)
        """
        h, r = _normalised(x, mean, var, eps), _per_sample(1 / np.sqrt(var + eps), x)
        dh = dz * gamma
        projected = r * _project(ddx, h)
        np.multiply(projected, gamma, out=ddz)
        if dgamma is not None:
            dgamma += _row_sum(projected * dz)
        ds_dr = _sample_mean(ddx * _project(dh, h)) * h[0].size
        ds_dh = -r * (ddx * _sample_mean(dh * h) + dh * _sample_mean(ddx * h))
        np.subtract(r * _project(ds_dh, h), ds_dr * r * r * h / h[0].size, out=extra)


def _row_sum(u: Array) -> Array:
    """Sum over all axes but the last, (..., C) -> (C,), in float64: over 100,000 rows float32 would lose digits."""
    return u.reshape(-1, u.shape[-1]).sum(0, dtype=np.float64).astype(u.dtype)


def _per_sample(statistic: Array, x: Array) -> Array:
    """(N,) -> (N, 1, ..., 1), to broadcast against x."""
    return statistic.reshape(-1, *[1] * (x.ndim - 1))


def _normalised(x: Array, mean: Array, var: Array, eps: float) -> Array:
    """h = (x - mean) r."""
    return (x - _per_sample(mean, x)) * _per_sample(1 / np.sqrt(var + eps), x)


def _sample_mean(u: Array) -> Array:
    """Mean over each sample, (N, ..., C) -> (N, 1, ..., 1)."""
    return u.mean(axis=tuple(range(1, u.ndim)), keepdims=True)


def _project(u: Array, h: Array) -> Array:
    """P u = u - mean(u) - h mean(u h): what normalisation lets through."""
    return u - _sample_mean(u) - h * _sample_mean(u * h)
