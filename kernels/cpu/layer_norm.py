"""Layer normalisation, one sample after the other: first its sums, then its result, while it is still in the cache.

F = elements of a sample, C = channels; r = 1/sqrt(var + eps), h = (x - mean) r. A sample is walked through in lines of
one or several rows; gamma and beta are repeated along a line (see `lines`). The gradients of gamma and beta are summed
over the samples of a block, blocks are added in order.
"""

import numpy as np

from ..types import Array
from .activations import rectify
from .fork import fork
from .jit import REASSOCIATE, kernel, parallel_kernel
from .lines import fold


@kernel
def _layer_norm_sample(
    n: int, x: Array, gamma: Array, beta: Array, eps: float, slope: float, y: Array, mean: Array, var: Array
) -> None:
    size, length = x.shape[1], gamma.size
    mean[n], var[n] = _moments(x[n])
    r = 1 / np.sqrt(np.float64(var[n]) + eps)
    for start in range(0, size, length):
        _normalise(x[n, start : start + length], mean[n], r, gamma, beta, slope, y[n, start : start + length])


@parallel_kernel
def layer_norm(
    x: Array, gamma: Array, beta: Array, eps: float, slope: float, y: Array, mean: Array, var: Array
) -> None:
    """y = f(gamma h + beta), f by its slope (see `rectify`); x, y (N, F), gamma, beta (length,)."""
    fork(_layer_norm_sample, len(x), (x, gamma, beta, eps, slope, y, mean, var))


@kernel(fastmath=REASSOCIATE)
def _moments(x: Array) -> tuple[float, float]:
    """Mean and variance, from sums of d = x - x[0] (why: see `channel_norm`) in float64."""
    shift = np.float64(x[0]) if np.isfinite(x[0]) else 0.0
    total, squares = 0.0, 0.0
    for j in range(x.size):
        d = x[j] - shift
        total += d
        squares += d * d
    offset = total / x.size
    return shift + offset, squares / x.size - offset * offset


@kernel
def _normalise(x: Array, mean: float, r: float, gamma: Array, beta: Array, slope: float, y: Array) -> None:
    real = x.dtype.type
    mean_, r_, slope_ = real(mean), real(r), real(slope)
    for j in range(x.size):
        y[j] = rectify(gamma[j] * ((x[j] - mean_) * r_) + beta[j], slope_)


