"""Twenty steps of each optimizer against PyTorch's, on the same sequence of gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kernels
from minigan.layers import BatchNorm, Dense, Sequential
from minigan.optim import SCHEDULES, SGD, Adam, MovingAverage, Optimizer, RMSprop
from minigan.params import ParamSet

torch = pytest.importorskip("torch")

STEPS = 20
OPTIMIZERS: dict[str, tuple[Callable[[ParamSet], Optimizer], Callable[[Any], Any]]] = {
    "SGD": (lambda p: SGD(p, 0.1), lambda t: torch.optim.SGD(t, 0.1)),
    "momentum": (lambda p: SGD(p, 0.1, momentum=0.9), lambda t: torch.optim.SGD(t, 0.1, momentum=0.9)),
    "Nesterov": (
        lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True),
        lambda t: torch.optim.SGD(t, 0.1, momentum=0.9, nesterov=True),
    ),
    "RMSprop": (lambda p: RMSprop(p, 0.01, decay=0.9), lambda t: torch.optim.RMSprop(t, 0.01, alpha=0.9)),
    "Adam": (lambda p: Adam(p, 0.01), lambda t: torch.optim.Adam(t, 0.01, (0.5, 0.999))),
    "Adam without momentum": (
        lambda p: Adam(p, 0.01, 0.0, 0.9),
        lambda t: torch.optim.Adam(t, 0.01, (0.0, 0.9)),
    ),
    "AMSGrad": (
        lambda p: Adam(p, 0.01, 0.5, 0.9, amsgrad=True),
        lambda t: torch.optim.Adam(t, 0.01, (0.5, 0.9), amsgrad=True),
    ),
    "AdamW": (
        lambda p: Adam(p, 0.01, 0.9, 0.99, weight_decay=0.1),
        lambda t: torch.optim.AdamW(t, 0.01, (0.9, 0.99), weight_decay=0.1),
    ),
    "AdamW, AMSGrad": (
        lambda p: Adam(p, 0.01, 0.9, 0.99, weight_decay=0.1, amsgrad=True),
        lambda t: torch.optim.AdamW(t, 0.01, (0.9, 0.99), weight_decay=0.1, amsgrad=True),
    ),
}


def network() -> ParamSet:
    return Sequential(Dense(3, 4), BatchNorm(4), Dense(4, 2)).init(0, (3,), np.float64)


def twins(p: ParamSet) -> list[Any]:
    return [torch.tensor(view, requires_grad=True) for view in p.trainable().values()]


def set_gradients(g: ParamSet, tensors: list[Any], seed: int, scale: float = 1.0) -> None:
    """The same random gradient on both sides; it shrinks with the seed, so that AMSGrad's maximum matters."""
    rng = np.random.default_rng(seed)
    for view, tensor in zip(g.trainable().values(), tensors, strict=True):
        view[...] = scale * rng.standard_normal(view.shape) / (1 + seed)
        tensor.grad = torch.tensor(view)


def assert_agree(p: ParamSet, tensors: list[Any], tolerance: float = 1e-9) -> None:
    for view, tensor in zip(p.trainable().values(), tensors, strict=True):
        np.testing.assert_allclose(view, tensor.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
@pytest.mark.parametrize(("ours", "theirs"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_twenty_steps(ours: Any, theirs: Any, schedule: str):
    """Under each schedule; in every step, not just at the end."""
    ops, p = kernels.get_ops("numpy", dtype=np.float64), network()
    tensors, g = twins(p), p.like()
    optimizer, reference = ours(p), theirs(tensors)
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(reference, factor=1.0),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(reference, STEPS),
        "linear": lambda: torch.optim.lr_scheduler.LinearLR(reference, 1.0, 0.0, STEPS),
    }[schedule]()
    for step in range(STEPS):
        set_gradients(g, tensors, step)
        optimizer.step(ops, p, g, lr=optimizer.lr * SCHEDULES[schedule](step, STEPS))
        reference.step()
        scheduler.step()
        assert_agree(p, tensors)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_the_norm_over_all_parameters(limit: float):
    """Torch divides by |g| + 1e-6, so its result is shorter by that much."""
    ops, p = kernels.get_ops("numpy", dtype=np.float64), network()
    tensors, g = twins(p), p.like()
    set_gradients(g, tensors, seed=0, scale=3.0)
    norm = float(ops.clip_norm(g.flat, limit))
    theirs = float(torch.nn.utils.clip_grad_norm_(tensors, limit))
    assert abs(norm - theirs) < 1e-9 * norm
    correction = (norm + 1e-6) / norm if limit < norm else 1.0
    for view, tensor in zip(g.trainable().values(), tensors, strict=True):
        np.testing.assert_allclose(view, correction * tensor.grad.numpy(), rtol=1e-9)


def test_moving_average_of_weights():
    ops, p = kernels.get_ops("numpy", dtype=np.float64), network()
    module = torch.nn.ParameterList(twins(p))
    reference = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    average = MovingAverage(p, 0.9)
    reference.update_parameters(module)  # its first call copies
    for step in range(STEPS):
        p.flat += step
        with torch.no_grad():
            for tensor in module:
                tensor += step
        average.update(ops, p)
        reference.update_parameters(module)
        assert_agree(average.params, list(reference.module))
