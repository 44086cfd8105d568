"""Optimizer steps, moving averages and norm clipping over flat buffers: each reads and writes memory once.

A buffer is cut into blocks of BLOCK elements, which threads share out. The numbers of a step are computed in double
precision and rounded to the type of the buffers once.

Floor: memory. Adam reads p, g, m, v and writes p, m, v: 28 bytes a parameter in float32.
"""

import numpy as np

from ..types import Array
from .fork import fork
from .jit import REASSOCIATE, kernel, parallel_kernel

BLOCK = 4096
"""Elements: Adam's buffers of one block take 80 KiB in float32."""


def blocks_of(size: int) -> int:
    """Number of blocks."""
    return (size + BLOCK - 1) // BLOCK


_blocks_of = kernel(blocks_of)


@kernel
def _sgd_block(
    block: int, p: Array, g: Array, velocity: Array, nesterov: bool, lr: float, momentum: float, keep: float
) -> None:
    at, real = slice(block * BLOCK, (block + 1) * BLOCK), p.dtype.type
    p_b, g_b = p[at], g[at]
    lr_, momentum_, keep_ = real(lr), real(momentum), real(keep)
    if velocity.size == 0:
        for i in range(p_b.size):
            p_b[i] = keep_ * p_b[i] - lr_ * g_b[i]
    else:
        # Without Nesterov's look-ahead the direction is v = 0 g + 1 v; where 0 g is NaN, g and so v is not finite.
        v_b = velocity[at]
        of_g, of_v = (real(1), momentum_) if nesterov else (real(0), real(1))
        for i in range(p_b.size):
            v = momentum_ * v_b[i] + g_b[i]
            v_b[i] = v
            p_b[i] = keep_ * p_b[i] - lr_ * (of_g * g_b[i] + of_v * v)


@parallel_kernel
def sgd(p: Array, g: Array, velocity: Array, nesterov: bool, lr: float, momentum: float, keep: float) -> None:
    """v = momentum v + g;  p = keep p - lr v, with Nesterov's look-ahead lr (g + momentum v), with no velocity lr g."""
    fork(_sgd_block, _blocks_of(p.size), (p, g, velocity, nesterov, lr, momentum, keep))


@kernel
def _rmsprop_block(block: int, p: Array, g: Array, v: Array, lr: float, decay: float, eps: float, keep: float) -> None:
    at, real = slice(block * BLOCK, (block + 1) * BLOCK), p.dtype.type
    p_b, g_b, v_b = p[at], g[at], v[at]
    lr_, eps_, keep_, old, new = real(lr), real(eps), real(keep), real(decay), real(1 - decay)
    for i in range(p_b.size):
        v_b[i] = old * v_b[i] + new * g_b[i] * g_b[i]
        p_b[i] = keep_ * p_b[i] - lr_ * g_b[i] / (np.sqrt(v_b[i]) + eps_)


@parallel_kernel
def rmsprop(p: Array, g: Array, v: Array, lr: float, decay: float, eps: float, keep: float) -> None:
    """v = decay v + (1 - decay) g^2;  p = keep p - lr g/(sqrt(v) + eps)."""
    fork(_rmsprop_block, _blocks_of(p.size), (p, g, v, lr, decay, eps, keep))


@kernel
def _adam_block(
    block: int,
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    v_max: Array,
    rate: float,
    root: float,
    beta1: float,
    beta2: float,
    eps: float,
    keep: float,
) -> None:
    at, real = slice(block * BLOCK, (block + 1) * BLOCK), p.dtype.type
    p_b, g_b, m_b, v_b = p[at], g[at], m[at], v[at]
    old_m, new_m, old_v, new_v = real(beta1), real(1 - beta1), real(beta2), real(1 - beta2)
    for i in range(p_b.size):
        m_b[i] = old_m * m_b[i] + new_m * g_b[i]
        v_b[i] = old_v * v_b[i] + new_v * g_b[i] * g_b[i]
    if v_max.size:
        top = v_max[at]
        for i in range(p_b.size):
            top[i] = np.maximum(top[i], v_b[i])
        v_b = top
    rate_, root_, eps_, keep_ = real(rate), real(root), real(eps), real(keep)
    for i in range(p_b.size):
        p_b[i] = keep_ * p_b[i] - rate_ * m_b[i] / (root_ * np.sqrt(v_b[i]) + eps_)


@parallel_kernel
def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    v_max: Array,
    rate: float,
    root: float,
    beta1: float,
    beta2: float,
    eps: float,
    keep: float,
) -> None:
    """m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p = keep p - rate m/(root sqrt(v) + eps).

    With v_max, v_max = max(v_max, v) stands in the place of v in the step. The corrections for averages that start at
    zero are in rate = lr/(1 - beta1^t) and root = 1/sqrt(1 - beta2^t).
    """
    fork(_adam_block, _blocks_of(p.size), (p, g, m, v, v_max, rate, root, beta1, beta2, eps, keep))


@kernel
def _moving_average_block(block: int, average: Array, x: Array, decay: float) -> None:
    """Where x is not finite, 1 average + 0: writing back what is there becomes a masked store, slow on many CPUs."""
    at, real = slice(block * BLOCK, (block + 1) * BLOCK), x.dtype.type
    average_b, x_b = average[at], x[at]
    old, new, one, zero = real(decay), real(1 - decay), real(1), real(0)
    for i in range(x_b.size):
        finite = np.isfinite(x_b[i])
        average_b[i] = (old if finite else one) * average_b[i] + new * (x_b[i] if finite else zero)


@parallel_kernel
def moving_average(average: Array, x: Array, decay: float) -> None:
    """average = decay average + (1 - decay) x, where x is finite."""
    fork(_moving_average_block, _blocks_of(x.size), (average, x, decay))


@kernel(fastmath=REASSOCIATE)
def _squared_sum(block: int, g: Array, sums: Array) -> None:
    g_b = g[block * BLOCK : (block + 1) * BLOCK]
    total = 0.0
    for i in range(g_b.size):
        total += np.float64(g_b[i]) * np.float64(g_b[i])
    sums[block] = total


@parallel_kernel
def squared_sums(g: Array, sums: Array) -> None:
    """Sum of squares of each block -> sums (blocks,) float64."""
    fork(_squared_sum, sums.size, (g, sums))


@kernel
def _scale_block(block: int, x: Array, factor: float) -> None:
    x_b, factor_ = x[block * BLOCK : (block + 1) * BLOCK], x.dtype.type(factor)
    for i in range(x_b.size):
        x_b[i] *= factor_


@parallel_kernel
def scale(x: Array, factor: float) -> None:
    """x = factor x."""
    fork(_scale_block, _blocks_of(x.size), (x, factor))
