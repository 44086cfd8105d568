"""What is wrong with a configuration: values out of range, and those that do not go with another.

Each check raises UserError for the first such value, in one line with its name. Whether the data fit is for the
networks to say, which are made next.
"""

import dataclasses
from typing import TYPE_CHECKING

from ..errors import UserError
from ..losses import get_loss
from ..optim import OPTIMIZERS, SCHEDULES
from ..penalties import LARGEST_WEIGHT, get_penalty
from ..presets import NO_PENALTY, WEIGHT_NORMS, Preset
from ..reconstruction import RECONSTRUCTIONS
from .stability import check_stability

if TYPE_CHECKING:
    from .config import TrainConfig

OF_A_DISCRIMINATOR = ("loss", "label_smoothing", "lr_g", "lr_d", "weight_norm", "weight_clip")
OF_A_GAN = (
    "n_critic", "penalty", "penalty_weight", "penalty_every", "penalty_weight_end", "penalty_weight_steps", "pack",
    "minibatch_stddev", "instance_noise", "instance_noise_steps", "augment", "lecam", "unrolled_steps",
)  # fmt: skip
"""What only presets take whose discriminator judges anything, and samples."""

AT_LEAST = {
    "steps": 1,
    "epochs": 1,
    "image_size": 1,
    "batch_size": 2,  # batch statistics of one sample are degenerate
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
"""Whole numbers, and the smallest of each."""

ABOVE_ZERO = ("lr", "lr_g", "lr_d", "width")
NOT_NEGATIVE = ("weight_decay", "weight_clip", "gradient_clip")
WEIGHTS = ("auxiliary_weight", "divergence_weight", "instance_noise", "lecam", "penalty_weight_end")
DECAYS = ("beta1", "beta2", "momentum", "ema")
NAMED = {
    "optimizer": OPTIMIZERS,
    "schedule": tuple(SCHEDULES),
    "weight_norm": WEIGHT_NORMS,
    "reconstruction": tuple(RECONSTRUCTIONS),
}
"""What is chosen by name, from what."""

OF_AN_OPTIMIZER = {"sgd": ("momentum", "nesterov"), "adam": ("beta1", "beta2", "amsgrad")}


def check(config: "TrainConfig", preset: Preset) -> None:
    """Raise UserError for the first value of a resolved configuration that makes no sense."""
    _check_kind(config, preset)
    if config.steps is not None and config.epochs is not None:
        raise UserError(f"give steps or epochs, not both (got {config.steps} and {config.epochs})")
    _check_ranges(config)
    _check_names(config)
    _check_optimizer(config)
    _check_loss(config)
    check_stability(config)
    if preset.recipe.norm is None and config.norm is not None:
        raise UserError(f"norm: {preset.name} has no choice of norm, got {config.norm}")


def _check_kind(config: "TrainConfig", preset: Preset) -> None:
    """Values that belong to another kind of preset."""
    if preset.auxiliary is None and config.auxiliary_weight is not None:
        raise UserError(f"auxiliary_weight: the discriminator of {preset.name} has but one head")
    if preset.recipe.reconstruction is None and config.reconstruction is not None:
        raise UserError(f"reconstruction: {preset.name} is no autoencoder")
    if preset.recipe.divergence_weight is None and config.divergence_weight is not None:
        raise UserError(f"divergence_weight: {preset.name} is no variational autoencoder")
    refused: tuple[str, ...] = () if preset.algorithm == "adversarial" else OF_A_GAN
    reason = "has a discriminator of codes alone"
    if preset.recipe.loss is None:
        refused, reason = OF_A_DISCRIMINATOR + OF_A_GAN, "has no discriminator"
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in refused:
        if getattr(config, name) != defaults[name]:
            raise UserError(f"{name}: {preset.name} {reason}, got {getattr(config, name)}")


def _check_ranges(config: "TrainConfig") -> None:
    """Numbers out of range; None is none."""
    for name, least in AT_LEAST.items():
        value = getattr(config, name)
        if value is not None and value < least:
            raise UserError(f"{name}: expected a whole number of at least {least}, got {value}")
    if config.seed >= 1 << 63:
        raise UserError(f"seed: expected a number below 2**63, got {config.seed}")
    for name in ABOVE_ZERO:
        value = getattr(config, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{name}: expected a number above 0, got {value}")
    for name in NOT_NEGATIVE:
        value = getattr(config, name)
        if value is not None and not 0 <= value < float("inf"):
            raise UserError(f"{name}: expected a number of at least 0, got {value}")
    for name in WEIGHTS:
        value, limit = getattr(config, name), LARGEST_WEIGHT
        if name == "penalty_weight_end":
            limit /= config.penalty_every  # as many times as heavy
        if value is not None and not 0 <= value < limit:
            raise UserError(f"{name}: expected a number of at least 0 and below {limit:g}, got {value}")
    for name in DECAYS:
        value = getattr(config, name)
        if value is not None and not 0 <= value < 1:
            raise UserError(f"{name}: expected a number in [0, 1), got {value}")


def _check_names(config: "TrainConfig") -> None:
    """Names of nothing; and channels, which only two numbers can be."""
    for name, choices in NAMED.items():
        if getattr(config, name) not in (None, *choices):
            raise UserError(f"{name}: expected one of {', '.join(choices)}, got {getattr(config, name)!r}")
    if config.channels not in (None, 1, 3):
        raise UserError(f"channels: expected 1 or 3, got {config.channels}")


def _check_optimizer(config: "TrainConfig") -> None:
    """Settings of another optimizer."""
    for owner, names in OF_AN_OPTIMIZER.items():
        for name in names:
            if config.optimizer != owner and getattr(config, name):
                raise UserError(f"{name} belongs to {owner}, the optimizer is {config.optimizer}")
    if config.nesterov and not config.momentum:
        raise UserError("nesterov needs a momentum above 0")


def _check_loss(config: "TrainConfig") -> None:
    """What the loss and the penalty have against their own settings."""
    if config.loss is not None:
        try:
            get_loss(config.loss, config.label_smoothing)
        except ValueError as error:
            raise UserError(str(error)) from None
    if config.penalty in (None, NO_PENALTY) and (config.penalty_weight is not None or config.penalty_every != 1):
        raise UserError("penalty_weight and penalty_every belong to a penalty, and there is none: leave them out")
    if config.penalty not in (None, NO_PENALTY):
        try:
            weight = config.penalty_weight
            get_penalty(str(config.penalty), None if weight is None else weight * config.penalty_every)
        except ValueError as error:
            raise UserError(str(error)) from None
