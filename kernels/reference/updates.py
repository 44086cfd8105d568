"""Optimizer steps and moving averages in NumPy, in place over flat buffers. g is the gradient, p the parameters."""

import numpy as np

from ..contract.updates import UpdateOps
from ..types import Array


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
            p -= lr * g
            return
        velocity *= momentum
        velocity += g
        p -= lr * (g + momentum * velocity if nesterov else velocity)

    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        """v = decay v + (1 - decay) g^2;  p -= lr g/(sqrt(v) + eps)   (Tieleman and Hinton 2012)."""
        if not np.isfinite(guard):
            return
        p *= 1 - lr * weight_decay
        v *= decay
        v += (1 - decay) * g * g
        p -= lr * g / (np.sqrt(v) + eps)

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
        p *= 1 - lr * weight_decay
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g * g
        if v_max is not None:
            np.maximum(v_max, v, out=v_max)
        second = v if v_max is None else v_max
        p -= lr / (1 - beta1**step) * m / (np.sqrt(second / (1 - beta2**step)) + eps)

    def _moving_average(self, average: Array, x: Array, decay: float) -> None:
        """average = decay average + (1 - decay) x, only where x is finite."""
        np.copyto(average, decay * average + (1 - decay) * x, where=np.isfinite(x))

    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None:
        """g *= min(1, limit/|g|)."""
        norm[...] = np.linalg.norm(g)
        if norm > limit:
            g *= limit / norm
