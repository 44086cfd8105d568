"""One update of each player: the whole GAN algorithm on one screen.

`d_grad` and `g_grad` evaluate a player's loss and, where g is given, add its gradient to g; applying the gradient is a
separate step, so that a whole update can be gradient-checked. Axes: N = batch; x (N, ...) real, z (N, Z) latents,
logits u (N, 1), or (N/m, 1) where D judges packs of m.
"""

from typing import Any, NamedTuple

from kernels import Ops
from kernels.types import Array

from ..layer import Layer, Note
from ..losses import Loss
from ..params import ParamSet
from ..penalties import Penalty, penalty_grad


class Gan(NamedTuple):
    """The two players and the game."""

    generator: Layer
    discriminator: Layer
    loss: Loss
    penalty: Penalty | None = None


class DiscriminatorStep(NamedTuple):
    """What a discriminator step leaves: its loss, both logits, and the notes of its pass over real data."""

    value: Array  # 0-d, with the penalty
    loss: Array  # 0-d, without it
    u_real: Array
    u_fake: Array
    cache: Note  # holds the batch statistics that running averages learn from
    notes: Any  # everything that a gradient check must watch for kinks


class GeneratorStep(NamedTuple):
    """What a generator step leaves: its loss and the notes of the generator's pass."""

    value: Array  # 0-d
    cache: Note
    notes: Any


def d_grad(
    ops: Ops, gan: Gan, p_g: ParamSet, p_d: ParamSet, x: Array, z: Array, g: ParamSet | None = None
) -> DiscriminatorStep:
    """L_D(D(x), D(G(z))), with the penalty where there is one, and its gradient in D's parameters; G is frozen.

    Real and fake go through D as one batch of 2N where D couples no more samples than a divisor of N, else apart: with
    BatchNorm each half must have statistics of its own.
    """
    fake, made = gan.generator.forward(ops, p_g, z)
    step = _adversarial(ops, gan, p_d, x, fake, g)
    if gan.penalty is None:
        return step._replace(notes=(made, step.notes))
    penalty = penalty_grad(ops, gan.discriminator, p_d, gan.penalty, x, fake, g)
    value = (step.value + penalty.value).reshape(())  # NumPy makes the sum of two 0-d arrays a scalar
    return step._replace(value=value, notes=(made, step.notes, penalty.notes))


def _adversarial(ops: Ops, gan: Gan, p_d: ParamSet, x: Array, fake: Array, g: ParamSet | None) -> DiscriminatorStep:
    """The step without a penalty."""
    d, n = gan.discriminator, len(x)
    if d.group is not None and n % d.group == 0:
        u, cache = d.forward(ops, p_d, ops.concat([x, fake], axis=0))
        half = len(u) // 2
        value, du_real, du_fake = gan.loss.d_loss(u[:half], u[half:])
        if g is not None:
            d.backward(ops, p_d, cache, ops.concat([du_real, du_fake], axis=0), g, need_dx=False)
        return DiscriminatorStep(value, value, u[:half], u[half:], cache, (cache, du_real, du_fake))
    u_real, cache_real = d.forward(ops, p_d, x)
    u_fake, cache_fake = d.forward(ops, p_d, fake)
    value, du_real, du_fake = gan.loss.d_loss(u_real, u_fake)
    if g is not None:
        d.backward(ops, p_d, cache_real, du_real, g, need_dx=False)
        d.backward(ops, p_d, cache_fake, du_fake, g, need_dx=False)
    return DiscriminatorStep(value, value, u_real, u_fake, cache_real, (cache_real, cache_fake, du_real, du_fake))


def g_grad(
    ops: Ops, gan: Gan, p_g: ParamSet, p_d: ParamSet, x: Array, z: Array, g: ParamSet | None = None
) -> GeneratorStep:
    """L_G(D(G(z))) and its gradient in G's parameters, through a frozen D; relativistic losses look at D(x) too."""
    fake, cache = gan.generator.forward(ops, p_g, z)
    u_real = gan.discriminator.forward(ops, p_d, x)[0] if gan.loss.g_needs_real else None
    u_fake, cache_d = gan.discriminator.forward(ops, p_d, fake)
    value, du_fake = gan.loss.g_loss(u_real, u_fake)
    if g is not None:
        dfake, _ = gan.discriminator.backward(ops, p_d, cache_d, du_fake)
        gan.generator.backward(ops, p_g, cache, dfake, g, need_dx=False)
    return GeneratorStep(value, cache, (cache, cache_d, du_fake))
