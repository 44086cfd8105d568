"""The update family on CPU kernels. A guard that is not finite ends a step before any kernel starts."""

import math

import numpy as np

from ...contract.updates import UpdateOps
from ...types import Array
from .. import updates
from ..updates import blocks_of
from .flat import flat, flat_or_none


class NumbaUpdates(UpdateOps):
    """Optimizer steps, moving averages, norm clipping."""

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
        if np.isfinite(guard):
            numbers = map(float, (lr, momentum, 1 - lr * weight_decay))
            updates.sgd(flat(p), flat(g), flat_or_none(velocity, p), nesterov, *numbers)

    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        if np.isfinite(guard):
            numbers = map(float, (lr, decay, eps, 1 - lr * weight_decay))
            updates.rmsprop(flat(p), flat(g), flat(v), *numbers)

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
        if np.isfinite(guard):
            rate, root = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
            numbers = map(float, (rate, root, beta1, beta2, eps, 1 - lr * weight_decay))
            updates.adam(flat(p), flat(g), flat(m), flat(v), flat_or_none(v_max, p), *numbers)

    def _moving_average(self, average: Array, x: Array, decay: float) -> None:
        updates.moving_average(flat(average), flat(x), float(decay))

    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None:
        with self.scratch():
            sums = self.empty((blocks_of(g.size),), np.float64)
            updates.squared_sums(flat(g), sums)
            exact = math.sqrt(sums.sum())
        with np.errstate(over="ignore"):
            norm[...] = exact
        if exact > limit and np.isfinite(norm):
            updates.scale(flat(g), limit / exact)
