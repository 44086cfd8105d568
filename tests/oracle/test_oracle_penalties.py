"""Gradient penalties against PyTorch's double backward: values and gradients in every weight, to 1e-8."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import kernels
from minigan.layer import Layer
from minigan.penalties import PENALTIES, get_penalty, penalty_grad
from minigan.testing import random_params, seeds, whole_groups

torch = pytest.importorskip("torch")

from test_penalties import IMAGE, batches, critics  # noqa: E402
from torch_twin import leaves, tensors, twin  # noqa: E402

CURVES: dict[str, Callable[[Any], Any]] = {
    "wgan-gp": lambda norms: ((norms - 1) ** 2).mean(),
    "wgan-gp-one-sided": lambda norms: (torch.relu(norms - 1) ** 2).mean(),
    "dragan": lambda norms: ((norms - 1) ** 2).mean(),
    "r1": lambda norms: (norms**2).mean() / 2,
    "r2": lambda norms: (norms**2).mean() / 2,
    "r1+r2": lambda norms: (norms**2).mean(),
}
"""Of |dx| over all points, real and fake together for r1+r2, without the weight."""


def by_autograd(name: str, weight: float, net: Layer, p: Any, points: np.ndarray) -> tuple[float, list[np.ndarray]]:
    nested, trainable = tensors(p)
    x = leaves(points)
    parts = [x] if net.group is not None or name != "r1+r2" else x.chunk(2)  # a whole batch couples its own kind only
    total = sum(twin(net, nested, part, True).sum() for part in parts)
    (dx,) = torch.autograd.grad(total, x, create_graph=True)
    value = weight * CURVES[name](dx.flatten(1).norm(dim=1))
    gradients = torch.autograd.grad(value, trainable, materialize_grads=True)
    return float(value.detach()), [gradient.detach().numpy() for gradient in gradients]


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("critic", critics())
@settings(max_examples=5)
@given(seed=seeds())
def test_double_backward(name: str, critic: str, seed: int) -> None:
    """Relative to the whole gradient: entries that vanish have no digits to compare."""
    net, weight = critics()[critic](), 2.5
    p, (real, fake) = random_params(net, IMAGE, seed), batches(seed, whole_groups(net, 3))
    ops, g = kernels.get_ops("numpy", dtype=np.float64), p.like()
    penalty = get_penalty(name, weight)
    ops.begin_step(0)
    points = penalty.points(ops, real, fake).copy()
    ops.begin_step(0)
    step = penalty_grad(ops, net, p, penalty, real, fake, g)
    value, gradients = by_autograd(name, weight, net, p, points)
    assert float(step.value) == pytest.approx(value, rel=1e-8)
    ours = np.concatenate([view.ravel() for view in g.trainable().values()])
    theirs = np.concatenate([gradient.ravel() for gradient in gradients])
    assert np.linalg.norm(ours - theirs) <= 1e-8 * np.linalg.norm(theirs)
