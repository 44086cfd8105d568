"""Gradient penalties against PyTorch's double backward: values and gradients in every weight, to 1e-8."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import kernels
from minigan.layer import Layer
from minigan.params import ParamSet
from minigan.penalties import EPS, PENALTIES, Penalty, get_penalty, penalty_grad
from minigan.testing import random_params, seeds, whole_groups

torch = pytest.importorskip("torch")

from test_penalties import IMAGE, batches, critics, noisy  # noqa: E402
from torch_twin import leaves, tensors, twin  # noqa: E402

CURVES: dict[str, Callable[[Any], Any]] = {
    "wgan-gp": lambda s: ((torch.sqrt(s + EPS) - 1) ** 2).mean(),
    "wgan-gp-one-sided": lambda s: (torch.relu(torch.sqrt(s + EPS) - 1) ** 2).mean(),
    "dragan": lambda s: ((torch.sqrt(s + EPS) - 1) ** 2).mean(),
    "r1": lambda s: s.mean() / 2,
    "r2": lambda s: s.mean() / 2,
    "r1+r2": lambda s: s.mean(),
}
"""Of |dx|^2 over all points, real and fake together for r1+r2, without the weight."""
BACKENDS = [name for name, why_not in kernels.available().items() if why_not is None]


def by_autograd(penalty: Penalty, net: Layer, p: ParamSet, points: np.ndarray) -> tuple[float, np.ndarray]:
    """The value, and the gradient in all weights one after the other."""
    nested, trainable = tensors(p)
    x = leaves(points)
    parts = (
        [x] if net.group is not None or penalty.batches == 1 else x.chunk(2)
    )  # a whole batch couples its own kind only
    total = sum(twin(net, nested, part, True).sum() for part in parts)
    (dx,) = torch.autograd.grad(total, x, create_graph=True)
    value = penalty.weight * CURVES[penalty.name](dx.flatten(1).square().sum(1))
    gradients = torch.autograd.grad(value, trainable, materialize_grads=True)
    return float(value.detach()), np.concatenate([gradient.detach().numpy().ravel() for gradient in gradients])


def by_hand(
    backend: str, penalty: Penalty, net: Layer, p: ParamSet, real: np.ndarray, fake: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Value and gradient as in `by_autograd`, and the points at which the backend took them."""
    ops = kernels.get_ops(backend, dtype=np.float64)
    own, batches_ = p.copy().on(ops), [ops.to_device(x) for x in (real, fake)]
    ops.begin_step(0)
    points = ops.to_host(penalty.points(ops, *batches_)).copy()
    ops.begin_step(0)
    g = own.like()
    step = penalty_grad(ops, net, own, penalty, *batches_, g)
    return (
        float(ops.to_host(step.value)),
        np.concatenate([ops.to_host(v).ravel() for v in g.trainable().values()]),
        points,
    )


def check(backend: str, penalty: Penalty, net: Layer, p: ParamSet, real: np.ndarray, fake: np.ndarray) -> None:
    """Relative to the whole gradient: entries that vanish have no digits to compare."""
    value, gradient, points = by_hand(backend, penalty, net, p, real, fake)
    theirs, expected = by_autograd(penalty, net, p, points)
    assert value == pytest.approx(theirs, rel=1e-8)
    assert np.linalg.norm(gradient - expected) <= 1e-8 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("critic", critics())
@settings(max_examples=5)
@given(seed=seeds())
def test_double_backward(name: str, critic: str, seed: int) -> None:
    net = critics()[critic]()
    p, (real, fake) = random_params(net, IMAGE, seed), batches(seed, whole_groups(net, 3))
    check("numpy", get_penalty(name, 2.5), net, p, real, fake)


def as_it_is(p: ParamSet) -> None:
    """Any point."""


def gains_of_zero(p: ParamSet) -> None:
    """Nothing comes through the norms."""
    for gain in gains(p):
        gain[...] = 0


def gains(p: ParamSet) -> list[np.ndarray]:
    return [view for path, view in p.trainable().items() if path.endswith("gamma")]


def no_slope(p: ParamSet) -> None:
    """A logit that is the same everywhere: every input gradient is 0, where |dx| has no derivative."""
    last = [view for path, view in p.trainable().items() if path.endswith("W")][-1]
    last[...] = 0


POINTS = [
    pytest.param(critic, at, id=f"{critic}-{at.__name__}")
    for critic, build in critics().items()
    for at in (as_it_is, gains_of_zero, no_slope)
    if at is not gains_of_zero or gains(noisy(build(), 0))
]


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize(("critic", "at"), POINTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_double_backward_on_every_backend(backend: str, critic: str, at: Callable[[ParamSet], None], name: str) -> None:
    """A penalty of what has no slope has no gradient, and no NaN."""
    net = critics()[critic]()
    p = noisy(net, 0)
    at(p)
    check(backend, get_penalty(name, 2.5), net, p, *batches(0, 4))
