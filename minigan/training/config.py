"""The configuration of a run: what a user may set, what a preset fills in, and what config.toml holds."""

import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kernels

from ..errors import UserError
from ..losses import get_loss
from ..optim import OPTIMIZERS, SCHEDULES
from ..penalties import LARGEST_WEIGHT, PENALTIES, get_penalty
from ..presets import ADAM_BETAS, NO_AUGMENT, NO_PENALTY, WEIGHT_NORMS, Preset, get_preset
from ..reconstruction import RECONSTRUCTIONS
from .stability import check_stability

WASSERSTEIN_CLIP = 0.01
"""A Wasserstein critic without bound on its slope grows without end; Arjovsky et al. 2017 clip its weights to this. A
gradient penalty or spectral normalisation bounds the slope itself."""

OF_A_DISCRIMINATOR = ("loss", "label_smoothing", "lr_g", "lr_d", "weight_norm", "weight_clip")
OF_A_GAN = (
    "n_critic", "penalty", "penalty_weight", "penalty_every", "penalty_weight_end", "penalty_weight_steps", "pack",
    "minibatch_stddev", "instance_noise", "instance_noise_steps", "augment", "lecam", "unrolled_steps",
)  # fmt: skip
"""What only presets take whose discriminator judges anything, and samples."""

SMALLEST_BATCH = 2  # batch statistics of one sample are degenerate


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
    capture: bool = False
    """Run updates as CUDA graphs from their third time on, the data set in the device's memory if it fits; cuda
    only."""
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
        config._check(preset)
        return config

    def _check(self, preset: Preset) -> None:
        """Raise UserError for the first value that makes no sense."""
        self._check_kind(preset)
        if self.steps is not None and self.epochs is not None:
            raise UserError(f"give steps or epochs, not both (got {self.steps} and {self.epochs})")
        at_least = {
            "steps": 1,
            "epochs": 1,
            "image_size": 1,
            "batch_size": SMALLEST_BATCH,
            "seed": 0,
            "n_critic": 1,
            "penalty_every": 1,
            "penalty_weight_steps": 0,
            "pack": 1,
            "minibatch_stddev": 0,
            "instance_noise_steps": 0,
            "unrolled_steps": 0,
            "latent_dim": 1,
            "log_every": 1,
            "health_every": 0,
            "sample_every": 0,
            "checkpoint_every": 0,
            "keep_checkpoints": 1,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name}: expected a whole number of at least {least}, got {value}")
        if self.seed >= 1 << 63:
            raise UserError(f"seed: expected a number below 2**63, got {self.seed}")
        for name in ("lr", "lr_g", "lr_d", "width"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{name}: expected a number above 0, got {value}")
        for name in ("weight_decay", "weight_clip", "gradient_clip"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise UserError(f"{name}: expected a number of at least 0, got {value}")
        for name in ("auxiliary_weight", "divergence_weight", "instance_noise", "lecam", "penalty_weight_end"):
            value, limit = getattr(self, name), LARGEST_WEIGHT
            if name == "penalty_weight_end":
                limit /= self.penalty_every  # as many times as heavy
            if value is not None and not 0 <= value < limit:
                raise UserError(f"{name}: expected a number of at least 0 and below {limit:g}, got {value}")
        for name in ("beta1", "beta2", "momentum", "ema"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"{name}: expected a number in [0, 1), got {value}")
        named = (
            ("optimizer", OPTIMIZERS),
            ("schedule", tuple(SCHEDULES)),
            ("weight_norm", WEIGHT_NORMS),
            ("reconstruction", tuple(RECONSTRUCTIONS)),
        )
        for name, choices in named:
            if getattr(self, name) not in (None, *choices):
                raise UserError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.channels not in (None, 1, 3):
            raise UserError(f"channels: expected 1 or 3, got {self.channels}")
        for owner, names in (("sgd", ("momentum", "nesterov")), ("adam", ("beta1", "beta2", "amsgrad"))):
            for name in names:
                if self.optimizer != owner and getattr(self, name):
                    raise UserError(f"{name} belongs to {owner}, the optimizer is {self.optimizer}")
        if self.nesterov and not self.momentum:
            raise UserError("nesterov needs a momentum above 0")
        if self.loss is not None:
            try:
                get_loss(self.loss, self.label_smoothing)
            except ValueError as error:
                raise UserError(str(error)) from None
        if self.penalty in (None, NO_PENALTY) and (self.penalty_weight is not None or self.penalty_every != 1):
            raise UserError("penalty_weight and penalty_every belong to a penalty, and there is none: leave them out")
        if self.penalty not in (None, NO_PENALTY):
            try:
                weight = self.penalty_weight
                get_penalty(str(self.penalty), None if weight is None else weight * self.penalty_every)
            except ValueError as error:
                raise UserError(str(error)) from None
        check_stability(self)
        if preset.recipe.norm is None and self.norm is not None:
            raise UserError(f"norm: {preset.name} has no choice of norm, got {self.norm}")

    def _check_kind(self, preset: Preset) -> None:
        """Raise UserError for the first value that belongs to another kind of preset."""
        if preset.auxiliary is None and self.auxiliary_weight is not None:
            raise UserError(f"auxiliary_weight: the discriminator of {preset.name} has but one head")
        if preset.recipe.reconstruction is None and self.reconstruction is not None:
            raise UserError(f"reconstruction: {preset.name} is no autoencoder")
        if preset.recipe.divergence_weight is None and self.divergence_weight is not None:
            raise UserError(f"divergence_weight: {preset.name} is no variational autoencoder")
        refused: tuple[str, ...] = () if preset.algorithm == "adversarial" else OF_A_GAN
        reason = "has a discriminator of codes alone"
        if preset.recipe.loss is None:
            refused, reason = OF_A_DISCRIMINATOR + OF_A_GAN, "has no discriminator"
        defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
        for name in refused:
            if getattr(self, name) != defaults[name]:
                raise UserError(f"{name}: {preset.name} {reason}, got {getattr(self, name)}")

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
