"""Optimizer steps and moving averages in NumPy, in place over flat buffers. g is the gradient, p the parameters.

An expression like (1 - beta1)*g makes a temporary as large as g. Going block by block keeps it in the cache: the flat
buffers are read and written once, and 168 million parameters need no gigabytes more.
"""

import math
from collections.abc import Iterator

import numpy as np

from ..contract.updates import UpdateOps
from ..types import Array

BLOCK = 1 << 14  # elements: five float32 buffers and their temporaries fit into an L2 cache of 512 KiB


class NumpyUpdates(UpdateOps):
    """The update family. Weight decay is decoupled everywhere (Loshchilov and Hutter 2019): p -= lr weight_decay p."""

    def _sgd(
        self,
        p: Array,
        g: Array,
        velocity: Array | None,
        guard: Array,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        """v = momentum v + g;  p -= lr v, or with Nesterov's look-ahead p -= lr (g + momentum v)."""
        if not np.isfinite(guard):
            return
        p *= 1 - lr * weight_decay
        if velocity is None:
            for p_, g_ in _blocks(p, g):
                p_ -= lr * g_
            return
        for p_, g_, v_ in _blocks(p, g, velocity):
            v_ *= momentum
            v_ += g_
            p_ -= lr * (g_ + momentum * v_ if nesterov else v_)

    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        """v = decay v + (1 - decay) g^2;  p -= lr g/(sqrt(v) + eps)   (Tieleman and Hinton 2012)."""
        if not np.isfinite(guard):
            return
        for p_, g_, v_ in _blocks(p, g, v):
            p_ *= 1 - lr * weight_decay
            v_ *= decay
            v_ += (1 - decay) * g_ * g_
            p_ -= lr * g_ / (np.sqrt(v_) + eps)

    def _adam(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        v_max: Array | None,
        guard: Array,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        step: int,
    ) -> None:
        """Kingma and Ba 2015, Algorithm 1, t = step:

        m = beta1 m + (1 - beta1) g                   v = beta2 v + (1 - beta2) g^2
        p -= lr m/(1 - beta1^t) / (sqrt(v/(1 - beta2^t)) + eps)

        AMSGrad (Reddi, Kale and Kumar 2018, Algorithm 2) divides by v_max = max(v_max, v) instead of v.
        """
        if not np.isfinite(guard):
            return
        for p_, g_, m_, v_, top in _blocks(p, g, m, v, v if v_max is None else v_max):
            p_ *= 1 - lr * weight_decay
            m_ *= beta1
            m_ += (1 - beta1) * g_
            v_ *= beta2
            v_ += (1 - beta2) * g_ * g_
            np.maximum(top, v_, out=top)  # without AMSGrad both are v itself
            p_ -= lr / (1 - beta1**step) * m_ / (np.sqrt(top / (1 - beta2**step)) + eps)

    def _moving_average(self, average: Array, x: Array, decay: float) -> None:
        """average = decay average + (1 - decay) x, only where x is finite."""
        for a_, x_ in _blocks(average, x):
            np.copyto(a_, decay * a_ + (1 - decay) * x_, where=np.isfinite(x_))

    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None:
        """g *= min(1, limit/|g|); a g whose norm is not finite, as a number of its type, is left for the guard.

        Squares of entries above 1e19 overflow in float32, so they are summed in float64.
        """
        with np.errstate(over="ignore"):
            exact = math.sqrt(sum(float(np.square(g_, dtype=np.float64).sum()) for (g_,) in _blocks(g)))
            norm[...] = exact
        if exact > limit and np.isfinite(norm):
            g *= limit / exact


def _blocks(*buffers: Array) -> Iterator[tuple[Array, ...]]:
    """Equal pieces of flat buffers, one block of each at a time."""
    for start in range(0, buffers[0].size, BLOCK):
        yield tuple(buffer[start : start + BLOCK] for buffer in buffers)
