"""The Trainer: a GAN that learns batch by batch. What a run adds (files, progress) is in `minigan.training.loop`."""

from typing import NamedTuple

import numpy as np

import kernels
from kernels import CounterRng, Use
from kernels.types import Array, Shape

from ..data import load
from ..errors import UserError
from ..layer import Layer
from ..losses import get_loss
from ..optim import MovingAverage
from ..params import ParamSet
from ..penalties import Penalty, get_penalty
from ..presets import NO_PENALTY, Options, get_preset
from .checkpoint import Checkpoint, check_matches, restore
from .config import TrainConfig
from .player import Player
from .updates import Gan, d_grad, g_grad

SAMPLE_BATCH = 256  # images made at a time, so that a large sample needs no large workspace


class Losses(NamedTuple):
    """Losses of one step without penalties, 0-d arrays; `g` is None where the generator was not updated."""

    d: Array
    g: Array | None


class Trainer:
    """Both players of a preset and the state of their game.

        trainer = Trainer(TrainConfig(preset="dcgan", batch_size=64, seed=0))
        losses = trainer.step(x)              x (N, H, W, C) float32 in [-1, 1]
        images = trainer.sample(16)           (16, H, W, C) in [-1, 1]

    Args:
        config: of the run; the preset fills in what it leaves open.
        data_shape: shape of one sample; by default that of the data set that the configuration names.
        total_steps: length of the run, which schedules need; by default config.steps.

    Raises:
        UserError: the configuration is wrong, or the preset cannot make such data.
    """

    def __init__(self, config: TrainConfig, data_shape: Shape | None = None, total_steps: int | None = None) -> None:
        self.config = config = config.resolved()
        assert config.latent_dim is not None
        if data_shape is None:
            data_shape = load(
                config.data, data_dir=config.data_dir, image_size=config.image_size, channels=config.channels
            ).shape
        self.data_shape = tuple(data_shape)
        self.total_steps = total_steps or config.steps
        if self.total_steps is None and config.schedule != "constant":
            raise UserError(f"schedule {config.schedule} needs the number of steps")
        options = Options(self.data_shape, config.latent_dim, config.width, config.norm)
        generator, discriminator = get_preset(config.preset).networks(options)
        self.gan = Gan(generator, discriminator, get_loss(str(config.loss), config.label_smoothing))
        self._penalty = _penalty(config, discriminator)
        self._rng = CounterRng(config.seed)
        lr = float(config.lr or 0)
        self.g = Player("generator", generator, (config.latent_dim,), self._ops(), config, config.lr_g or lr)
        lr_d, clip = config.lr_d or lr, config.weight_clip or 0.0
        sn = config.weight_norm == "spectral"
        self.d = Player("discriminator", discriminator, self.data_shape, self._ops(), config, lr_d, clip, sn)
        self.average = MovingAverage(self.g.params, config.ema) if config.ema else None
        self._sampling = kernels.get_ops(config.backend, seed=config.seed)
        self.steps_done = 0
        self.logits: tuple[Array, Array] | None = None

    def _ops(self) -> kernels.Ops:
        """Operations with a workspace of their own on the common stream of random numbers."""
        try:
            return kernels.get_ops(self.config.backend, rng=self._rng)
        except ValueError as error:
            raise UserError(f"backend: {error}") from None

    @property
    def generator(self) -> Layer:
        """The generator's network."""
        return self.gan.generator

    @property
    def discriminator(self) -> Layer:
        """The discriminator's network."""
        return self.gan.discriminator

    @property
    def params_g(self) -> ParamSet:
        """The generator's parameters."""
        return self.g.params

    @property
    def params_d(self) -> ParamSet:
        """The discriminator's parameters."""
        return self.d.params

    def step(self, x: Array, labels: Array | None = None) -> Losses:
        """One discriminator update with the real batch x and, every n_critic-th call, one generator update.

        Args:
            x: (N, *data_shape), float32, C-contiguous, images in [-1, 1].
            labels: (N,), for conditional presets; the present ones use none.

        Raises:
            ValueError: x has another shape or dtype.
        """
        if x.shape[1:] != self.data_shape or x.dtype != np.float32 or not len(x):
            raise ValueError(f"step: expected float32 {('N', *self.data_shape)}, got {x.dtype} {x.shape}")
        assert self.config.n_critic is not None
        step, total = self.steps_done, self.total_steps or 1
        z_shape = (len(x), int(self.config.latent_dim or 0))
        self.d.ops.begin_step(step)
        z = self.d.ops.random_normal(z_shape, Use.LATENT_D)
        p_d = self.d.effective(iterate=True)
        d = d_grad(self.d.ops, self.penalised(step), self.g.params, p_d, x, z, self.d.zero_grad())
        self.d.apply(step, total, d.cache)
        self.logits = d.u_real, d.u_fake
        value = None
        if (step + 1) % self.config.n_critic == 0:
            self.g.ops.workspace.reset()
            z = self.g.ops.random_normal(z_shape, Use.LATENT_G)
            p_d = self.d.effective(iterate=False)
            g = g_grad(self.g.ops, self.gan, self.g.params, p_d, x, z, self.g.zero_grad())
            self.g.apply(step, total, g.cache)
            if self.average is not None:
                self.average.update(self.g.ops, self.g.params)
            value = g.value
        self.steps_done += 1
        return Losses(d.loss, value)

    def penalised(self, step: int) -> Gan:
        """The game of a step: with the penalty in every penalty_every-th, as many times as heavy."""
        return self.gan._replace(penalty=None if step % self.config.penalty_every else self._penalty)

    def latents(self, count: int, seed: int | None = None, use: Use = Use.SAMPLE) -> Array:
        """`count` latents (count, Z), float32, a function of the seed alone (by default the run's)."""
        rng = CounterRng(self.config.seed if seed is None else seed)
        return rng.normal((count, int(self.config.latent_dim or 0)), use).astype(np.float32)

    def sample(self, count: int, seed: int | None = None) -> Array:
        """`count` samples (count, *data_shape) from the (averaged) generator in eval mode; images in [-1, 1]."""
        return self.generate(self.latents(count, seed))

    def generate(self, z: Array) -> Array:
        """G(z) in eval mode for latents z (count, Z), copied out of the workspace; images are clipped to [-1, 1]."""
        params = self.g.params if self.average is None else self.average.params
        images = np.empty((len(z), *self.data_shape), np.float32)
        for start in range(0, len(z), SAMPLE_BATCH):
            self._sampling.workspace.reset()
            part = np.ascontiguousarray(z[start : start + SAMPLE_BATCH])
            images[start : start + SAMPLE_BATCH] = self.generator.forward(self._sampling, params, part, train=False)[0]
        return images.clip(-1, 1) if len(self.data_shape) == 3 else images

    def checkpoint(self) -> Checkpoint:
        """The whole state, as views: save it before the next step."""
        counts = {"generator": self.g.optimizer.count, "discriminator": self.d.optimizer.count}
        extra = {"updates": counts, "data_shape": list(self.data_shape)}
        return Checkpoint(self.steps_done, self.config.preset, self.config.to_dict(), self._tensors(), extra)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint, or raise UserError and change nothing."""
        if checkpoint.preset != self.config.preset:
            raise UserError(f"the checkpoint is of preset {checkpoint.preset}, this run is of {self.config.preset}")
        counts = checkpoint.extra.get("updates", {})
        if set(counts) != {"generator", "discriminator"}:
            raise UserError(f"the checkpoint of step {checkpoint.step} does not say how many updates were done")
        tensors = self._tensors()
        check_matches(checkpoint, {name: (view.shape, view.dtype) for name, view in tensors.items()})
        restore(tensors, checkpoint)
        self.g.optimizer.count = int(counts["generator"])
        self.d.optimizer.count = int(counts["discriminator"])
        self.steps_done = checkpoint.step

    def _tensors(self) -> dict[str, Array]:
        tensors = self.g.tensors() | self.d.tensors()
        if self.average is not None:
            tensors |= {f"average/{path}": view for path, view in self.average.params.named.items()}
        return tensors


def _penalty(config: TrainConfig, discriminator: Layer) -> Penalty | None:
    """The penalty of a resolved configuration, at the weight of the steps that have it.

    Raises:
        UserError: a gradient penalty is not defined through this discriminator.
    """
    if config.penalty == NO_PENALTY:
        return None
    reason = discriminator.no_second_order()
    if reason is not None:
        flags = " (--norm layer, --norm none)" if config.norm is not None else ""
        raise UserError(f"penalty {config.penalty}: discriminator, {reason}{flags}")
    return get_penalty(str(config.penalty), float(config.penalty_weight or 0) * config.penalty_every)
