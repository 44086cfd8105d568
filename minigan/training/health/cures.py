"""What usually helps against each failure: flags of `minigan train`, fitted to how the run was started.

A cure that the run has already, or that does not go with its loss or its preset, is not offered.
"""

from collections.abc import Callable
from typing import TypeAlias

from ...presets import NO_PENALTY, get_preset
from ..config import TrainConfig

Cure: TypeAlias = Callable[[TrainConfig], str | None]
"""The flags, None where they do not fit; the configuration is a resolved one."""


def rate(player: str, factor: float) -> Cure:
    """Another learning rate for the generator ("g") or the discriminator ("d")."""

    def flags(config: TrainConfig) -> str:
        value = getattr(config, f"lr_{player}") or config.lr or 0.0
        return f"--lr-{player} {_rounded(value * factor)}"

    return flags


def rates(factor: float) -> Cure:
    """Other learning rates for both players: one flag, where none of them has a rate of its own."""

    def flags(config: TrainConfig) -> str:
        if config.lr_g is None and config.lr_d is None:
            return f"--lr {_rounded((config.lr or 0.0) * factor)}"
        return f"{rate('g', factor)(config)} {rate('d', factor)(config)}"

    return flags


def regularised_pairs(config: TrainConfig) -> str | None:
    """The game whose D compares samples with data, with R1: together they keep all modes (Huang et al. 2024)."""
    loss = "" if config.loss == "relativistic-paired" or config.label_smoothing else "--loss relativistic-paired"
    r1 = "--penalty r1" + _norm(config) if _penalisable(config) else ""
    return f"{loss} {r1}".strip() or None


def non_saturating(config: TrainConfig) -> str | None:
    """The game whose gradient is largest where D rejects."""
    return "--loss non-saturating" if config.loss == "minimax" else None


def slower_discriminator(config: TrainConfig) -> str | None:
    """Under the one loss that G cannot learn from once D is sure."""
    return rate("d", 0.25)(config) if config.loss == "minimax" else None


def penalty(config: TrainConfig) -> str | None:
    """The usual gradient penalty of the loss, on a discriminator without BatchNorm."""
    if not _penalisable(config):
        return None
    name = "wgan-gp" if config.loss == "wasserstein" else "r1"
    return f"--penalty {name}" + _norm(config)


def clipping(config: TrainConfig) -> str | None:
    """Gradients of bounded norm."""
    return None if config.gradient_clip else "--gradient-clip 1"


def packs(config: TrainConfig) -> str | None:
    """A discriminator that sees several samples at once, and so sees that they are alike."""
    preset = get_preset(config.preset)
    wanted = config.pack == 1 and preset.condition is None and preset.algorithm == "adversarial"
    return "--pack 2" if wanted and (config.batch_size or 0) % (2 * max(config.minibatch_stddev, 1)) == 0 else None


def critic_updates(config: TrainConfig) -> str | None:
    """More updates of D for each of G."""
    return "--n-critic 5" if config.n_critic == 1 else None


def _norm(config: TrainConfig) -> str:
    """What a penalty needs besides."""
    return " --norm layer" if config.norm == "batch" else ""


def _penalisable(config: TrainConfig) -> bool:
    """Whether there is no penalty so far and can be one; unrolled steps would differentiate it a third time."""
    return config.penalty == NO_PENALTY and not config.unrolled_steps and get_preset(config.preset).penalisable


def _rounded(value: float) -> str:
    """To one digit."""
    return f"{float(f'{value:.0e}'):g}"


VANISHING: tuple[Cure, ...] = (non_saturating, penalty, slower_discriminator, rates(0.1))
EXPLODING: tuple[Cure, ...] = (rates(0.1), clipping, penalty)
STRONG: tuple[Cure, ...] = (penalty, rate("d", 0.25))
WEAK: tuple[Cure, ...] = (rate("d", 10.0), rate("g", 0.25), critic_updates)
COLLAPSE: tuple[Cure, ...] = (regularised_pairs, packs, rate("g", 0.25))
