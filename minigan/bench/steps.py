"""Whole training steps: minigan's backends against PyTorch and JAX, and how a step's time grows."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from kernels import CounterRng, Use
from kernels.types import Array

from ..layer import Layer
from ..training.config import TrainConfig
from ..training.trainer import Trainer
from . import peers
from .case import Case, Contender, Label
from .layers import leaves

STEPS = (("mlp", 64), ("dcgan", 64), ("dcgan", 128), ("lsgan", 64))
QUICK_STEPS = (("mlp", 64), ("dcgan", 64))
IMAGE_SIZE = 28

SCALED = "dcgan"
SCALING: Mapping[str, Sequence[float]] = {
    "batch size": (8, 16, 32, 64, 128, 256),
    "width": (0.25, 0.5, 1, 2),
    "image size": (16, 28, 40, 64),
}
QUICK_SCALING: Mapping[str, Sequence[float]] = {"batch size": (16, 64), "width": (0.5, 1), "image size": (16, 28)}

CHECKED_STEPS = 2
"""Steps whose losses must agree: those of the second tell whether the first one's update was right."""


def step_cases(quick: bool) -> Iterator[Case]:
    """One step of some presets. With `quick` without torch.compile, which compiles for about a minute."""
    names = [name for name in peers.installed() if not (quick and name == "torch.compile")]
    for preset, batch in QUICK_STEPS if quick else STEPS:
        yield step_case(preset, {"preset": preset, "batch": batch}, names, batch_size=batch)


def scaling_cases(quick: bool) -> Iterator[Case]:
    """One step of `dcgan` with one thing varied: batch size, width of the networks, or size of the images."""
    names = [name for name in peers.installed() if name == "torch"]
    for axis, values in (QUICK_SCALING if quick else SCALING).items():
        for value in values:
            options: dict[str, Any] = {axis.replace(" ", "_"): value}
            yield step_case(SCALED, {"varied": axis, "value": value}, names, **options)


def step_case(
    preset: str,
    labels: Mapping[str, Label],
    names: Sequence[str],
    batch_size: int = 64,
    width: float = 1.0,
    image_size: int = IMAGE_SIZE,
) -> Case:
    """A step of a preset on `batch_size` grey images, for our backends and the peers called `names`."""
    config = TrainConfig(preset, batch_size=batch_size, width=width)
    shape = (image_size, image_size, 1)
    flops = step_flops(Trainer(config, shape), batch_size)
    return Case(labels, partial(_contenders, config, shape, names), flops, tolerance=1e-3)


def step_flops(trainer: Trainer, batch: int) -> int:
    """FLOPs of all products of one step, both players updated.

    Let F_G and F_D be the products of one forward pass; back through a layer they are two, one for the inputs' gradient
    (which the data and the latents do without) and one for the weights'. D's update takes a pass of G, two of D (real
    and fake) and both ways back; G's a pass of both, the inputs' gradients of D, and the way back through G.
    """
    f_g, first_g = _forward_flops(trainer.generator, (trainer.config.latent_dim,))
    f_d, first_d = _forward_flops(trainer.discriminator, trainer.data_shape)
    d_update = f_g + 2 * (f_d + 2 * f_d - first_d)
    g_update = f_g + f_d + f_d + 2 * f_g - first_g
    return batch * (d_update + g_update)


def _forward_flops(network: Layer, in_shape: Any) -> tuple[int, int]:
    """FLOPs of all products of one sample's forward pass, and of the first."""
    flops = [layer.flops(shape) for _, layer, shape in leaves(network, in_shape)]
    return sum(flops), next(filter(None, flops))


def _contenders(config: TrainConfig, shape: tuple[int, int, int], names: Sequence[str]) -> list[Contender]:
    assert config.batch_size is not None
    x = np.random.default_rng(0).uniform(-1, 1, (config.batch_size, *shape)).astype(np.float32)
    result = [_ours(backend, config, x) for backend in peers.backends()]
    start = Trainer(config, shape)
    if "torch" in names:
        result += _torch(start, x, compiled=False)
    if "torch.compile" in names:
        result += _torch(start, x, compiled=True)
    if "jax" in names:
        result.append(_jax(start, x))
    return result


def _ours(backend: str, config: TrainConfig, x: Array) -> Contender:
    trainer = Trainer(dataclasses.replace(config, backend=backend), x.shape[1:])
    return Contender(backend, partial(trainer.step, x), lambda: [_flat(*trainer.step(x)) for _ in range(CHECKED_STEPS)])


def _torch(start: Trainer, x: Array, compiled: bool) -> list[Contender]:
    """PyTorch in both layouts, each with the default Adam and the fused one; compiled, with the fused one alone."""
    import torch

    from .peers.torch_step import TorchGan

    adam = start.config.optimizer == "adam"
    result = []
    for channels_last in (False, True):
        for fused in (True,) if adam and compiled else (False, True) if adam else (False,):
            gan = TorchGan(start, x, channels_last=channels_last, fused=fused, compiled=compiled)
            variant = ("channels-last" if channels_last else "NCHW") + ", fused Adam" * fused
            losses = partial(_losses, gan, start, torch.tensor)
            result.append(Contender("torch.compile" if compiled else "torch", gan.step, losses, variant))
    return result


def _jax(start: Trainer, x: Array) -> Contender:
    from .peers.jax_step import JaxGan

    gan = JaxGan(start, x)
    return Contender("jax", gan.step, partial(_losses, gan, start, np.asarray))


def _losses(gan: Any, start: Trainer, to_peer: Callable[[Array], Any]) -> list[Array]:
    """A peer's losses over CHECKED_STEPS on the latents that `Trainer.step` draws."""
    rng = CounterRng(start.config.seed)
    shape = (len(gan.x), int(start.config.latent_dim or 0))
    values = []
    for step in range(CHECKED_STEPS):
        rng.begin(step)
        z_d, z_g = (to_peer(rng.normal(shape, use).astype(np.float32)) for use in (Use.LATENT_D, Use.LATENT_G))
        values.append(_flat(*gan.update(z_d, z_g)))
    return values


def _flat(d: Any, g: Any) -> Array:
    """Both losses as one array; the generator's as 0 where it was not updated."""
    return np.array([float(d), 0.0 if g is None else float(g)])
