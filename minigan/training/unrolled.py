"""Unrolled GANs: G learns against the D that comes of several more updates, and by how it would change them.

A generator that moves to wherever the present D is fooled collapses; one that foresees D's answer spreads out (Metz,
Poole, Pfau and Sohl-Dickstein 2017, section 2). With t the weights of G, w_0 those of D now and U the update that D's
optimizer makes of a gradient, D moves in G's mind

    g_k = dL_D/dw(w_k, t),   w_k+1 = U(w_k, g_k)        k = 0 .. K-1, each with a batch of latents of its own

and G descends L_G(w_K(t), t). Its gradient dt is the partial one in t and, back through the updates, dw = dL_G/dw_K:

    k = K-1 .. 0:    dg, dw  <- adjoint of U at dw                      moments of the optimizer included
                     dw      += (d^2 L_D/dw^2) dg                       D's Hessian
                     dt      += d<dg, g_k>/dt                           what G could do about what D learns

The last two are one pair of sweeps, `d_double_grad`. Then D is put back to w_0.

U is whatever D learns by: gradient clipping, the optimizer with its moments, weight clipping. Deviation: the rate is
that which no schedule has lowered.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from kernels import Ops
from kernels.types import Array

from ..condition import without_label
from ..errors import UserError
from ..layer import Layer, Note
from ..optim_back import Applied, clip_norm_back
from ..params import ParamSet
from ..presets import NO_PENALTY
from .config import TrainConfig
from .gan import Gan, halves, joined
from .player import Player
from .updates import DiscriminatorStep


def check_unrolled(config: TrainConfig, player: Player, heads: int) -> None:
    """Raise UserError if D's gradient has no derivative here, the norm last, so that its advice is enough.

    `heads`: of D.
    """
    reason = None
    if heads > 1:
        reason = f"takes second derivatives of D's loss, and that of {config.preset} has those of its first head alone"
    elif config.penalty != NO_PENALTY:
        reason = f"would take third derivatives of penalty {config.penalty}, which has second ones already"
    elif player.spectral_norm is not None:
        reason = "takes second derivatives, for which weight_norm spectral's singular vectors are no constants"
    elif player.network.no_second_order() is not None:
        flags = " (--norm layer, --norm none)" if config.norm is not None else ""
        layer = first_order(player.network)
        reason = f"takes second derivatives of the discriminator, and those of its {layer} are not written{flags}"
    if reason is not None:
        raise UserError(f"unrolled_steps {config.unrolled_steps}: {reason}")


def first_order(layer: Layer, path: str = "") -> str:
    """Path of the innermost layer that keeps `layer` from a second order; its type where that is `layer` itself."""
    for name, child in layer.children().items():
        if child.no_second_order() is not None:
            return first_order(child, f"{path}/{name}" if path else name)
    return path or type(layer).__name__


class _Foreseen(NamedTuple):
    """Memory for one update of D in G's mind."""

    before: ParamSet  # w_k
    grads: ParamSet  # g_k, as the optimizer took it
    norm: Array  # 0-d, |g_k| before it was clipped
    left_out: Array  # 0-d, 1 where the optimizer left the update out
    moments: dict[str, ParamSet]  # of the optimizer, after the update


