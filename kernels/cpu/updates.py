"""Optimizer steps, moving averages and norm clipping over flat buffers: each reads and writes memory once.

A buffer is cut into blocks of BLOCK elements. Within one, short loops follow each other while it stays in the cache;
each is one formula, which LLVM vectorises, square root and division included. Numbers are computed in double precision
and rounded to the type of the buffers once.

Floor: memory. Adam reads p, g, m, v and writes p, m, v: 28 bytes a parameter in float32.
"""

import numpy as np
from numba import prange

from ..types import Array
from .jit import REASSOCIATE, kernel, parallel_kernel

BLOCK = 4096
"""Elements: Adam's buffers of one block take 80 KiB in float32."""


def blocks_of(size: int) -> int:
    """Number of blocks."""
    return -(-size // BLOCK)


@parallel_kernel
def sgd(
    p: Array, g: Array, velocity: Array, blocks: int, nesterov: bool, lr: float, momentum: float, keep: float
) -> None:
    """v = momentum v + g;  p = keep p - lr v, with Nesterov's look-ahead lr (g + momentum v), with no velocity lr g."""
    for block in prange(blocks):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        if velocity.size == 0:
            _descend(p[start:stop], g[start:stop], lr, keep)
        else:
            _accelerate(velocity[start:stop], g[start:stop], momentum)
            if nesterov:
                _descend_ahead(p[start:stop], g[start:stop], velocity[start:stop], lr, momentum, keep)
            else:
                _descend(p[start:stop], velocity[start:stop], lr, keep)


@kernel
def _descend(p: Array, direction: Array, lr: float, keep: float) -> None:
    real = p.dtype.type
    lr_, keep_ = real(lr), real(keep)
    for i in range(p.size):
        p[i] = keep_ * p[i] - lr_ * direction[i]


@kernel
def _descend_ahead(p: Array, g: Array, velocity: Array, lr: float, momentum: float, keep: float) -> None:
    real = p.dtype.type
    lr_, momentum_, keep_ = real(lr), real(momentum), real(keep)
    for i in range(p.size):
        p[i] = keep_ * p[i] - lr_ * (g[i] + momentum_ * velocity[i])


@kernel
def _accelerate(velocity: Array, g: Array, momentum: float) -> None:
    momentum_ = velocity.dtype.type(momentum)
    for i in range(velocity.size):
        velocity[i] = momentum_ * velocity[i] + g[i]


@parallel_kernel
def rmsprop(p: Array, g: Array, v: Array, blocks: int, lr: float, decay: float, eps: float, keep: float) -> None:
    """v = decay v + (1 - decay) g^2;  p = keep p - lr g/(sqrt(v) + eps)."""
    for block in prange(blocks):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        _average_squares(v[start:stop], g[start:stop], decay)
        _descend_scaled(p[start:stop], g[start:stop], v[start:stop], lr, 1.0, eps, keep)


@parallel_kernel
def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    v_max: Array,
    blocks: int,
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
    for block in prange(blocks):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        _average(m[start:stop], g[start:stop], beta1)
        _average_squares(v[start:stop], g[start:stop], beta2)
        squares = v[start:stop]
        if v_max.size > 0:
            _keep_larger(v_max[start:stop], squares)
            squares = v_max[start:stop]
        _descend_scaled(p[start:stop], m[start:stop], squares, rate, root, eps, keep)


@kernel
def _average(average: Array, x: Array, decay: float) -> None:
    real = average.dtype.type
    old, new = real(decay), real(1 - decay)
    for i in range(average.size):
        average[i] = old * average[i] + new * x[i]


@kernel
def _average_squares(average: Array, x: Array, decay: float) -> None:
    real = average.dtype.type
    old, new = real(decay), real(1 - decay)
    for i in range(average.size):
        average[i] = old * average[i] + new * x[i] * x[i]


@kernel
def _keep_larger(top: Array, x: Array) -> None:
    for i in range(top.size):
        top[i] = np.maximum(top[i], x[i])


@kernel
def _descend_scaled(
    p: Array, direction: Array, squares: Array, rate: float, root: float, eps: float, keep: float
) -> None:
    """p = keep p - rate direction/(root sqrt(squares) + eps)."""
    real = p.dtype.type
    rate_, root_, eps_, keep_ = real(rate), real(root), real(eps), real(keep)
    for i in range(p.size):
        p[i] = keep_ * p[i] - rate_ * direction[i] / (root_ * np.sqrt(squares[i]) + eps_)


@parallel_kernel
def moving_average(average: Array, x: Array, blocks: int, decay: float) -> None:
    """average = decay average + (1 - decay) x, where x is finite."""
    for block in prange(blocks):
        start, stop = block * BLOCK, (block + 1) * BLOCK
        _average_finite(average[start:stop], x[start:stop], decay)


@kernel
def _average_finite(average: Array, x: Array, decay: float) -> None:
    """Where x is not finite, 1 average + 0: writing back what is there becomes a masked store, slow on many CPUs."""
    real = average.dtype.type
    old, new, one, zero = real(decay), real(1 - decay), real(1), real(0)
    for i in range(average.size):
        finite = np.isfinite(x[i])
        average[i] = (old if finite else one) * average[i] + new * (x[i] if finite else zero)


@parallel_kernel
def squared_sums(g: Array, sums: Array) -> None:
    """Sum of squares of each block -> sums (blocks,) float64."""
    for block in prange(sums.size):
        sums[block] = _squared_sum(g[block * BLOCK : (block + 1) * BLOCK])


@kernel(fastmath=REASSOCIATE)
def _squared_sum(x: Array) -> float:
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@parallel_kernel
def scale(x: Array, blocks: int, factor: float) -> None:
    """x = factor x."""
    for block in prange(blocks):
        _scale(x[block * BLOCK : (block + 1) * BLOCK], factor)


@kernel
def _scale(x: Array, factor: float) -> None:
    factor_ = x.dtype.type(factor)
    for i in range(x.size):
        x[i] *= factor_
