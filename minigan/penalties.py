"""Gradient penalties on a discriminator, by hand: a second derivative in three sweeps.

With u(x) the logit and dx_i = du_i/dx_i the input gradient of sample i, a penalty is the mean of a function v of
s_i = |dx_i|^2 over points that lie on or between the data:

    name     points                           v(s)                              weight   source
    wgan-gp  a x + (1 - a) G(z), a ~ U(0, 1)  w (sqrt(s) - 1)^2                     10   Gulrajani et al. 2017, eq. 3
    wgan-gp-one-sided  the same               the same where sqrt(s) > 1, else 0    10   Gulrajani et al., section 4
    dragan   x + std(x)/2 U(0, 1)             w (sqrt(s) - 1)^2                     10   Kodali et al. 2017
    r1       x                                w/2 s                                 10   Mescheder et al. 2018, eq. 9
    r2       G(z)                             w/2 s                                 10   Mescheder et al. 2018, eq. 10
    r1+r2    x and G(z)                       w/2 s, each mean by itself            10   Huang et al. 2024, section 2

    sweep 1, back      dx = (du/dx)^T 1                  the input gradient; no weight gradients
    the penalty        ddx_i = 2 v'(s_i)/M dx_i          M points; its gradient in dx
    sweep 2, forward   along ddx                         what it owes to the weights directly (Pearlmutter's R-operator)
    sweep 3, back      from the curved layers            what it owes through their forward values

A penalty runs a forward pass of its own. Where D couples samples (packs), dx is the gradient of the sum of its logits,
and the points of r1+r2 go through D as one batch of 2N only if no group of D's would hold both kinds. sqrt(s) is
sqrt(s + EPS), so that a zero gradient has a derivative too.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kernels import Ops, Use
from kernels.types import Array

from .condition import repeated, told, without_label
from .layer import Layer, Params

EPS = 1e-12

LARGEST_WEIGHT = 1e6
"""Far beyond any in use, and far from where float32 ends."""

Points = Callable[[Ops, Array, Array], Array]
Curve = Callable[[Array, float], tuple[Array, Array]]


@dataclass(frozen=True)
class Penalty:
    """What is penalised, where, and how much.

    Attributes:
        name: what the user types.
        source: authors, year, equation.
        points: (ops, x_real, x_fake) -> the points (M, ...), drawn with `ops`.
        curve: (s (M,), weight) -> (v(s), v'(s)).
        weight: of the penalty beside the loss, above 0.
        batches: how many batches the points hold, whose means add up.
    """

    name: str
    source: str
    points: Points
    curve: Curve
    weight: float = 10.0
    batches: int = 1

    def terms(self, squared_norms: Array, size: int) -> tuple[Array, Array]:
        """(sum v(s)/size, 2 v'(s)/size): the value, 0-d, and what each sample's dx is multiplied by to give ddx.

        `size` is that of one batch.
        """
        values, slopes = self.curve(squared_norms, self.weight)
        return (values.sum(keepdims=True) / size).reshape(()), slopes * (2 / size)


class PenaltyStep(NamedTuple):
    """The penalty, 0-d, and everything that a gradient check must watch for kinks."""

    value: Array
    notes: Any


def penalty_grad(
    ops: Ops,
    d: Layer,
    p: Params,
    penalty: Penalty,
    x_real: Array,
    x_fake: Array,
    g: Params | None = None,
    labels: Array | None = None,
) -> PenaltyStep:
    """The penalty on D between real and fake samples; where g is given, its gradient in D's parameters is added.

    A D that is told labels (N,), those of real and fake samples alike, is told them at the points too; of one with a
    second head, the logit u alone is penalised. The slope is that in x.

    Raises:
        NoSecondOrderError: a layer of D has no double_backward, BatchNorm on batch statistics for one.
    """
    x, size = penalty.points(ops, x_real, x_fake), len(x_real)
    whole = penalty.batches == 1 or (d.group is not None and size % d.group == 0)
    parts = [x] if whole else [x[start : start + size] for start in range(0, len(x), size)]
    steps = [_penalty_grad(ops, d, p, penalty, part, size, g, labels) for part in parts]
    return steps[0] if whole else PenaltyStep(functools.reduce(ops.add, [step.value for step in steps]), steps)


def _penalty_grad(
    ops: Ops, d: Layer, p: Params, penalty: Penalty, x: Array, size: int, g: Params | None, labels: Array | None
) -> PenaltyStep:
    """The three sweeps at the points x; `size` as in `Penalty.terms`."""
    output, cache = d.forward(ops, p, told(x, repeated(ops, labels, len(x))))
    two_heads = isinstance(output, tuple)
    ones = ops.empty((output[0] if two_heads else output).shape)
    ops.fill(ones, 1.0)
    dinput, tape = d.backward(ops, p, cache, (ones, None) if two_heads else ones)
    dx = without_label(dinput)
    value, factors = penalty.terms(ops.squared_norms(dx), size)
    if g is not None:
        ddx = ops.scale_samples(dx, factors)
        _, extra = d.double_backward(ops, p, tape, ddx if labels is None else (ddx, None), g)
        if extra is not None:
            d.backward(ops, p, cache, None, g, extra=extra, need_dx=False)
    return PenaltyStep(value, (cache, factors))


def get_penalty(name: str, weight: float | None = None) -> Penalty:
    """A penalty by name, with its default weight unless another is given.

    Raises:
        ValueError: there is none of that name, or the weight is not a number above 0.
    """
    if name not in PENALTIES:
        raise ValueError(f"unknown penalty {name!r}: there are {', '.join(PENALTIES)}")
    if weight is None:
        return PENALTIES[name]
    if not 0 < weight < LARGEST_WEIGHT:
        raise ValueError(f"penalty weight: expected a number above 0 and below {LARGEST_WEIGHT:g}, got {weight}")
    return replace(PENALTIES[name], weight=weight)


def _between(ops: Ops, x_real: Array, x_fake: Array) -> Array:
    """a x + (1 - a) G(z), one a for each pair."""
    a = ops.random_uniform((len(x_real),), Use.PENALTY)
    return ops.add(ops.scale_samples(x_real, a), ops.scale_samples(x_fake, ops.scale_shift(a, -1.0, 1.0)))


def _around(ops: Ops, x_real: Array, _: Array) -> Array:
    """x + std(x)/2 U, a U for each number, the standard deviation that of the batch.

    Deviation: no two libraries draw the same points (one U for each sample, a convex combination, a standard deviation
    for each element); ours are uniform around the data, scaled by the spread of the whole batch.
    """
    noise = ops.random_uniform(x_real.shape, Use.PENALTY)
    half = ops.empty((len(x_real),))
    half[...] = x_real.std() / 2
    return ops.add(x_real, ops.scale_samples(noise, half))


def _to_one(s: Array, weight: float) -> tuple[Array, Array]:
    """v = w (n - 1)^2, v' = w (1 - 1/n) with n = sqrt(s + EPS)."""
    n = np.sqrt(s + s.dtype.type(EPS))
    return weight * (n - 1) ** 2, weight * (1 - 1 / n)


def _at_most_one(s: Array, weight: float) -> tuple[Array, Array]:
    """As `_to_one` where n > 1, else 0."""
    values, slopes = _to_one(s, weight)
    steep = s > 1
    return values * steep, slopes * steep


def _to_zero(s: Array, weight: float) -> tuple[Array, Array]:
    """v = w/2 s, v' = w/2."""
    return weight / 2 * s, np.full_like(s, weight / 2)


PENALTIES = {
    penalty.name: penalty
    for penalty in (
        Penalty("wgan-gp", "Gulrajani et al. 2017, eq. 3", _between, _to_one),
        Penalty("wgan-gp-one-sided", "Gulrajani et al. 2017, section 4; Petzka et al. 2018", _between, _at_most_one),
        Penalty("dragan", "Kodali et al. 2017; libraries differ in the points, see `_around`", _around, _to_one),
        Penalty("r1", "Mescheder, Geiger and Nowozin 2018, eq. 9", lambda _, x_real, __: x_real, _to_zero),
        Penalty("r2", "Mescheder, Geiger and Nowozin 2018, eq. 10", lambda _, __, x_fake: x_fake, _to_zero),
        Penalty(
            "r1+r2",
            "Huang et al. 2024 (R3GAN), section 2",
            lambda ops, x_real, x_fake: ops.concat([x_real, x_fake], axis=0),
            _to_zero,
            batches=2,
        ),
    )
}
"""By the name that the user types."""
