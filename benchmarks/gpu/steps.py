"""Whole training steps of presets on images of MNIST's shape, ours and PyTorch's, and epochs of ours.

Ours learn from a data set that lies on the device, as `minigan train --capture` does, and gather their batches there.
PyTorch's have one batch at hand, and no such work. PyTorch's algorithm is that of `minigan.bench.peers.torch_step`,
whose losses the tests compare with ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kernels.types import Shape
from minigan import TrainConfig, Trainer
from minigan.bench.case import Label
from minigan.data import ArrayDataset, Batches
from minigan.training.resident import MOST_STEPS

from . import sides
from .measure import Case, Entry, Ready
from .sides import Ours

PRESETS = ("mlp", "dcgan")
IMAGES, SHAPE = 60_000, (28, 28, 1)
STEPS = 40
"""In a run of the contenders that the host launches; graphs of ours do as many as they take at once."""

EPOCH = "epoch"


def steps(
    ours: Ours,
    torch_device: str,
    data: ArrayDataset,
    *,
    batch: int | None = None,
    width: float = 1.0,
    count: int = STEPS,
) -> Iterator[Case]:
    """A step and an epoch of each preset, in float32 without TF32 everywhere."""
    for preset in PRESETS:
        config = TrainConfig(preset, width=width, batch_size=batch, backend=ours.backend).resolved()
        labels: dict[str, Label] = {"preset": preset, "batch": int(config.batch_size or 0)}
        yield Case({"what": "step", **labels}, partial(_step_entries, ours, torch_device, config, data, count))
        yield Case({"what": EPOCH, **labels}, partial(_epoch_entries, ours, config, data))


def images(count: int = IMAGES, shape: Shape = SHAPE) -> ArrayDataset:
    """Noise for pixels: what they show takes no time."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    return ArrayDataset("noise", pixels)


def _step_entries(ours: Ours, device: str, config: TrainConfig, data: ArrayDataset, count: int) -> list[Entry]:
    return [
        Entry("minigan", "captured", partial(_our_captured, ours, config, data)),
        Entry("minigan eager", "", partial(_our_eager, ours, config, data, count)),
        Entry("PyTorch eager", "fused Adam", partial(_torch_eager, device, config, data, count)),
        Entry("PyTorch reduce-overhead", "fused Adam", partial(_torch_compiled, device, config, data, count)),
        Entry("PyTorch graph", "fused Adam", partial(_torch_graph, device, config, data, count)),
    ]


def _epoch_entries(ours: Ours, config: TrainConfig, data: ArrayDataset) -> list[Entry]:
    return [Entry("minigan", "captured", partial(_our_epoch, ours, config, data))]


def _captured_trainer(config: TrainConfig, data: ArrayDataset) -> tuple[Trainer, Batches]:
    """Warm: each update has run, was recorded, and was launched as a graph."""
    batches = Batches(data, int(config.batch_size or 0), config.seed)
    trainer = Trainer(replace(config, capture=True), data.shape, batches.steps_per_epoch)
    if reason := trainer.keep(batches):
        raise RuntimeError(reason)
    trainer.advance(batches, 3 * (config.n_critic or 1))
    return trainer, batches


def _our_captured(ours: Ours, config: TrainConfig, data: ArrayDataset) -> Ready:
    trainer, batches = _captured_trainer(config, data)
    return Ready(lambda: trainer.advance(batches, MOST_STEPS), MOST_STEPS, ours.clock())


def _our_epoch(ours: Ours, config: TrainConfig, data: ArrayDataset) -> Ready:
    """Every sample once, what the host does in between included."""
    trainer, batches = _captured_trainer(config, data)

    def run() -> None:
        end = trainer.steps_done + batches.steps_per_epoch
        while trainer.steps_done < end:
            trainer.advance(batches, end - trainer.steps_done)

    return Ready(run, 1, ours.clock())


def _our_eager(ours: Ours, config: TrainConfig, data: ArrayDataset, count: int) -> Ready:
    trainer = Trainer(config, data.shape, 1)
    x = _batch(config, data)
    return Ready(_repeated(partial(trainer.step, x), count), count, ours.clock())


def _torch_gan(device: str, config: TrainConfig, data: ArrayDataset, **how: Any) -> tuple[sides.Torch, Any]:
    """In channels-last, with the fused Adam, and no TF32; PyTorch's random numbers, not ours."""
    side = sides.Torch(device)
    side.precision(tf32=False)
    from minigan.bench.peers.torch_step import TorchGan

    start = Trainer(replace(config, backend="numpy"), data.shape, 1)
    gan = TorchGan(start, _batch(config, data), channels_last=True, fused=True, device=device, **how)
    return side, gan


def _torch_eager(device: str, config: TrainConfig, data: ArrayDataset, count: int) -> Ready:
    side, gan = _torch_gan(device, config, data)
    return Ready(_repeated(gan.step, count), count, side.clock())


def _torch_compiled(device: str, config: TrainConfig, data: ArrayDataset, count: int) -> Ready:
    """Both losses, forward and backward, as graphs of PyTorch's own making."""
    import torch

    side, gan = _torch_gan(device, config, data, compiled=True, mode="reduce-overhead")

    def step() -> None:
        if device == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        gan.step()

    for _ in range(4):  # compiles, warms up, and captures
        step()
    return Ready(_repeated(step, count), count, side.clock())


def _torch_graph(device: str, config: TrainConfig, data: ArrayDataset, count: int) -> Ready:
    """The whole step in one graph, latents, backward passes and optimizers among it."""
    side, gan = _torch_gan(device, config, data, capturable=device == "cuda")
    return Ready(_repeated(side.together([gan.step], tf32=False), count), count, side.clock())


def _batch(config: TrainConfig, data: ArrayDataset) -> np.ndarray:
    return data.batch(np.arange(int(config.batch_size or 0)))[0]


def _repeated(step: Callable[[], object], count: int) -> Callable[[], object]:
    def run() -> None:
        for _ in range(count):
            step()

    return run
