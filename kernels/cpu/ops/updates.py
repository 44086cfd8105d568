"""The update family on CPU kernels. A guard that is not finite ends a step before any kernel starts."""

import math

import numpy as np

from ...contract.updates import UpdateOps
from ...types import Array
from .. import updates
from ..calls import run
from ..updates import blocks_of
from .flat import flat, flat_or_none
from .recorded import Numbers, RecordedOps


class NumbaUpdates(RecordedOps, UpdateOps):
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
        buffers = flat(p), flat(g), flat_or_none(velocity, p)
        run(_sgd, guard, self.numbers(lr), buffers, nesterov, float(momentum), weight_decay)

    def _rmsprop(
        self, p: Array, g: Array, v: Array, guard: Array, lr: float, decay: float, eps: float, weight_decay: float
    ) -> None:
        buffers = flat(p), flat(g), flat(v)
        run(_rmsprop, guard, self.numbers(lr), buffers, float(decay), float(eps), weight_decay)

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
        buffers = flat(p), flat(g), flat(m), flat(v), flat_or_none(v_max, p)
        run(_adam, guard, self.numbers(lr, step), buffers, float(beta1), float(beta2), float(eps), weight_decay)

    def _moving_average(self, average: Array, x: Array, decay: float) -> None:
        updates.moving_average(flat(average), flat(x), float(decay))

    def _clip_norm(self, g: Array, limit: float, norm: Array) -> None:
        with self.scratch():
            sums = self.empty((blocks_of(g.size),), np.float64)
            updates.squared_sums(flat(g), sums)
            run(_clip, flat(g), sums, limit, norm)


def _sgd(
    guard: Array, now: Numbers, buffers: tuple[Array, ...], nesterov: bool, momentum: float, weight_decay: float
) -> None:
    if np.isfinite(guard):
        updates.sgd(*buffers, nesterov, float(now.lr), momentum, float(1 - now.lr * weight_decay))


def _rmsprop(
    guard: Array, now: Numbers, buffers: tuple[Array, ...], decay: float, eps: float, weight_decay: float
) -> None:
    if np.isfinite(guard):
        updates.rmsprop(*buffers, float(now.lr), decay, eps, float(1 - now.lr * weight_decay))


def _adam(
    guard: Array,
    now: Numbers,
    buffers: tuple[Array, ...],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    if np.isfinite(guard):
        rate, root = now.lr / (1 - beta1**now.count), 1 / math.sqrt(1 - beta2**now.count)
        updates.adam(*buffers, float(rate), float(root), beta1, beta2, eps, float(1 - now.lr * weight_decay))


def _clip(g: Array, sums: Array, limit: float, norm: Array) -> None:
    exact = math.sqrt(sums.sum())
    with np.errstate(over="ignore"):
        norm[...] = exact
    if exact > limit and np.isfinite(norm):
        updates.scale(g, limit / exact)
