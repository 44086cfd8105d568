"""What usually helps against each failure: flags of `minigan train`, fitted to how the run was started.

A cure that the run has already, or that does not go with its loss or its preset, is not offered.
"""

from collections.abc import Callable
from typing import TypeAlias

from ...losses import SMOOTHABLE
from ...presets import NO_PENALTY, get_preset
from ..config import TrainConfig

Cure: TypeAlias = Callable[[TrainConfig], str | None]
"""The flags, None where they do not fit; the configuration is a resolved one."""


def rate(side: str, factor: float) -> Cure:
    """Another learning rate for the generator ("g"), the discriminator ("d") or both ("")."""
    field = f"lr_{side}" if side else "lr"

    def flags(config: TrainConfig) -> str:
        value = (getattr(config, field) or config.lr or 0.0) * factor
        return f"--{field.replace('_', '-')} {float(f'{value:.0e}'):g}"

    return flags


def regularised_pairs(config: TrainConfig) -> str | None:
    """The game whose D compares samples with data, with R1: together they keep all modes (Huang et al. 2024)."""
    loss = "" if config.loss == "relativistic-paired" or config.label_smoothing else "--loss relativistic-paired"
    r1 = "" if config.penalty != NO_PENALTY else "--penalty r1" + _norm(config)
    return f"{loss} {r1}".strip() or None


def non_saturating(config: TrainConfig) -> str | None:
    """The game whose gradient is largest where D rejects."""
    return "--loss non-saturating" if config.loss == "minimax" else None


def slower_discriminator(config: TrainConfig) -> str | None:
    """Under the one loss that G cannot learn from once D is sure."""
    return rate("d", 0.25)(config) if config.loss == "minimax" else None


def penalty(config: TrainConfig) -> str | None:
    """The usual gradient penalty of the loss, on a discriminator without BatchNorm."""
    if config.penalty != NO_PENALTY:
        return None
    name = "wgan-gp" if config.loss == "wasserstein" else "r1"
    return f"--penalty {name}" + _norm(config)


def smoothing(config: TrainConfig) -> str | None:
    """A real target below 1, so that D has no reason to be sure."""
    return "--label-smoothing 0.1" if config.loss in SMOOTHABLE and not config.label_smoothing else None


def clipping(config: TrainConfig) -> str | None:
    """Gradients of bounded norm."""
    return None if config.gradient_clip else "--gradient-clip 1"


def packs(config: TrainConfig) -> str | None:
    """A discriminator that sees several samples at once, and so sees that they are alike."""
    return "--pack 2" if config.pack == 1 and _takes_fittings(config) else None


def noise(config: TrainConfig) -> str | None:
    """Noise on real and generated samples, so that no discriminator can tell them apart without error."""
    return "--instance-noise 0.1" if not config.instance_noise and _takes_fittings(config) else None


def critic_updates(config: TrainConfig) -> str | None:
    """More updates of D for each of G."""
    return "--n-critic 5" if config.n_critic == 1 else None


def _norm(config: TrainConfig) -> str:
    """What a penalty needs besides."""
    return " --norm layer" if config.norm == "batch" else ""


def _takes_fittings(config: TrainConfig) -> bool:
    """A discriminator that is told labels can have nothing in front of it."""
    return get_preset(config.preset).condition is None


VANISHING: tuple[Cure, ...] = (non_saturating, penalty, slower_discriminator, rate("", 0.1))
EXPLODING: tuple[Cure, ...] = (rate("", 0.1), clipping, penalty)
STRONG: tuple[Cure, ...] = (penalty, noise, smoothing, rate("d", 0.25))
WEAK: tuple[Cure, ...] = (rate("d", 10.0), rate("g", 0.25), critic_updates)
COLLAPSE: tuple[Cure, ...] = (regularised_pairs, packs, rate("g", 0.25))
