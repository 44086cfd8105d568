"""What goes on in another thread of the process changes no bit: two trainings, and single operations."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import pytest
import rerun

from kernels.cpu import NumbaOps
from minigan import TrainConfig, Trainer

IMAGE = (8, 12, 2)
STEPS = 4


def trained(preset: str, seed: int, width: float) -> list[bytes]:
    """Everything that a short training leaves."""
    config = TrainConfig(preset, width=width, batch_size=8, seed=seed, backend="numba")
    trainer, rng = Trainer(config, IMAGE, total_steps=STEPS), np.random.default_rng(seed)
    losses = []
    for _ in range(STEPS):
        step = trainer.step(rng.uniform(-1, 1, (8, *IMAGE)).astype(np.float32))
        losses += [np.array(step.d).tobytes(), np.array(step.g).tobytes()]
    return [*losses, *(a.tobytes() for a in trainer.checkpoint().tensors.values()), trainer.sample(5).tobytes()]


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of all calls, which start at the same time, each in a thread of its own."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def work(number: int) -> None:
        start.wait()
        results[number] = calls[number]()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def products(seed: int, repeats: int = 20) -> set[tuple[bytes, ...]]:
    """All the different results that the same products give, one after the other; more than one is one too many."""
    rng = np.random.default_rng(seed)
    a, b, x, w = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((67 + seed, 83), (83, 45), (3, 17 + seed, 13, 5), (3, 3, 5, 19))
    )
    ops, geometry, found = NumbaOps(np.float32), ((2, 1), (1, 1, 1, 1)), set()
    for step in range(repeats):
        ops.begin_step(step)
        y = ops.conv2d(x, w, *geometry)
        dx, dw = ops.conv2d_input_grad(y, w, *geometry, x.shape[1:3]), ops.conv2d_weight_grad(x, y, *geometry, (3, 3))
        found.add(tuple(result.tobytes() for result in (ops.matmul(a, b), y, dx, dw)))
    return found


def test_two_trainings_at_once():
    calls = [lambda: trained("mlp", 1, 0.05), lambda: trained("dcgan", 2, 0.05), lambda: trained("dcgan", 2, 0.05)]
    alone = [call() for call in calls]
    assert together(calls) == alone
    assert alone[1] == alone[2]


def test_operations_at_once():
    """More Python threads than cores, each with its own operations."""
    calls = [lambda seed=seed: products(seed) for seed in range(4)]
    alone = [call() for call in calls]
    assert [len(found) for found in alone] == [1] * len(calls)
    assert together(calls) == alone


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="without compiled code there is no thread pool")
def test_both_on_the_pool_that_admits_one_at_a_time():
    """Numba's last resort ends the process when two threads enter it."""
    rerun.assert_passes("test_isolation.py", "-k", "at_once", NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
