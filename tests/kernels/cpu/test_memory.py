"""A step that is warm needs no new memory, and a long run none either."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest

from kernels.cpu import NumbaOps
from kernels.types import Array
from minigan import TrainConfig, Trainer

IMAGE, BATCH = (8, 12, 2), 4
STATISTICS = Path("/proc/self/statm")
MIB = 1 << 20


def batches(count: int) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(-1, 1, (BATCH, *IMAGE)).astype(np.float32)


def warm(preset: str) -> Trainer:
    """A tiny GAN after a few steps, both workspaces frozen."""
    trainer = Trainer(TrainConfig(preset, width=0.02, batch_size=BATCH, backend="numba"), IMAGE, total_steps=100_000)
    assert trainer.config.n_critic is not None
    for x in batches(2 * trainer.config.n_critic):
        trainer.step(x)
    for player in (trainer.g, trainer.d):
        player.ops.workspace.freeze()
    return trainer


def resident() -> int:
    """Bytes of this process that lie in memory."""
    import resource

    return int(STATISTICS.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("preset", ["mlp", "mlp-small", "dcgan", "lucic"])
def test_a_warm_step_gets_along_with_frozen_workspaces(preset: str):
    trainer = warm(preset)
    for x in batches(10):
        trainer.step(x)
    assert (trainer.g.skipped, trainer.d.skipped) == (0, 0)


@pytest.mark.slow
@pytest.mark.skipif(not STATISTICS.exists() or numba.config.DISABLE_JIT, reason="reads /proc")
def test_the_process_does_not_grow_over_thousands_of_steps():
    trainer = warm("lucic")
    for x in batches(200):
        trainer.step(x)
    before = resident()
    for x in batches(2000):
        trainer.step(x)
    assert resident() - before < 2 * MIB


def test_python_keeps_nothing_of_a_step():
    """The dispatcher's own odds and ends come to a few KiB and then stop."""
    trainer, sizes = warm("mlp-small"), []
    tracemalloc.start()
    try:
        for steps in (50, 100):
            for x in batches(steps):
                trainer.step(x)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 64 << 10


def test_fill_takes_arrays_that_no_kernel_takes(dtype: np.dtype):
    ops, columns, counts = NumbaOps(dtype), np.full((9, 4000), np.nan, dtype), np.arange(20000)
    ops.fill(columns[:, :2000], 3)
    ops.fill(counts, 7)
    assert (columns[:, :2000] == 3).all()
    assert np.isnan(columns[:, 2000:]).all()
    assert (counts == 7).all()
