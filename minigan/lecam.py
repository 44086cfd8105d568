"""LeCam regularisation: a discriminator whose logits stay near what it said of the other kind of sample so far.

With r, f the logits of real and fake samples and a_r, a_f their moving averages, it adds to D's loss

    w (mean relu(r - a_f)^2 + mean relu(a_r - f)^2)        dr = 2 w relu(r - a_f)/N,   df = -2 w relu(a_r - f)/N

so that few data do not drive the two apart (Tseng, Jiang, Liu, Yang and Yang 2021, eq. 4; the relu is that of the code
they published, not of the article). The averages are constants in a step and part of a checkpoint.

Deviation: the averages start at 0, where the logits start, and count from the first step on.
"""

from dataclasses import replace

import numpy as np

from kernels import Ops
from kernels.types import Array

from .losses import Loss

DECAY = 0.99
"""Of the averages: they look back a hundred steps or so."""


class Anchors:
    """The moving averages; `values` (2,): a_r and a_f."""

    def __init__(self, ops: Ops) -> None:
        self.values = ops.to_device(np.zeros(2, ops.dtype))

    def follow(self, ops: Ops, u_real: Array, u_fake: Array) -> None:
        """Move towards the means of a step's logits; a mean that is not finite moves nothing."""
        means = ops.empty((2,))
        means[0], means[1] = u_real.mean(), u_fake.mean()
        ops.moving_average(self.values, means, DECAY)


def with_lecam(loss: Loss, weight: float, anchors: Anchors) -> Loss:
    """The loss with LeCam regularisation in D's part."""

    def d_terms(r: Array, f: Array) -> tuple[Array, Array, Array]:
        terms, dr, df = loss.d_terms(r, f)
        a_real, a_fake = anchors.values[0, ...], anchors.values[1, ...]  # views: they change between launches
        over, under = np.maximum(r - a_fake, 0), np.maximum(a_real - f, 0)
        return terms + weight * (over**2 + under**2), dr + 2 * weight * over, df - 2 * weight * under

    def d_curve(r: Array, f: Array, ddr: Array, ddf: Array) -> tuple[Array, Array]:
        dr, df = (0.0, 0.0) if loss.d_curve is None else loss.d_curve(r, f, ddr, ddf)
        a_real, a_fake = anchors.values[0, ...], anchors.values[1, ...]
        return dr + 2 * weight * ddr * (r > a_fake), df + 2 * weight * ddf * (f < a_real)

    return replace(loss, d_terms=d_terms, d_curve=d_curve)
