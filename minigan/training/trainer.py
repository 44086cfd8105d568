"""The Trainer: a preset that learns batch by batch. What a run adds (files, progress) is in `minigan.training.loop`."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import kernels
from kernels import CounterRng
from kernels.types import Array, Shape

from ..auxiliary import CATEGORIES
from ..data import ArrayDataset, Batches, load
from ..errors import UserError
from ..layer import Layer
from ..optim import MovingAverage, Optimizer
from ..params import ParamSet
from ..presets import CODES, LABELS, NO_AUGMENT, Options, fitted_networks, get_preset
from .adversarial import Adversarial
from .algorithm import Algorithm, Batch, Outcome, Update
from .autoencoding import AdversarialAutoencoder, PlainAutoencoder, VariationalAutoencoder
from .captured import CapturedUpdates
from .checkpoint import Checkpoint, check_matches, restore
from .config import TrainConfig
from .player import Player, make_players
from .resident import MOST_STEPS, Resident, why_not
from .sampler import Sampler
from .stability import fittings

ALGORITHMS: dict[str, Callable[[TrainConfig, Mapping[str, Player]], Algorithm]] = {
    "adversarial": Adversarial,
    "autoencoder": PlainAutoencoder,
    "vae": VariationalAutoencoder,
    "aae": AdversarialAutoencoder,
}
"""By the names that presets use."""


class Trainer(Sampler):
    """The players of a preset, the algorithm by which they learn, and the state of both; what it has learnt, it draws.

        trainer = Trainer(TrainConfig(preset="dcgan", batch_size=64, seed=0))
        losses = trainer.step(x)              x (N, H, W, C) float32 in [-1, 1]
        images = trainer.sample(16)           (16, H, W, C) in [-1, 1]

    Args:
        config: of the run; the preset fills in what it leaves open.
        data_shape: shape of one sample; by default that of the data set that the configuration names.
        total_steps: length of the run, which schedules need; by default config.steps.
        classes: number of the data's labels, which conditional presets need; by default that of the data set.

    Attributes:
        classes: number of labels, or of infogan's categories, that samples can be asked for; None in other presets.

    Raises:
        UserError: the configuration is wrong, or the preset cannot make such data.
    """

    def __init__(
        self,
        config: TrainConfig,
        data_shape: Shape | None = None,
        total_steps: int | None = None,
        classes: int | None = None,
    ) -> None:
        self.config = config = config.resolved()
        assert config.latent_dim is not None
        if data_shape is None:
            dataset = load(
                str(config.data), data_dir=config.data_dir, image_size=config.image_size, channels=config.channels
            )
            data_shape, classes = dataset.shape, dataset.num_classes
        data_shape = tuple(data_shape)
        preset = get_preset(config.preset)
        self.total_steps = total_steps or config.steps
        if self.total_steps is None and config.schedule != "constant":
            raise UserError(f"schedule {config.schedule} needs the number of steps")
        options = Options(data_shape, config.latent_dim, config.width, config.norm, classes)
        networks = fitted_networks(preset, options, fittings(config))
        self._rng = CounterRng(config.seed)
        players = make_players(config, networks, self._rng)
        algorithm = ALGORITHMS[preset.algorithm](config, players)
        average = MovingAverage(players[algorithm.maker].params, config.ema) if config.ema else None
        told = {LABELS: classes, CODES: CATEGORIES}.get(preset.condition or "")
        super().__init__(config, data_shape, told, players, algorithm, average)
        self._captured = self._graphs(config.capture)
        self._resident: Resident | None = None
        self.steps_done = 0

    def _graphs(self, wanted: bool | None) -> CapturedUpdates | None:
        """Room for captured updates; None where they are not wanted, or where nobody asked and something is against it.

        Raises:
            UserError: they are wanted, and there can be none.
        """
        if not (self._sampling.on_host if wanted is None else wanted):
            return None
        reason = self._sampling.why_no_capture()
        if reason is None and self.config.augment != NO_AUGMENT:
            reason = "augment draws its changes on the host, which a graph does not come back to"
        if reason is None and self.config.unrolled_steps:
            reason = "unrolled_steps take several updates of D in one of G, and a graph has the numbers of one"
        if reason is None:
            return CapturedUpdates(self._rng, self.algorithm.updates, self.players)
        if wanted:
            raise UserError(f"capture: {reason}")
        return None

    @property
    def g(self) -> Player:
        """The generator, as a player."""
        return self.players["generator"]

    @property
    def d(self) -> Player:
        """The discriminator, as a player."""
        return self.players["discriminator"]

    @property
    def generator(self) -> Layer:
        """The generator's network."""
        return self.g.network

    @property
    def discriminator(self) -> Layer:
        """The discriminator's network."""
        return self.d.network

    @property
    def params_g(self) -> ParamSet:
        """The generator's parameters."""
        return self.g.params

    @property
    def params_d(self) -> ParamSet:
        """The discriminator's parameters."""
        return self.d.params

    def step(self, x: Array, labels: Array | None = None) -> Any:
        """Every update of the algorithm that is due, on the real batch x; returns its losses, a named tuple.

        A GAN's are (d, g): one update of the discriminator and, every n_critic-th call, one of the generator. On a
        device they stay there until `read`, and those of captured updates hold until the next step.

        Args:
            x: (N, *data_shape), float32, C-contiguous, images in [-1, 1].
            labels: (N,) whole numbers, for presets that learn from labels; the others ignore them.

        Raises:
            ValueError: x has another shape or dtype, or is not contiguous; or, where capture was asked for, it has
                another size than before; labels are missing or out of range.
        """
        if x.shape[1:] != self.data_shape or x.dtype != np.float32 or not len(x):
            raise ValueError(f"step: expected float32 {('N', *self.data_shape)}, got {x.dtype} {x.shape}")
        if not x.flags.c_contiguous:
            raise ValueError(f"step: x {x.shape} is not C-contiguous; pass a contiguous copy")
        if get_preset(self.config.preset).condition == LABELS:
            labels = self._checked("step", labels, len(x))
        batch = self.batch(self.steps_done, x, labels)
        captured = self._captured
        if captured is None or (self.config.capture is None and not captured.fits(batch)):
            return self._step(batch, None)
        batch = captured.hold(batch)
        captured.announce(range(self.steps_done, self.steps_done + 1), self.total_steps or 1)
        return self._step(batch, captured)

    def keep(self, batches: Batches) -> str | None:
        """With capture, take the data set of a run onto the device, where `advance` finds it.

        The one that was kept before, if any, leaves the device, and the graphs that read it.

        Returns:
            None, or the reason why it stays in the host's memory, from where every batch is copied.
        """
        if self._captured is None:
            return "without capture the host hands over every batch"
        if self._resident is not None:
            self._captured.forget(self._resident)
        self._resident = None
        ops, data = kernels.get_ops(self.config.backend), batches.dataset
        reason = why_not(ops, data)
        if reason is None:
            assert isinstance(data, ArrayDataset)
            labelled = get_preset(self.config.preset).condition == LABELS
            if labelled:
                self._checked("keep", data.labels, len(data))
            self._resident = Resident(ops, data, batches.batch_size, labelled)
        return reason

    def advance(self, batches: Batches, most: int = 1) -> Any:
        """One step on the next batch of a run; on data that was kept on the device, `most` steps or as many as it can.

        Returns the losses of the last, as `step` does; `steps_done` tells how many there were.

        Raises:
            ValueError: most is below 1, or the batches are not of the data set and the size that were kept.
        """
        if most < 1:
            raise ValueError(f"advance: expected 1 step or more, got {most}")
        resident, captured, done = self._resident, self._captured, self.steps_done
        if resident is None or captured is None:
            return self.step(*batches.at(done))
        resident.check(batches)
        steps = range(done, done + min(most, MOST_STEPS))
        resident.announce(batches, steps)
        captured.announce(steps, self.total_steps or 1)
        for step in steps:
            losses = self._step(resident.batch._replace(step=step), captured, resident)
        return losses

    def _step(self, batch: Batch, captured: CapturedUpdates | None, source: Resident | None = None) -> Any:
        """Every update that is due; the first of them begins by fetching the batch, if it comes from the device."""
        losses: dict[str, Array] = {}
        fetch = None if source is None else source.fetch
        self._rng.begin(batch.step)
        for update in self.algorithm.updates:
            if not update.due(batch.step):
                continue
            work = functools.partial(self._update, update, batch, fetch)
            if captured is None:
                outcome = work()
            else:
                # A graph holds addresses alone: with `source` in its key the batch that it reads stays where it is.
                variant = self.algorithm.variant(update, batch.step), fetch is None
                outcome = captured.run(update, variant, work, source)
            self.algorithm.see(outcome)
            losses |= outcome.losses
            fetch = None
        if captured is not None and self._sampling.on_host:
            losses = {name: loss.copy() for name, loss in losses.items()}  # the next launch writes there
        self.steps_done += 1
        return self.algorithm.losses(**losses)

    def _update(self, update: Update, batch: Batch, fetch: Callable[[], None] | None) -> Outcome:
        """One update, of a batch that may have to be fetched before."""
        if fetch is not None:
            fetch()
        total = self.total_steps or 1
        outcome = self.evaluate(update, batch)
        for name in update.players:
            self.players[name].apply(batch.step, total, outcome.caches[name], update.optimizer)
        if self.average is not None and self.algorithm.maker in update.players:
            maker = self.players[self.algorithm.maker]
            self.average.update(maker.ops, maker.params)
        return outcome

    def batch(self, step: int, x: Array, labels: Array | None) -> Batch:
        """The batch of a step, on the device; without labels where the preset has no use for them."""
        to_device = self._sampling.to_device
        if labels is None or get_preset(self.config.preset).condition != LABELS:
            return Batch(step, to_device(x), None)
        return Batch(step, to_device(x), to_device(labels))

    def read(self, array: Array) -> np.ndarray:
        """The contents of an array of the backend, a loss say, on the host; waits for the step that makes it."""
        return self._sampling.to_host(array)

    def evaluate(self, update: Update, batch: Batch, replay: bool = False) -> Outcome:
        """The gradient of an update, left in its players' `grads`."""
        for name in update.players:
            self.players[name].ops.workspace.reset()
            self.players[name].zero_grad()
        return update.gradient(batch, replay)

    @property
    def skipped(self) -> str | None:
        """The first player, in the order of the updates, of which one was left out as not finite; None is good."""
        names = (name for update in self.algorithm.updates for name in update.players)
        return next((name for name in names if self.players[name].skipped), None)

    def rewind(self, step: int) -> None:
        """Back to the random numbers of the start of a step."""
        self._rng.begin(step)

    def checkpoint(self) -> Checkpoint:
        """The whole state, on the CPU as views: save it before the next step."""
        counts = {name: optimizer.count for name, optimizer in self._optimizers().items()}
        extra: dict[str, Any] = {"updates": counts, "data_shape": list(self.data_shape)}
        if self.classes is not None:
            extra["classes"] = self.classes
        tensors = {name: self.read(tensor) for name, tensor in self._tensors().items()}
        return Checkpoint(self.steps_done, self.config.preset, self.config.to_dict(), tensors, extra)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint, or raise UserError and change nothing."""
        if checkpoint.preset != self.config.preset:
            raise UserError(f"the checkpoint is of preset {checkpoint.preset}, this run is of {self.config.preset}")
        counts = checkpoint.extra.get("updates", {})
        optimizers = self._optimizers()
        if set(counts) != set(optimizers):
            raise UserError(f"the checkpoint of step {checkpoint.step} does not say how many updates were done")
        tensors = self._tensors()
        check_matches(checkpoint, {name: (view.shape, view.dtype) for name, view in tensors.items()})
        restore(tensors, checkpoint, to_device=self._sampling.to_device)
        for name, optimizer in optimizers.items():
            optimizer.count = int(counts[name])
        self.steps_done = checkpoint.step

    def _optimizers(self) -> dict[str, Optimizer]:
        return {name: each for player in self.players.values() for name, each in player.optimizers.items()}

    def _tensors(self) -> dict[str, Array]:
        tensors: dict[str, Array] = {}
        for player in self.players.values():
            tensors |= player.tensors()
        tensors |= self.algorithm.tensors()
        if self.average is not None:
            tensors |= {f"average/{path}": view for path, view in self.average.params.named.items()}
        return tensors