class Unrolled:
    """D's updates in G's mind: made one by one, gone back through, and undone. All memory is made once.

    Attributes:
        dparams: the gradient of G's loss in D's weights, to which the caller adds what `back` cannot know.
    """

    def __init__(self, player: Player, steps: int) -> None:
        self._player = player
        self._copies = [array.copy() for array in self._arrays()]
        self._count = player.optimizer.count
        like, skipped = player.params.like, player.optimizer.skipped
        norm = player.ops.to_device(np.zeros((), player.ops.dtype))
        self._foreseen = [_Foreseen(like(), like(), norm.copy(), skipped.copy(), self._moments()) for _ in range(steps)]
        self.dparams, self._dgrads, self._dmoments = like(), like(), self._moments()

    def _moments(self) -> dict[str, ParamSet]:
        return {name: moment.like() for name, moment in self._player.optimizer.moments.items()}

    def _arrays(self) -> list[Array]:
        """All that an update writes to."""
        player = self._player
        arrays = [player.params.flat, player.params.state, player.grads.flat, player.optimizer.skipped]
        return arrays + [moment.flat for moment in player.optimizer.moments.values()]

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """What is done to the player inside is undone at the end, to the last bit."""
        optimizer, arrays = self._player.optimizer, self._arrays()
        self._count = optimizer.count
        for copy, array in zip(self._copies, arrays, strict=True):
            copy[...] = array
        for gradient in (self.dparams, *self._dmoments.values()):
            self._player.ops.fill(gradient.flat, 0.0)
        try:
            yield
        finally:
            for copy, array in zip(self._copies, self._arrays(), strict=True):
                array[...] = copy
            optimizer.count = self._count

    def update(self, k: int, cache: Note) -> None:
        """Update k, by the player's gradient; kept is what the way back needs."""
        player, kept = self._player, self._foreseen[k]
        skipped = player.optimizer.skipped
        kept.before.flat[...], kept.before.state[...] = player.params.flat, player.params.state
        kept.left_out[...] = skipped
        kept.norm[...] = player.ops.clip_norm(player.grads.flat, math.inf)  # clips nothing
        player.apply(0, 1, cache)
        np.subtract(skipped, kept.left_out, out=kept.left_out)
        kept.grads.flat[...] = player.grads.flat
        for name, moment in player.optimizer.moments.items():
            kept.moments[name].flat[...] = moment.flat

    def back(self, ops: Ops, k: int) -> tuple[ParamSet, ParamSet]:
        """(w_k, dg): `dparams` goes back through update k, but for the way through g_k, in which dg is the gradient.

        Both gradients are NaN where the optimizer left update k out: so G's is left out too, and counted. D's answer,
        of which G was to learn, could not be had.
        """
        player, kept = self._player, self._foreseen[k]
        self.dparams.flat *= np.where(kept.left_out.reshape(1), np.nan, 1).astype(player.ops.dtype)
        if player.weight_clip:
            after = self._foreseen[k + 1].before if k + 1 < len(self._foreseen) else player.params
            size = np.abs(after.flat, out=ops.empty(after.flat.shape))
            self.dparams.flat *= np.less(size, player.weight_clip, out=size)  # what is held at the limit does not move
        update = Applied(
            kept.grads.flat, {name: moment.flat for name, moment in kept.moments.items()}, self._count + k + 1
        )
        dmoments = {name: moment.flat for name, moment in self._dmoments.items()}
        dg = player.optimizer.back(ops, update, self.dparams.flat, dmoments, player.rate(0, 1))
        limit = player.config.gradient_clip
        self._dgrads.flat[...] = clip_norm_back(ops, kept.grads.flat, kept.norm, limit, dg) if limit else dg
        return kept.before, self._dgrads


def d_double_grad(ops: Ops, gan: Gan, p_d: ParamSet, step: DiscriminatorStep, ddp: ParamSet, g: ParamSet) -> Array:
    """The derivatives of s = <ddp, dL_D/dp_d>: adds ds/dp_d, the Hessian's product with ddp, to g; returns ds/dG(z).

    Pearlmutter 1994, with the notes of `d_grad`'s sweeps: forward, all of D moves along ddp and its logits by ddu;
    the loss answers by the change of its gradient; back, what the weights and the input make of that.

    Args:
        step: of `d_grad` with a gradient, without penalty, by a D of one head.

    Raises:
        NoSecondOrderError: a layer of D has no double_backward, BatchNorm on batch statistics for one.
    """
    d = gan.discriminator
    moved = [d.double_backward(ops, p_d, tape, None, g, ddp) for _, tape in step.passes]
    together = len(moved) == 1
    ddu = halves(moved[0][0]) if together else [ddu for ddu, _ in moved]
    dus: Any = gan.loss.d_curvature(step.u_real, step.u_fake, *ddu)
    if together:
        dus = (joined(ops, *dus),)
    for (cache, _), du, (_, extra) in zip(step.passes, dus, moved, strict=True):
        dx, _ = d.backward(ops, p_d, cache, du, g, extra=extra)
    dx = without_label(dx)
    return dx[len(dx) // 2 :] if together else dx
