"""A player: a network's parameters, gradient, optimizer and memory, how it is made, and how a gradient is applied."""

from collections.abc import Mapping
from typing import Any

import kernels
from kernels import CounterRng, Ops
from kernels.types import Array

from ..errors import UserError
from ..layer import Layer, Note
from ..optim import SCHEDULES, SGD, Adam, Optimizer, RMSprop, clip_weights
from ..params import ParamSet
from ..presets import Network
from ..spectral_norm import SpectralNorm
from .config import TrainConfig


class Player:
    """One side of the game.

    Attributes:
        name: "generator" or "discriminator"; it tells their initial values and their tensors in a checkpoint apart.
        params, grads: ParamSets of the network.
        optimizer: the one that it learns by.
        optimizers: that one under the player's name, and others for other losses, each with moments and a count of its
            own.
        spectral_norm: the reparametrisation of the weights, None for none.
        weight_clip: limit of the weights after each update, 0 for none.
        ops: the operations, with a workspace of this player's own.
    """

    def __init__(
        self,
        name: str,
        network: Layer,
        in_shape: Any,
        ops: Ops,
        config: TrainConfig,
        lr: float,
        weight_clip: float = 0.0,
        spectral_norm: bool = False,
    ) -> None:
        self.name, self.network, self.ops, self.config = name, network, ops, config
        self.params = network.init(config.seed, in_shape, ops.dtype, player=name).on(ops)
        self.grads = self.params.like()
        self.spectral_norm = SpectralNorm(ops, self.params, config.seed) if spectral_norm else None
        self.optimizer = make_optimizer(config, self.params, lr)
        self.optimizers = {name: self.optimizer}
        self.weight_clip = weight_clip

    def zero_grad(self) -> ParamSet:
        """Clear the gradient and return it."""
        self.grads.clear(self.ops)
        return self.grads

    def effective(self, iterate: bool) -> ParamSet:
        """The parameters that the network plays with: those that it learns, or what spectral normalisation makes of it.

        `iterate`: in the player's own update, once.
        """
        if self.spectral_norm is None:
            return self.params
        return self.spectral_norm.prepare(self.ops, self.params, iterate)

    def add_optimizer(self, name: str) -> None:
        """One more optimizer with the same settings, for the gradients of another loss."""
        self.optimizers[name] = make_optimizer(self.config, self.params, self.optimizer.lr)

    def apply(self, step: int, steps: int, cache: Note, optimizer: str | None = None) -> None:
        """Clip and apply the gradient at `step` of `steps`, then learn running statistics from `cache`.

        `optimizer`: name of the one to use, by default the player's own.
        """
        if self.spectral_norm is not None:
            self.spectral_norm.pull_back(self.ops, self.grads)
        if self.config.gradient_clip:
            self.ops.clip_norm(self.grads.flat, self.config.gradient_clip)
        self.optimizers[optimizer or self.name].step(self.ops, self.params, self.grads, self.rate(step, steps))
        if self.weight_clip:
            clip_weights(self.ops, self.params, self.weight_clip)
        self.network.update_state(self.ops, self.params, cache)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` of `steps`."""
        return self.optimizer.lr * SCHEDULES[self.config.schedule](step, steps)

    @property
    def skipped(self) -> int:
        """How many updates were left out because the gradient was not finite."""
        return sum(int(self.ops.to_host(optimizer.skipped)) for optimizer in self.optimizers.values())

    def tensors(self) -> dict[str, Array]:
        """Everything a checkpoint must hold of this player, by name, where it is."""
        tensors = {f"{self.name}/{path}": view for path, view in self.params.named.items()}
        for name, optimizer in self.optimizers.items():
            for moment, values in optimizer.moments.items():
                tensors |= {f"optimizer_{name}/{moment}/{path}": view for path, view in values.trainable().items()}
        if self.spectral_norm is not None:
            tensors |= {f"spectral_norm_{self.name}/{path}": a for path, a in self.spectral_norm.state.items()}
        return tensors


def make_players(config: TrainConfig, networks: Mapping[str, Network], rng: CounterRng) -> dict[str, Player]:
    """The players of a preset by name, each with its own rate; D may have its weights clipped or normalised too.

    Each has operations with a workspace of their own, on the common stream of random numbers.

    Raises:
        UserError: there is no such backend here.
    """
    players = {}
    for name, network in networks.items():
        judges = name == "discriminator"
        lr = (config.lr_d if judges else config.lr_g) or float(config.lr or 0)
        clip, sn = (config.weight_clip or 0.0, config.weight_norm == "spectral") if judges else (0.0, False)
        try:
            ops = kernels.get_ops(config.backend, rng=rng)
        except ValueError as error:
            raise UserError(f"backend: {error}") from None
        players[name] = Player(name, network.layer, network.in_shape, ops, config, lr, clip, sn)
    return players


def make_optimizer(config: TrainConfig, params: ParamSet, lr: float) -> Optimizer:
    """The optimizer that a resolved configuration names."""
    if config.optimizer == "sgd":
        return SGD(params, lr, config.momentum, config.nesterov, config.weight_decay)
    if config.optimizer == "rmsprop":
        return RMSprop(params, lr, weight_decay=config.weight_decay)
    assert config.beta1 is not None
    assert config.beta2 is not None
    return Adam(params, lr, config.beta1, config.beta2, weight_decay=config.weight_decay, amsgrad=config.amsgrad)