@kernel
def _layer_norm_grad_block(
    block: int, dz: Array, x: Array, gamma: Array, mean: Array, var: Array, eps: float, sums: Array, dx: Array
) -> None:
    samples, size, length, blocks = len(x), x.shape[1], gamma.size, sums.shape[1]
    dgamma, dbeta = sums[0, block], sums[1, block]
    dgamma[:] = 0
    dbeta[:] = 0
    for n in range(samples * block // blocks, samples * (block + 1) // blocks):
        r = 1 / np.sqrt(np.float64(var[n]) + eps)
        total, product = 0.0, 0.0
        for start in range(0, size, length):
            run = slice(start, start + length)
            a, b = _projections(dz[n, run], x[n, run], gamma, mean[n])
            total += a
            product += b
        for start in range(0, size, length):
            run = slice(start, start + length)
            _project(dz[n, run], x[n, run], gamma, mean[n], r, total / size, product * r / size, dx[n, run])
            _add_weight_sums(dz[n, run], x[n, run], mean[n], r, dgamma, dbeta)


@parallel_kernel
def layer_norm_grad(
    dz: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    sums: Array,
    dgamma: Array,
    dbeta: Array,
    dx: Array,
) -> None:
    """With dh = gamma dz: dx = r (dh - mean(dh) - h mean(dh h)), means over the sample; dz, x, dx (N, F).

    dgamma += sum dz h and dbeta += sum dz, either left out where empty. Scratch: sums (2, blocks, length) in float64.
    """
    fork(_layer_norm_grad_block, sums.shape[1], (dz, x, gamma, mean, var, eps, sums, dx))
    _add_folded(sums[0], dgamma)
    _add_folded(sums[1], dbeta)


@kernel
def _add_folded(sums: Array, weights: Array) -> None:
    """weights += sums per channel, unless empty."""
    if weights.size:
        fold(sums, weights.size)
    for c in range(weights.size):
        weights[c] += sums[0, c]


@kernel(fastmath=REASSOCIATE)
def _projections(dz: Array, x: Array, gamma: Array, mean: float) -> tuple[float, float]:
    """(sum dh, sum dh (x - mean)) in float64."""
    mean_ = np.float64(mean)
    total, product = 0.0, 0.0
    for j in range(x.size):
        dh = np.float64(dz[j]) * gamma[j]
        total += dh
        product += dh * (x[j] - mean_)
    return total, product


@kernel
def _project(
    dz: Array, x: Array, gamma: Array, mean: float, r: float, mean_dh: float, mean_dh_h: float, dx: Array
) -> None:
    """dx = r (dh - mean_dh - h mean_dh_h)."""
    real = x.dtype.type
    mean_, r_, constant, slope = real(mean), real(r), real(mean_dh), real(r * mean_dh_h)
    for j in range(x.size):
        dx[j] = r_ * (gamma[j] * dz[j] - constant - slope * (x[j] - mean_))


@kernel
def _add_weight_sums(dz: Array, x: Array, mean: float, r: float, dgamma: Array, dbeta: Array) -> None:
    mean_ = np.float64(mean)
    for j in range(x.size):
        dgamma[j] += dz[j] * ((x[j] - mean_) * r)
        dbeta[j] += dz[j]


@kernel
def _layer_norm_double_grad_block(
    block: int,
    ddx: Array,
    dz: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    sums: Array,
    ddz: Array,
    extra: Array,
) -> None:
    samples, size, length, blocks = len(x), x.shape[1], gamma.size, sums.shape[1]
    dgamma, means = sums[0, block], np.zeros(5)
    dgamma[:] = 0
    for n in range(samples * block // blocks, samples * (block + 1) // blocks):
        r = 1 / np.sqrt(np.float64(var[n]) + eps)
        means[:] = 0
        for start in range(0, size, length):
            run = slice(start, start + length)
            _add_second_sums(ddx[n, run], dz[n, run], x[n, run], gamma, mean[n], r, means)
        for k in range(means.size):
            means[k] /= size
        for start in range(0, size, length):
            run = slice(start, start + length)
            _second_in_z(ddx[n, run], x[n, run], gamma, mean[n], r, means, ddz[n, run])
            _second_in_x(ddx[n, run], dz[n, run], x[n, run], gamma, mean[n], r, means, extra[n, run])
            _second_in_gamma(ddx[n, run], dz[n, run], x[n, run], mean[n], r, means, dgamma)


@parallel_kernel
def layer_norm_double_grad(
    ddx: Array,
    dz: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    var: Array,
    eps: float,
    sums: Array,
    dgamma: Array,
    ddz: Array,
    extra: Array,
) -> None:
    """Derivatives of s = <v, r P dh>, v = ddx, dh = gamma dz, P u = u - mean(u) - h mean(u h), means over the sample.

    Written out with p = mean(v), q = mean(dh), a = mean(dh h), b = mean(v h), e = mean(v dh) - p q - a b:

        ddz   = gamma u,  u = r (v - p - h b)                   (in z)
        extra = -r^2 ((v - p) a + (dh - q) b + h (e - 2 a b))   (in x)

    dgamma += sum dz u, the derivative in gamma, left out where empty. Scratch: sums (1, blocks, length) in float64.
    """
    fork(_layer_norm_double_grad_block, sums.shape[1], (ddx, dz, x, gamma, mean, var, eps, sums, ddz, extra))
    _add_folded(sums[0], dgamma)


@kernel(fastmath=REASSOCIATE)
def _add_second_sums(v: Array, dz: Array, x: Array, gamma: Array, mean: float, r: float, sums: Array) -> None:
    """sums += sums of v, v h, dh, dh h, v dh in float64."""
    mean_ = np.float64(mean)
    sum_v, sum_v_d, sum_dh, sum_dh_d, sum_v_dh = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(x.size):
        d, dh = x[j] - mean_, np.float64(dz[j]) * gamma[j]
        sum_v += v[j]
        sum_v_d += v[j] * d
        sum_dh += dh
        sum_dh_d += dh * d
        sum_v_dh += v[j] * dh
    sums[0] += sum_v
    sums[1] += sum_v_d * r
    sums[2] += sum_dh
    sums[3] += sum_dh_d * r
    sums[4] += sum_v_dh


@kernel
def _second_in_z(v: Array, x: Array, gamma: Array, mean: float, r: float, means: Array, ddz: Array) -> None:
    """ddz = gamma r (v - p - h b)."""
    real = x.dtype.type
    mean_, r_, p, slope = real(mean), real(r), real(means[0]), real(means[1] * r)
    for j in range(x.size):
        ddz[j] = gamma[j] * (r_ * (v[j] - p - slope * (x[j] - mean_)))


@kernel
def _second_in_x(
    v: Array, dz: Array, x: Array, gamma: Array, mean: float, r: float, means: Array, extra: Array
) -> None:
    """extra = -r^2 ((v - p) a + (dh - q) b + h (e - 2 a b))."""
    real = x.dtype.type
    p, b, q, a, v_dh = means[0], means[1], means[2], means[3], means[4]
    slope = real(r * (v_dh - p * q - 3 * a * b))
    mean_, factor, p_, q_, a_, b_ = real(mean), real(-r * r), real(p), real(q), real(a), real(b)
    for j in range(x.size):
        extra[j] = factor * ((v[j] - p_) * a_ + (gamma[j] * dz[j] - q_) * b_ + slope * (x[j] - mean_))


@kernel
def _second_in_gamma(v: Array, dz: Array, x: Array, mean: float, r: float, means: Array, dgamma: Array) -> None:
    """dgamma += dz r (v - p - h b)."""
    mean_, p, slope = np.float64(mean), means[0], means[1] * r
    for j in range(x.size):
        dgamma[j] += dz[j] * (r * (v[j] - p - slope * (x[j] - mean_)))
