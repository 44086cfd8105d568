"""A GAN as an algorithm: which numbers each update of `minigan.training.updates` gets, and when it is due."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from kernels import CounterRng, Ops, Use
from kernels.types import Array

from ..auxiliary import CATEGORIES
from ..auxiliary import CODES as CODES_COUNT
from ..condition import told
from ..errors import UserError
from ..layer import Layer
from ..lecam import Anchors, with_lecam
from ..losses import get_loss, realness
from ..params import ParamSet
from ..penalties import Penalty, get_penalty
from ..presets import CODES, NO_PENALTY, NOISE, get_preset
from .algorithm import Algorithm, Batch, Outcome, Pass, Passes, Update
from .config import TrainConfig
from .gan import Gan
from .health.discriminator import discriminator_signs
from .player import Player
from .stability import noise_at, penalty_weight_at
from .unrolled import Unrolled, check_unrolled, d_double_grad
from .updates import DiscriminatorStep, d_grad, g_grad


class Losses(NamedTuple):
    """Losses of one step without penalties, 0-d arrays; `g` is None where the generator was not updated."""

    d: Array
    g: Array | None = None


class LossesWithAuxiliary(NamedTuple):
    """Beside them, unweighted, what the discriminator loses where it tells the condition; not in `d` and `g`."""

    d: Array
    g: Array | None = None
    auxiliary: Array | None = None


class Adversarial(Algorithm):
    """One update of the discriminator in each step, and in every n_critic-th one of the generator.

    Raises:
        UserError: a gradient penalty is not defined through this discriminator, or unrolled steps are not, or its
            weights cannot be normalised.
    """

    maker = "generator"

    def __init__(self, config: TrainConfig, players: Mapping[str, Player]) -> None:
        assert config.n_critic is not None
        self.config, preset = config, get_preset(config.preset)
        self.condition = preset.condition
        self.losses = Losses if preset.auxiliary is None else LossesWithAuxiliary
        self.g, self.d = players["generator"], players["discriminator"]
        self._plain = loss = get_loss(str(config.loss), config.label_smoothing)
        self.anchors = Anchors(self.d.ops) if config.lecam else None
        if self.anchors is not None:
            loss = with_lecam(loss, config.lecam, self.anchors)
        self.gan = Gan(
            self.g.network,
            self.d.network,
            loss,
            auxiliary=preset.auxiliary,
            auxiliary_weight=config.auxiliary_weight or 0.0,
        )
        if config.unrolled_steps:
            check_unrolled(config, self.d, heads=1 if preset.auxiliary is None else 2)
        self._penalty = _penalty(config, self.d.network)
        _check_weights(self.d)
        self._unrolled = Unrolled(self.d, config.unrolled_steps) if config.unrolled_steps else None
        self.updates = (
            Update((self.d.name,), self.discriminator_gradient),
            Update((self.g.name,), self.generator_gradient, every=config.n_critic),
        )

    def discriminator_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """D's gradient, with fakes from latents of its own."""
        if self.config.instance_noise:
            self.d.ops.fill(self.d.params[NOISE]["std"], noise_at(self.config, batch.step))
        z, y = self._given(self.d.ops, batch, Use.LATENT_D)
        p_d = self.d.effective(iterate=not replay)
        gan = self.penalised(batch.step)
        step = d_grad(self.d.ops, gan, self.g.params, p_d, batch.x, z, self.d.grads, y)
        logits = step.u_real, step.u_fake
        if self.anchors is not None and not replay:
            self.anchors.follow(self.d.ops, *logits)
        losses = {"d": step.losses.game if self.anchors is None else self._plain.d_loss(*logits)[0]}
        if step.losses.auxiliary is not None:
            losses["auxiliary"] = step.losses.auxiliary
        return Outcome(losses, {self.d.name: step.cache}, logits)

    def generator_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """G's gradient, through the D of after its update; see `minigan.training.unrolled` for unrolled_steps more."""
        unrolled = self._unrolled
        if unrolled is None:
            return self._generator_gradient(batch)
        with unrolled.taken_back():
            steps = [self._look_ahead(unrolled, k, batch) for k in range(self.config.unrolled_steps)]
            outcome = self._generator_gradient(batch, unrolled.dparams)
            for k, step in reversed(list(enumerate(steps))):
                self._look_back(unrolled, k, step)
        return outcome

    def _look_ahead(self, unrolled: Unrolled, k: int, batch: Batch) -> DiscriminatorStep:
        """One more update of D, in G's memory."""
        z, y = self._given(self.g.ops, batch, Use.LATENT_D)
        g = self.d.zero_grad()
        step = d_grad(self.g.ops, self.gan, self.g.params, self.d.params, batch.x, z, g, y)
        unrolled.update(k, step.cache)
        return step

    def _look_back(self, unrolled: Unrolled, k: int, step: DiscriminatorStep) -> None:
        """Add what G's loss owes to the samples of one update of D to G's gradient."""
        ops = self.g.ops
        with ops.scratch():
            before, dg = unrolled.back(ops, k)
            dfake = d_double_grad(ops, self.gan, before, step, dg, unrolled.dparams)
            self.gan.generator.backward(ops, self.g.params, step.made, dfake, self.g.grads, need_dx=False)

    def _generator_gradient(self, batch: Batch, g_d: ParamSet | None = None) -> Outcome:
        """Through the D of now; g_d gets the gradient in its weights."""
        z, y = self._given(self.g.ops, batch, Use.LATENT_G)
        p_d = self.d.effective(iterate=False)
        step = g_grad(self.g.ops, self.gan, self.g.params, p_d, batch.x, z, self.g.grads, y, g_d)
        assert step.dfake is not None
        return Outcome({"g": step.losses.game}, {self.g.name: step.cache}, feedback=(step.du_fake, step.dfake))

    def penalised(self, step: int) -> Gan:
        """The game of a step: with the penalty in every penalty_every-th, as many times as heavy."""
        every = self.config.penalty_every
        if self._penalty is None or step % every:
            return self.gan
        return self.gan._replace(penalty=replace(self._penalty, weight=penalty_weight_at(self.config, step) * every))

    def tensors(self) -> dict[str, Array]:
        """LeCam's averages."""
        return {} if self.anchors is None else {"lecam": self.anchors.values}

    def variant(self, update: Update, step: int) -> tuple[float | None, float] | None:
        """Of D's update: weight of the penalty, None where there is none, and instance noise, which it sets."""
        if update.players != (self.d.name,):
            return None
        penalty = self.penalised(step).penalty
        return None if penalty is None else penalty.weight, noise_at(self.config, step)

    def passes(self, update: Update, batch: Batch) -> Passes:
        """G(z), then D on real data and on G(z)."""
        learns_d = update.players == (self.d.name,)
        ops, use = (self.d.ops, Use.LATENT_D) if learns_d else (self.g.ops, Use.LATENT_G)
        z, y = self._given(ops, batch, use)
        p_d, shown = self.d.effective(iterate=False), self.gan.shown(y)
        fake = yield Pass(self.g.name, self.g.network, self.g.params, told(z, y))
        yield Pass(self.d.name, self.d.network, p_d, told(batch.x, shown), ", on real data")
        yield Pass(self.d.name, self.d.network, p_d, told(fake, shown), ", on fake data")

    def beliefs(self) -> dict[str, float]:
        """See `realness`."""
        assert self.logits is not None
        d_real, d_fake = realness(self.gan.loss, *map(self.d.ops.to_host, self.logits))
        return {"d_real": d_real, "d_fake": d_fake}

    def signs(self) -> dict[str, float | None]:
        """See `discriminator_signs`."""
        if self.logits is None or self.feedback is None:
            return {}
        (real, fake), (du, dx) = (map(self.d.ops.to_host, pair) for pair in (self.logits, self.feedback))
        signs = discriminator_signs(self._plain, self.config.label_smoothing, (real, fake), (du, dx))
        if self.gan.auxiliary is not None:
            signs["d_slope"] = None  # what came back is the gradient of two heads, and |dL_G/du| that of one
        return signs

    def conditions(self, labels: Array | None, seed: int) -> Any:
        """What the generator is told when samples of `labels` (N,) are drawn; the continuous codes follow the seed."""
        if self.condition != CODES or labels is None:
            return labels
        uniform = CounterRng(seed).uniform((len(labels), CODES_COUNT), Use.CODE)
        return labels, (2 * uniform - 1).astype(np.float32)

    def _given(self, ops: Ops, batch: Batch, use: Use) -> tuple[Array, Any]:
        """Latents, and the condition: the labels of the batch, which real and generated samples share, or codes."""
        z = ops.random_normal((len(batch.x), int(self.config.latent_dim or 0)), use)
        if self.condition != CODES:
            return z, batch.labels
        categories = np.floor(ops.random_uniform((len(z),), Use.CODE) * CATEGORIES).astype(np.int64)
        codes = ops.scale_shift(ops.random_uniform((len(z), CODES_COUNT), Use.CODE), 2.0, -1.0)
        return z, (np.minimum(categories, CATEGORIES - 1), codes)  # a uniform number may round to 1


def _check_weights(player: Player) -> None:
    """Raise UserError if a weight that is to be normalised is zero: there the gradient would be without bound."""
    for path in () if player.spectral_norm is None else player.spectral_norm.paths:
        if not player.ops.to_host(player.params.named[path]).any():
            raise UserError(f"weight_norm spectral: the {player.name}'s {path} starts at 0, where it has no direction")


def _penalty(config: TrainConfig, discriminator: Layer) -> Penalty | None:
    """The penalty of a resolved configuration, at its first weight."""
    if config.penalty == NO_PENALTY:
        return None
    reason = discriminator.no_second_order()
    if reason is not None:
        flags = " (--norm layer, --norm none)" if config.norm is not None else ""
        raise UserError(f"penalty {config.penalty}: discriminator, {reason}{flags}")
    return get_penalty(str(config.penalty), float(config.penalty_weight or 0) * config.penalty_every)
