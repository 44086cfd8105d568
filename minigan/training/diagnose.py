"""When a gradient is not finite: find the first place where a NaN or an infinity appears."""

from typing import Any

import numpy as np

from kernels import Ops, Use
from kernels.types import Array

from ..layer import Layer, Params, Sequential
from .trainer import Trainer
from .updates import d_grad, g_grad


class NonFiniteError(RuntimeError):
    """Training stopped because a gradient held a NaN or an infinity; the message names where it first shows."""


def first_non_finite(trainer: Trainer, x: Array) -> str:
    """Replay the last step on x and name what first held a NaN or an infinity.

    The weights are those after the step, in which the update that failed was left out; where the other player's update
    has cured the cause, the answer says so.
    """
    if not np.isfinite(x).all():
        return "the batch of real data itself"
    p_d = trainer.d.effective(iterate=False)
    step, z_shape = trainer.steps_done - 1, (len(x), int(trainer.config.latent_dim or 0))
    # The players share one stream of random numbers, so from the start of the step each draws what it drew then.
    trainer.d.ops.begin_step(step)
    for player, use in ((trainer.d, Use.LATENT_D), (trainer.g, Use.LATENT_G)):
        ops = player.ops
        ops.workspace.reset()
        z = ops.random_normal(z_shape, use)
        found, fake = _first_bad_layer(ops, trainer.generator, trainer.params_g, z, "generator")
        for name, batch in (("real", x), ("fake", fake)):
            if found is None:
                found, _ = _first_bad_layer(ops, trainer.discriminator, p_d, batch, "discriminator")
                found = found and f"{found}, on {name} data"
        if found is not None:
            return f"the output of {found}"
    gradients = ((d_grad, trainer.d, Use.LATENT_D, "discriminator"), (g_grad, trainer.g, Use.LATENT_G, "generator"))
    gan = trainer.penalised(step)
    trainer.d.ops.begin_step(step)
    for gradient, player, use, name in gradients:
        player.ops.workspace.reset()
        z = player.ops.random_normal(z_shape, use)
        gradient(player.ops, gan, trainer.params_g, p_d, x, z, player.zero_grad())
        for path, g in reversed(player.grads.trainable().items()):
            if not np.isfinite(g).all():
                return f"the gradient of {name}/{path}"
    return "nothing that shows again when the step is repeated"


def _first_bad_layer(ops: Ops, layer: Layer, p: Params, x: Any, path: str) -> tuple[str | None, Any]:
    """(path of the first leaf whose output is not finite or None, output); Sequentials are opened."""
    if isinstance(layer, Sequential):
        for name, child in layer.children().items():
            found, x = _first_bad_layer(ops, child, p.sub(name), x, f"{path}/{name}")
            if found is not None:
                return found, x
        return None, x
    y, _ = layer.forward(ops, p, x)
    return (None if np.isfinite(y).all() else path), y
