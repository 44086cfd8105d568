"""What a configuration says of the cures for an unstable game: what is fitted to D, and what changes on the way."""

import math
from typing import TYPE_CHECKING

from ..errors import UserError
from ..presets import NO_PENALTY, Fittings

if TYPE_CHECKING:
    from .config import TrainConfig


def fittings(config: "TrainConfig") -> Fittings:
    """The layers that are added to the discriminator."""
    return Fittings(config.instance_noise, config.augment, config.pack, config.minibatch_stddev)


def check_stability(config: "TrainConfig") -> None:
    """Raise UserError for the first value that does not go with another."""
    if config.minibatch_stddev == 1:
        raise UserError("minibatch_stddev: expected 0 or at least 2, got 1: one sample does not differ from itself")
    group = config.pack * max(config.minibatch_stddev, 1)
    if config.batch_size is not None and config.batch_size % group:
        named = (("pack", config.pack, 1), ("minibatch_stddev", config.minibatch_stddev, 0))
        cause = " times ".join(f"{name} {value}" for name, value, off in named if value != off)
        raise UserError(f"batch_size: {config.batch_size} samples cannot be cut into groups of {group} ({cause})")
    if config.instance_noise_steps and not config.instance_noise:
        raise UserError("instance_noise_steps belongs to instance_noise, which is 0")
    if (config.penalty_weight_end is None) != (config.penalty_weight_steps == 0):
        raise UserError("penalty_weight_end and penalty_weight_steps go together: give both or neither")
    if config.penalty_weight_end is not None and config.penalty == NO_PENALTY:
        raise UserError("penalty_weight_end belongs to a penalty, and there is none: leave it out")


def noise_at(config: "TrainConfig", step: int) -> float:
    """The standard deviation of instance noise in a step: a straight line to 0, where it is to fall."""
    steps = config.instance_noise_steps
    return config.instance_noise * (max(0.0, 1 - step / steps) if steps else 1.0)


def penalty_weight_at(config: "TrainConfig", step: int) -> float:
    """The penalty's weight in a step: from its start to its end along half a cosine, then at its end."""
    start, end = float(config.penalty_weight or 0), config.penalty_weight_end
    if end is None:
        return start
    done = min(step / config.penalty_weight_steps, 1.0)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))
