"""What players that have learnt are good for: samples of latents and labels, and codes of data."""

from collections.abc import Mapping

import numpy as np

import kernels
from kernels import CounterRng, Use
from kernels.types import Array, Shape

from ..condition import mapped, sliced, told
from ..errors import UserError
from ..optim import MovingAverage
from .algorithm import Algorithm
from .autoencoding import PlainAutoencoder
from .config import TrainConfig
from .labels import checked_labels, wanted_labels
from .player import Player

SAMPLE_BATCH = 256  # samples made at a time, so that a large number of them needs no large workspace


class Sampler:
    """Players in eval mode, in a workspace and with random numbers that training has no part in.

    Args:
        config: of the run, resolved.
        data_shape: shape of one sample.
        classes: number of labels that samples can be asked for; None where there are none.
        players: by name.
        algorithm: by which they learn.
        average: of the maker's weights, which samples are drawn from; None for the weights themselves.
    """

    def __init__(
        self,
        config: TrainConfig,
        data_shape: Shape,
        classes: int | None,
        players: Mapping[str, Player],
        algorithm: Algorithm,
        average: MovingAverage | None,
    ) -> None:
        self.config, self.data_shape, self.classes = config, data_shape, classes
        self.players, self.algorithm, self.average = players, algorithm, average
        self._sampling = kernels.get_ops(config.backend, seed=config.seed)

    def latents(self, count: int, seed: int | None = None, use: Use = Use.SAMPLE) -> Array:
        """`count` latents (count, Z), float32, a function of the seed alone (by default the run's)."""
        rng = CounterRng(self.config.seed if seed is None else seed)
        return rng.normal((count, int(self.config.latent_dim or 0)), use).astype(np.float32)

    def labels(self, count: int, label: int | None = None) -> Array | None:
        """`count` times the label, or 0, 1, 2 ... in turn; None for a preset that takes none."""
        return wanted_labels(self.config.preset, count, label, self.classes)

    def sample(self, count: int, seed: int | None = None, label: int | None = None) -> Array:
        """`count` samples (count, *data_shape) from the (averaged) generator in eval mode; images in [-1, 1].

        Of a conditional preset they are all of `label`, or of each in turn.

        Raises:
            UserError: a label out of range, or for a preset that takes none; or the preset has nothing to draw from.
        """
        self.require_prior()
        return self.generate(self.latents(count, seed), self.labels(count, label), seed)

    def require_prior(self) -> None:
        """Raise UserError for a preset that has learnt no distribution of latents."""
        if not self.algorithm.has_prior:
            raise UserError(f"{self.config.preset} learns no distribution to draw from; vae and aae do")

    def generate(self, z: Array, labels: Array | None = None, seed: int | None = None, averaged: bool = True) -> Array:
        """G(z) or G(z, label) in eval mode for latents z (count, Z), copied out of the workspace.

        Images are clipped to [-1, 1]; `seed`: of infogan's continuous codes. `averaged`: from the moving average of
        the weights where there is one.

        Raises:
            ValueError: labels are missing, out of range or of another number, or the preset takes none.
        """
        if self.classes is not None:
            labels = self._checked("generate", labels, len(z))
        elif labels is not None:
            raise ValueError(f"generate: {self.config.preset} draws without labels, got some")
        y = self.algorithm.conditions(labels, self.config.seed if seed is None else seed)
        maker = self.players[self.algorithm.maker]
        params = self.average.params if averaged and self.average is not None else maker.params
        ops, images = self._sampling, np.empty((len(z), *self.data_shape), np.float32)
        for start in range(0, len(z), SAMPLE_BATCH):
            ops.workspace.reset()
            given = sliced(told(np.ascontiguousarray(z), y), start, start + SAMPLE_BATCH)
            made, _ = maker.network.forward(ops, params, mapped(ops.to_device, given), train=False)
            images[start : start + SAMPLE_BATCH] = ops.to_host(self.algorithm.samples(ops, made))
        return images.clip(-1, 1) if len(self.data_shape) == 3 else images

    def _checked(self, where: str, labels: Array | None, count: int) -> Array:
        """The labels of a batch: whole numbers in range."""
        assert self.classes is not None
        return checked_labels(where, self.config.preset, labels, count, self.classes)

    def encode(self, x: Array) -> Array:
        """Codes (N, Z) of data (N, *data_shape), in eval mode; a variational encoder's means.

        Raises:
            UserError: the preset has no encoder.
        """
        if not isinstance(self.algorithm, PlainAutoencoder):
            raise UserError(f"{self.config.preset} has no encoder")
        ops, encoder = self._sampling, self.players["encoder"]
        codes = np.empty((len(x), int(self.config.latent_dim or 0)), np.float32)
        for start in range(0, len(x), SAMPLE_BATCH):
            ops.workspace.reset()
            output, _ = encoder.network.forward(
                ops, encoder.params, ops.to_device(x[start : start + SAMPLE_BATCH]), train=False
            )
            codes[start : start + SAMPLE_BATCH] = ops.to_host(self.algorithm.code(ops, output))
        return codes
