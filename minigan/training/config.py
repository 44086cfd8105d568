"""The configuration of a run: what a user may set, what a preset fills in, and what config.toml holds."""

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kernels

from ..errors import UserError
from ..penalties import PENALTIES
from ..presets import ADAM_BETAS, NO_AUGMENT, NO_PENALTY, get_preset
from .checks import check

WASSERSTEIN_CLIP = 0.01
"""A Wasserstein critic without bound on its slope grows without end; Arjovsky et al. 2017 clip its weights to this. A
gradient penalty or spectral normalisation bounds the slope itself."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run; None means "as the preset says"."""

    preset: str
    """Which GAN to train; `minigan presets` lists them."""
    data: str | None = None
    """Data set: mnist5k (in the package, the default), mnist, fashion-mnist, cifar10, ring, grid, swiss-roll, sines
    (the default of rnn), stacked-mnist, stacked-mnist5k, or the path of a folder of images by class."""
    data_dir: str | None = None
    """Folder with the data set's files; else MINIGAN_DATA, else the cache folder, else they are downloaded."""
    image_size: int | None = None
    """Height and width to which images of a folder are resized and cropped."""
    channels: int | None = None
    """1 (grey) or 3 (RGB) for images of a folder."""
    steps: int | None = None
    """Discriminator updates in all; not together with epochs."""
    epochs: int | None = None
    """Passes over the data set in all."""
    batch_size: int | None = None
    """Samples per batch."""
    seed: int = 0
    """Of weights, latents and the order of the data."""
    backend: str = "auto"
    """auto, or one of those that `minigan info` lists."""
    capture: bool | None = None
    """Record updates when they come again and launch them whole from then on, with the same results; None: on numba
    yes, if nothing is against it; on cuda, where they become graphs and the data set goes to the device's memory if it
    fits, no."""
    loss: str | None = None
    """minimax, non-saturating, least-squares, wasserstein, hinge, relativistic-average or relativistic-paired."""
    label_smoothing: float = 0.0
    """The real target is 1 - this; minimax and non-saturating only, below 0.5."""
    optimizer: str | None = None
    """sgd, rmsprop or adam, for both players."""
    lr: float | None = None
    """Learning rate of both players."""
    lr_g: float | None = None
    """Learning rate of the generator, where it differs."""
    lr_d: float | None = None
    """Learning rate of the discriminator, where it differs."""
    schedule: str = "constant"
    """Of the learning rates over the run: constant, linear or cosine, down to 0."""
    beta1: float | None = None
    """Adam's decay of the mean gradient."""
    beta2: float | None = None
    """Adam's decay of the squared gradient."""
    amsgrad: bool = False
    """Adam with the largest second moment so far."""
    momentum: float = 0.0
    """Of sgd."""
    nesterov: bool = False
    """sgd with Nesterov's look-ahead."""
    weight_decay: float = 0.0
    """Decoupled: every update shrinks the weights by lr times this."""
    reconstruction: str | None = None
    """What an autoencoder lowers: squared-error or cross-entropy, both sums over the pixels."""
    divergence_weight: float | None = None
    """Of the codes' divergence from N(0, I) beside the reconstruction (vae); above 1 it is a beta-VAE."""
    auxiliary_weight: float | None = None
    """Of what the discriminator has to tell beside the game: the class (acgan) or the codes (infogan)."""
    n_critic: int | None = None
    """Discriminator updates for each generator update."""
    penalty: str | None = None
    """On the slope of the discriminator, which then has no BatchNorm: none, wgan-gp, wgan-gp-one-sided, dragan, r1, r2
    or r1+r2."""
    penalty_weight: float | None = None
    """Of the penalty beside the loss; each has a default."""
    penalty_every: int = 1
    """Add the penalty to every so many discriminator updates only, with as many times its weight."""
    penalty_weight_end: float | None = None
    """What penalty_weight becomes, along half a cosine, within penalty_weight_steps updates."""
    penalty_weight_steps: int = 0
    """See penalty_weight_end."""
    weight_norm: str | None = None
    """Of the discriminator's weight matrices: none, or spectral (each divided by its largest singular value)."""
    weight_clip: float | None = None
    """Clip the discriminator's weights to +- this after each update; 0 is off, as without wasserstein, with a penalty
    or with a spectral weight_norm (else 0.01)."""
    pack: int = 1
    """Samples that the discriminator judges together, side by side in the channels (PacGAN): against mode collapse."""
    minibatch_stddev: int = 0
    """Tell the discriminator's last layer how much so many neighbours of the batch differ: against mode collapse; 0 is
    off."""
    instance_noise: float = 0.0
    """Standard deviation of normal noise on all that the discriminator sees; 0 is off."""
    instance_noise_steps: int = 0
    """Updates in which that noise falls to 0, in a straight line; 0 keeps it."""
    augment: str = NO_AUGMENT
    """Random changes of all images that the discriminator sees (DiffAugment), for few data: some of translation, cutout
    and brightness, joined by commas, or none."""
    lecam: float = 0.0
    """Weight of LeCam regularisation, for few data (0.3 in its users' code); 0 is off."""
    unrolled_steps: int = 0
    """Let the generator learn against the discriminator of so many more updates, and by how it would change them; they
    are then taken back (unrolled GAN): against mode collapse. Not with BatchNorm in D, a penalty or spectral weights
    (wgan-gp, r3gan and sngan have one unless told otherwise), nor in rnn, acgan and infogan; 0 is off."""
    gradient_clip: float = 0.0
    """Scale each player's gradient down to this norm; 0 is off."""
    ema: float = 0.0
    """Decay of the moving average of the generator's weights that samples are drawn from; 0 is off."""
    latent_dim: int | None = None
    """Length of z."""
    width: float = 1.0
    """Factor on the hidden units of both networks."""
    norm: str | None = None
    """batch, layer or none, in presets that have the choice."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    health_every: int = 50
    """Steps between measurements of the health monitor, which warns of known failures; 0 is off."""
    sample_every: int = 100
    """Steps between sample grids; 0 is only at the end."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0 is only at the end."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints to keep."""

    def resolved(self) -> "TrainConfig":
        """The configuration with every choice made by the preset, and by this machine, filled in.

        Raises:
            UserError: a value out of range, or one that does not go with another.
        """
        preset = get_preset(self.preset)
        recipe = dataclasses.asdict(preset.recipe)
        epochs, weight = recipe.pop("epochs"), recipe.pop("penalty_weight")
        filled: dict[str, Any] = {name: value for name, value in recipe.items() if getattr(self, name) is None}
        if self.lr is not None:
            filled.pop("lr_g", None)  # a rate for both players
        adam = (self.optimizer or recipe["optimizer"]) == "adam"
        for name, value in zip(("beta1", "beta2"), ADAM_BETAS, strict=True):
            if getattr(self, name) is None:
                filled[name] = (value if recipe[name] is None else recipe[name]) if adam else None
        penalty = self.penalty or recipe["penalty"]
        if self.weight_clip is None and recipe["loss"] is not None:
            bounded = penalty != NO_PENALTY or (self.weight_norm or recipe["weight_norm"]) == "spectral"
            clipped = (self.loss or recipe["loss"]) == "wasserstein" and not bounded
            filled["weight_clip"] = WASSERSTEIN_CLIP if clipped else 0.0
        if self.penalty_weight is None and penalty in PENALTIES:
            filled["penalty_weight"] = weight if penalty == recipe["penalty"] else PENALTIES[penalty].weight
        filled["preset"] = preset.name
        if self.backend == "auto":
            filled["backend"] = kernels.fastest()
        if self.steps is None and self.epochs is None:
            filled["epochs"] = epochs
        config = dataclasses.replace(self, **filled)
        check(config, preset)
        return config

    def to_dict(self) -> dict[str, Any]:
        """For config.toml: the fields by name, without those that are None."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, table: dict[str, Any], where: Path) -> "TrainConfig":
        """Back from config.toml.

        Raises:
            UserError: a field is unknown, missing or of the wrong type.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(table) - set(fields))
        if unknown:
            raise UserError(f"{where}: unknown field {unknown[0]!r}")
        if "preset" not in table:
            raise UserError(f"{where}: there is no preset in it")
        for name, value in table.items():
            expected, *_ = typing.get_args(fields[name].type) or (fields[name].type,)
            if type(value) is not expected and (type(value), expected) != (int, float):
                raise UserError(f"{where}: {name} should be of type {expected.__name__}, got {value!r}")
        return cls(**table)
