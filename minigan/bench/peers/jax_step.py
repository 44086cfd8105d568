"""A training step in JAX, jit-compiled as a whole: the algorithm of `minigan.training.updates`.

The running statistics of BatchNorm, which only sampling needs, are left out.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from kernels.types import Array

from ...params import ParamSet
from ...training.trainer import Trainer
from .jax_net import apply
from .losses import LOSSES

softplus = jax.nn.softplus


class JaxGan:
    """The networks, parameters and optimizers of a trainer in JAX, and one real batch in memory."""

    def __init__(self, trainer: Trainer, x: Array) -> None:
        jax.config.update("jax_platforms", "cpu")
        self.config, self.loss = trainer.config, LOSSES[str(trainer.config.loss)]
        self.generator, self.discriminator = trainer.generator, trainer.discriminator
        self.x = jnp.array(x)
        players = {"g": trainer.params_g, "d": trainer.params_d}
        self.state = {name: {"p": _copied(p), "m": _zeros(p), "v": _zeros(p)} for name, p in players.items()}
        self.steps_done = 0
        self._key = jax.random.key(0)
        self._update = jax.jit(self._both, static_argnames="train_g", donate_argnums=0)
        self._draw_and_update = jax.jit(self._draw_and_both, static_argnames="train_g", donate_argnums=0)

    def step(self) -> None:
        """An update of the discriminator and, as often as due, one of the generator."""
        self._run(self._draw_and_update, self._key)

    def update(self, z_d: Array, z_g: Array) -> tuple[Any, Any]:
        """The step on given latents; both losses, the generator's None where it was not updated."""
        return self._run(self._update, (z_d, z_g))

    def _run(self, function: Any, source: Any) -> tuple[Any, Any]:
        self.steps_done += 1
        train_g = self.steps_done % (self.config.n_critic or 1) == 0
        self.state, losses = function(self.state, self.x, source, jnp.int32(self.steps_done), train_g=train_g)
        jax.block_until_ready((self.state, losses))
        return losses

    def _draw_and_both(self, state: Any, x: Any, key: Any, t: Any, train_g: bool) -> Any:
        keys = jax.random.split(jax.random.fold_in(key, t))
        shape = (len(x), self.config.latent_dim)
        return self._both(state, x, tuple(jax.random.normal(own, shape) for own in keys), t, train_g)

    def _both(self, state: Any, x: Any, latents: Any, t: Any, train_g: bool) -> Any:
        d, g = state["d"], state["g"]
        d_value, slope = jax.value_and_grad(self._d_loss)(d["p"], g["p"], x, latents[0])
        d = self._apply(d, slope, t)
        if self.config.weight_clip:
            limit = self.config.weight_clip
            d["p"] = jax.tree.map(lambda a: a.clip(-limit, limit), d["p"])
        if not train_g:
            return {"d": d, "g": g}, (d_value, None)
        g_value, slope = jax.value_and_grad(self._g_loss)(g["p"], d["p"], latents[1])
        return {"d": d, "g": self._apply(g, slope, t // (self.config.n_critic or 1))}, (d_value, g_value)

    def _d_loss(self, p_d: Any, p_g: Any, x: Any, z: Any) -> Any:
        fake = apply(self.generator, p_g, z)
        discriminate = partial(apply, self.discriminator, p_d)
        if self.discriminator.group is not None:
            real_logits, fake_logits = jnp.split(discriminate(jnp.concatenate([x, fake])), 2)
        else:
            real_logits, fake_logits = discriminate(x), discriminate(fake)
        return self.loss.d(softplus, real_logits, fake_logits)

    def _g_loss(self, p_g: Any, p_d: Any, z: Any) -> Any:
        return self.loss.g(softplus, apply(self.discriminator, p_d, apply(self.generator, p_g, z)))

    def _apply(self, own: Any, slope: Any, t: Any) -> Any:
        """One update of the configured optimizer; formulas as in `kernels.reference.updates`."""
        config, lr = self.config, float(self.config.lr or 0)
        if config.optimizer == "sgd":
            return own | {"p": jax.tree.map(lambda p, g: p - lr * g, own["p"], slope)}
        if config.optimizer == "rmsprop":
            v = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, own["v"], slope)
            p = jax.tree.map(lambda p, g, v: p - lr * g / (jnp.sqrt(v) + 1e-8), own["p"], slope, v)
            return {"p": p, "m": own["m"], "v": v}
        b1, b2 = float(config.beta1 or 0), float(config.beta2 or 0)
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, own["m"], slope)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, own["v"], slope)
        rate, unbiased = lr / (1 - b1**t), 1 / (1 - b2**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v * unbiased) + 1e-8), own["p"], m, v)
        return {"p": p, "m": m, "v": v}


def _copied(params: ParamSet) -> dict[str, Any]:
    return {path: jnp.array(view) for path, view in params.trainable().items()}


def _zeros(params: ParamSet) -> dict[str, Any]:
    return {path: jnp.zeros(view.shape, view.dtype) for path, view in params.trainable().items()}
