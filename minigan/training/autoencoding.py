"""Autoencoders as algorithms: plain, variational and adversarial."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kernels import Ops, Use
from kernels.types import Array

from ..losses import get_loss, realness
from ..reconstruction import RECONSTRUCTIONS, pixels
from .algorithm import Algorithm, Batch, Outcome, Pass, Passes, Update
from .config import TrainConfig
from .gan import Gan
from .health.discriminator import discriminator_signs
from .player import Player
from .reconstructing import Autoencoder, Gradients, elbo_grad, reconstruction_grad
from .updates import d_grad, g_grad

ENCODER_AS_GENERATOR = "encoder_as_generator"
"""Name of the optimizer by which an adversarial autoencoder's encoder learns to deceive."""


class Reconstruction(NamedTuple):
    """Loss of a step of an autoencoder, 0-d."""

    reconstruction: Array


class Elbo(NamedTuple):
    """The two terms of a variational autoencoder's loss, 0-d; the divergence unweighted."""

    reconstruction: Array
    divergence: Array


class AdversarialLosses(NamedTuple):
    """Losses of the three updates of an adversarial autoencoder, 0-d."""

    reconstruction: Array
    d: Array
    g: Array


class PlainAutoencoder(Algorithm):
    """One update in each step, of encoder and decoder together."""

    losses: Any = Reconstruction
    maker = "decoder"
    has_prior = False

    def __init__(self, config: TrainConfig, players: Mapping[str, Player]) -> None:
        self.config = config
        self.e, self.d = players["encoder"], players["decoder"]
        self.net = Autoencoder(self.e.network, self.d.network, RECONSTRUCTIONS[str(config.reconstruction)])
        self.gradients = Gradients(self.e.grads, self.d.grads)
        self.updates = (Update((self.e.name, self.d.name), self.reconstruction_gradient),)

    def reconstruction_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """Of both players."""
        step = reconstruction_grad(self.e.ops, self.net, self.e.params, self.d.params, batch.x, self.gradients)
        caches = {self.e.name: step.encoder_cache, self.d.name: step.decoder_cache}
        return Outcome({"reconstruction": step.reconstruction}, caches)

    def passes(self, update: Update, batch: Batch) -> Passes:
        """The encoder's, then the decoder's."""
        output = yield Pass(self.e.name, self.e.network, self.e.params, batch.x)
        yield Pass(self.d.name, self.d.network, self.d.params, self.code(self.e.ops, output))

    def samples(self, ops: Ops, made: Array) -> Array:
        """Logits become images."""
        return pixels(ops, made)

    def code(self, ops: Ops, output: Array) -> Array:
        """The code that an encoder's output stands for."""
        return output


class VariationalAutoencoder(PlainAutoencoder):
    """One update in each step, of minus the evidence lower bound; new codes are drawn from N(0, I)."""

    losses: Any = Elbo
    has_prior = True

    def reconstruction_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """Of both players."""
        noise = self.e.ops.random_normal((len(batch.x), int(self.config.latent_dim or 0)), Use.CODE)
        weight = 1.0 if self.config.divergence_weight is None else self.config.divergence_weight
        step = elbo_grad(self.e.ops, self.net, self.e.params, self.d.params, batch.x, noise, self.gradients, weight)
        assert step.divergence is not None
        caches = {self.e.name: step.encoder_cache, self.d.name: step.decoder_cache}
        return Outcome({"reconstruction": step.reconstruction, "divergence": step.divergence}, caches)

    def code(self, ops: Ops, output: Array) -> Array:
        """The mean."""
        return ops.split(output, [output.shape[1] // 2] * 2)[0]


class AdversarialAutoencoder(PlainAutoencoder):
    """An autoencoder whose codes a discriminator compares with N(0, I) (Makhzani et al. 2016).

    Three updates in each step: encoder and decoder learn to reconstruct; the discriminator learns to tell draws from
    N(0, I), which are real, from codes, which are fake; the encoder, now the generator of codes, learns to deceive it.
    That last update has an optimizer of its own: in moments shared with the reconstruction, whose gradient is larger by
    far, it would vanish, and Adam's step would be one more of the reconstruction.
    """

    losses: Any = AdversarialLosses
    has_prior = True
    judges_codes = True

    def __init__(self, config: TrainConfig, players: Mapping[str, Player]) -> None:
        super().__init__(config, players)
        self.judge = players["discriminator"]
        self.gan = Gan(self.e.network, self.judge.network, get_loss(str(config.loss), config.label_smoothing))
        self.e.add_optimizer(ENCODER_AS_GENERATOR)
        self.updates = (
            *self.updates,
            Update((self.judge.name,), self.discriminator_gradient),
            Update((self.e.name,), self.encoder_gradient, optimizer=ENCODER_AS_GENERATOR),
        )

    def reconstruction_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """Of encoder and decoder; the loss is copied, since the encoder's second update takes its memory back."""
        outcome = super().reconstruction_gradient(batch, replay)
        return outcome._replace(losses={name: loss.copy() for name, loss in outcome.losses.items()})

    def discriminator_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """D's gradient on draws from the prior and on codes."""
        prior = self._prior(self.judge.ops, batch, Use.LATENT_D)
        p_d = self.judge.effective(iterate=not replay)
        step = d_grad(self.judge.ops, self.gan, self.e.params, p_d, prior, batch.x, self.judge.grads)
        return Outcome({"d": step.losses.game}, {self.judge.name: step.cache}, (step.u_real, step.u_fake))

    def encoder_gradient(self, batch: Batch, replay: bool = False) -> Outcome:
        """The encoder's gradient, through the D of after its update."""
        prior = self._prior(self.e.ops, batch, Use.LATENT_G)
        p_d = self.judge.effective(iterate=False)
        step = g_grad(self.e.ops, self.gan, self.e.params, p_d, prior, batch.x, self.e.grads)
        assert step.dfake is not None
        return Outcome({"g": step.losses.game}, {self.e.name: step.cache}, feedback=(step.du_fake, step.dfake))

    def passes(self, update: Update, batch: Batch) -> Passes:
        """Those of the autoencoder, or the encoder's and D's on draws and codes."""
        if self.d.name in update.players:
            yield from super().passes(update, batch)
            return
        judged = update.players == (self.judge.name,)
        ops, use = (self.judge.ops, Use.LATENT_D) if judged else (self.e.ops, Use.LATENT_G)
        prior, p_d = self._prior(ops, batch, use), self.judge.effective(iterate=False)
        codes = yield Pass(self.e.name, self.e.network, self.e.params, batch.x)
        yield Pass(self.judge.name, self.judge.network, p_d, prior, ", on draws from the prior")
        yield Pass(self.judge.name, self.judge.network, p_d, codes, ", on codes")

    def beliefs(self) -> dict[str, float]:
        """How real D finds draws from the prior, and codes; see `realness`."""
        assert self.logits is not None
        d_real, d_fake = realness(self.gan.loss, *(self.judge.ops.to_host(u) for u in self.logits))
        return {"d_real": d_real, "d_fake": d_fake}

    def signs(self) -> dict[str, float | None]:
        """Of the game of codes, see `discriminator_signs`: real are draws from the prior, the codes are G's samples."""
        if self.logits is None or self.feedback is None:
            return {}
        (real, fake), (du, dx) = (map(self.judge.ops.to_host, pair) for pair in (self.logits, self.feedback))
        return discriminator_signs(self.gan.loss, self.config.label_smoothing, (real, fake), (du, dx))

    def _prior(self, ops: Ops, batch: Batch, use: Use) -> Array:
        return ops.random_normal((len(batch.x), int(self.config.latent_dim or 0)), use)
