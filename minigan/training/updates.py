"""One update of each player: the whole GAN algorithm on one screen.

`d_grad` and `g_grad` evaluate a player's loss and, where g is given, add its gradient to g; applying the gradient is a
separate step, so that a whole update can be gradient-checked. Axes: N = batch; x (N, ...) real, z (N, Z) latents,
logits u (N, 1), or (N/m, 1) where D judges packs of m. y is the condition of x and G(z) alike (`minigan.condition`),
None in an unconditional GAN; G is told it, and D is told it or has to tell it.
"""

from typing import Any, NamedTuple

from kernels import Ops
from kernels.types import Array

from ..condition import repeated, told, without_label
from ..layer import Note
from ..params import ParamSet
from ..penalties import penalty_grad
from .gan import Gan, Losses, halves, joined, logits


class DiscriminatorStep(NamedTuple):
    """What a discriminator step leaves: its loss, both logits, and the notes of its pass over real data."""

    value: Array  # 0-d, with the penalty
    losses: Losses  # without it
    u_real: Array
    u_fake: Array
    cache: Note  # holds the batch statistics that running averages learn from
    notes: Any  # everything that a gradient check must watch for kinks
    passes: tuple[tuple[Note, Note], ...]  # (cache, tape) of D's on both kinds at once, or on real and on fake samples
    made: Note = None  # G's cache


class GeneratorStep(NamedTuple):
    """What a generator step leaves: its loss, the notes of the generator's pass, and what came back to it from D."""

    value: Array  # 0-d
    losses: Losses
    cache: Note
    notes: Any
    du_fake: Array  # (N, 1), the loss's gradient in the logits
    dfake: Array | None  # like fake, the same gradient behind D: all that G learns from; None without g


def d_grad(
    ops: Ops, gan: Gan, p_g: ParamSet, p_d: ParamSet, x: Array, z: Array, g: ParamSet | None = None, y: Any = None
) -> DiscriminatorStep:
    """L_D(D(x), D(G(z))), with the penalty where there is one, and its gradient in D's parameters; G is frozen.

    Real and fake go through D as one batch of 2N where D couples no more samples than a divisor of N, else apart: with
    BatchNorm each half must have statistics of its own.
    """
    fake, made = gan.generator.forward(ops, p_g, told(z, y))
    step = _adversarial(ops, gan, p_d, x, fake, y, g)
    if gan.penalty is None:
        return step._replace(notes=(made, step.notes), made=made)
    penalty = penalty_grad(ops, gan.discriminator, p_d, gan.penalty, x, fake, g, gan.shown(y))
    value = (step.value + penalty.value).reshape(())  # NumPy makes the sum of two 0-d arrays a scalar
    return step._replace(value=value, notes=(made, step.notes, penalty.notes), made=made)


def _adversarial(
    ops: Ops, gan: Gan, p_d: ParamSet, x: Array, fake: Array, y: Any, g: ParamSet | None
) -> DiscriminatorStep:
    """The step without a penalty."""
    d, n, shown = gan.discriminator, len(x), gan.shown(y)
    if d.group is not None and n % d.group == 0:
        both = told(ops.concat([x, fake], axis=0), repeated(ops, shown, 2 * n))
        output, cache = d.forward(ops, p_d, both)
        of_real, of_fake = halves(output)
        losses, dreal, dfake = gan.d_loss(ops, of_real, of_fake, y)
        notes: Any = (cache, dreal, dfake)
        sent: Any = () if g is None else ((cache, joined(ops, dreal, dfake)),)
    else:
        of_real, cache = d.forward(ops, p_d, told(x, shown))
        of_fake, cache_fake = d.forward(ops, p_d, told(fake, shown))
        losses, dreal, dfake = gan.d_loss(ops, of_real, of_fake, y)
        notes = (cache, cache_fake, dreal, dfake)
        sent = () if g is None else ((cache, dreal), (cache_fake, dfake))
    passes = tuple((own, d.backward(ops, p_d, own, du, g, need_dx=False)[1]) for own, du in sent)
    return DiscriminatorStep(losses.value, losses, logits(of_real), logits(of_fake), cache, notes, passes)


def g_grad(
    ops: Ops,
    gan: Gan,
    p_g: ParamSet,
    p_d: ParamSet,
    x: Array,
    z: Array,
    g: ParamSet | None = None,
    y: Any = None,
    g_d: ParamSet | None = None,
) -> GeneratorStep:
    """L_G(D(G(z))) and its gradient in G's parameters, through a frozen D; relativistic losses look at D(x) too.

    g_d: gets the same loss's gradient in D's parameters, for a G that foresees D's updates.
    """
    d, shown = gan.discriminator, gan.shown(y)
    fake, cache = gan.generator.forward(ops, p_g, told(z, y))
    real, cache_real = d.forward(ops, p_d, told(x, shown)) if gan.loss.g_needs_real else (None, None)
    u_real = None if real is None else logits(real)
    of_fake, cache_d = d.forward(ops, p_d, told(fake, shown))
    losses, doutput = gan.g_loss(ops, u_real, of_fake, y)
    dfake = None
    if g is not None:
        dfake = without_label(d.backward(ops, p_d, cache_d, doutput, g_d)[0])
        if g_d is not None and u_real is not None:
            d.backward(ops, p_d, cache_real, gan.loss.g_slope(u_real, logits(of_fake)), g_d, need_dx=False)
        gan.generator.backward(ops, p_g, cache, dfake, g, need_dx=False)
    return GeneratorStep(losses.value, losses, cache, (cache, cache_d, doutput), logits(doutput), dfake)
