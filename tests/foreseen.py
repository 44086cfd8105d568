"""A small GAN in float64 whose G foresees D's updates, as `Adversarial` plays it, at a point where all is smooth."""

from typing import Any, NamedTuple

import numpy as np

import kernels
from kernels import CounterRng
from minigan import TrainConfig
from minigan.layer import Layer
from minigan.layers import (
    Concat,
    Conv2d,
    Dense,
    Flatten,
    Fork,
    LayerNorm,
    MinibatchStddev,
    Pack,
    Parallel,
    Projection,
    Reshape,
    Residual,
    Sequential,
)
from minigan.params import ParamSet
from minigan.training.adversarial import Adversarial
from minigan.training.algorithm import Batch
from minigan.training.player import Player

N, LATENT, CLASSES = 4, 3, 3
DISCRIMINATORS: dict[str, Layer] = {
    "tanh": Sequential(Flatten(), Dense(2, 7, "tanh"), Dense(7, 5, "softplus"), Dense(5, 1)),
    "relu": Sequential(Dense(2, 7, "leaky_relu"), Dense(7, 5, "relu"), Dense(5, 1)),
    "norm": Sequential(Dense(2, 6, "tanh"), LayerNorm(6, 0.1, "elu"), Residual(Dense(6, 6, "tanh")), Dense(6, 1)),
    "convolution": Sequential(
        Dense(2, 9, "tanh"),
        Reshape(3, 3, 1),
        Conv2d(1, 2, 3, stride=2, padding=1, activation="tanh"),
        Flatten(),
        Dense(8, 1),
    ),
    "fork": Sequential(Fork(Dense(2, 4, "tanh"), Dense(2, 3, "softplus")), Concat(), Dense(7, 1)),
    "packs": Sequential(Pack(2), Dense(4, 6, "tanh"), MinibatchStddev(2, 0.1), Dense(7, 1)),
    "labels": Sequential(Parallel(Dense(2, 6, "tanh"), Sequential()), Projection(6, CLASSES)),
}


class Foreseen(NamedTuple):
    """A game at one point of a run."""

    config: TrainConfig
    algorithm: Adversarial
    players: dict[str, Player]
    rng: CounterRng
    batch: Batch

    def play(self) -> tuple[float, ParamSet]:
        """G's loss after the updates that it foresees, and its gradient in G's weights."""
        self.rng.begin(0)
        for player in self.players.values():
            player.ops.workspace.reset()
        own = self.players["generator"]
        own.zero_grad()
        outcome = self.algorithm.generator_gradient(self.batch)
        return float(outcome.losses["g"]), own.grads


def game(discriminator: str, steps: int, seed: int = 0, backend: str = "numpy", **settings: Any) -> Foreseen:
    """The moments are those of an optimizer on its way: at its first step Adam takes the sign of a gradient."""
    preset = "cgan" if discriminator == "labels" else "mlp"
    settings = {"lr": 0.05, **({"norm": "none"} if preset == "cgan" else {}), **settings}
    config = TrainConfig(preset, unrolled_steps=steps, backend=backend, latent_dim=LATENT, **settings).resolved()
    told = preset == "cgan"
    body = Sequential(Dense(LATENT, 6, "tanh"), Dense(6, 2))
    generator: Layer = Told(body) if told else body
    rng, random = CounterRng(seed), np.random.default_rng(seed)
    players = {}
    for name, network, size in (("generator", generator, LATENT), ("discriminator", DISCRIMINATORS[discriminator], 2)):
        in_shape = ((size,), ()) if told else (size,)
        ops = kernels.get_ops(backend, dtype=np.float64, rng=rng)
        clip = (config.weight_clip or 0.0) if name == "discriminator" else 0.0
        players[name] = player = Player(name, network, in_shape, ops, config, float(config.lr or 0), clip)
        for view in player.params.trainable().values():
            view += 0.5 * random.standard_normal(view.shape)
        for moments in player.optimizer.moments.values():
            for view in moments.trainable().values():
                view[...] = 0.01 * random.uniform(0.5, 2, view.shape)
        player.optimizer.count = 3
    labels = random.integers(0, CLASSES, N) if told else None
    batch = Batch(0, random.standard_normal((N, 2)), labels)
    return Foreseen(config, Adversarial(config, players), players, rng, batch)


class Told(Sequential):
    """A generator that is told a label, and heeds it not."""

    def spec(self, in_shape: Any) -> Any:
        return super().spec(in_shape[0])

    def forward(self, ops: Any, p: Any, x: Any, train: bool = True) -> Any:
        return super().forward(ops, p, x[0], train)
