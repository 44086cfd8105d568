"""The adjoints of the optimizers' updates and of what clips a gradient, against difference quotients."""

from collections.abc import Callable

import numpy as np
import pytest

import kernels
from minigan.gradcheck import Evaluation, Report, check_function
from minigan.layers import BatchNorm, Dense, Sequential
from minigan.optim import SGD, Adam, Optimizer, RMSprop
from minigan.optim_back import Applied, clip_norm_back
from minigan.params import ParamSet

BUILD: dict[str, Callable[[ParamSet], Optimizer]] = {
    "sgd": lambda p: SGD(p, 0.1, weight_decay=0.3),
    "momentum": lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.3),
    "nesterov": lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: RMSprop(p, 0.1, decay=0.7, weight_decay=0.3),
    "adam": lambda p: Adam(p, 0.1),
    "adam without momentum": lambda p: Adam(p, 0.1, beta1=0.0, beta2=0.9),
    "amsgrad": lambda p: Adam(p, 0.1, beta2=0.5, amsgrad=True, weight_decay=0.3),
}


def random_set(rng: np.random.Generator, *, positive: bool = False) -> ParamSet:
    """Parameters with pads between them, and state; random numbers in all but the pads."""
    p = Sequential(Dense(3, 5), BatchNorm(5), Dense(5, 1)).init(0, (3,), np.float64)
    for view in p.trainable().values():
        view[...] = rng.uniform(0.5, 2, view.shape) if positive else rng.standard_normal(view.shape)
    return p


class Point:
    """An optimizer that has done `count` steps, what it is about to do, and a direction in what comes out."""

    def __init__(self, name: str, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.ops = kernels.get_ops("numpy", dtype=np.float64)
        self.p, self.g = random_set(rng), random_set(rng)
        self.optimizer = BUILD[name](self.p)
        self.count = count
        for moment, values in self.optimizer.moments.items():
            if count:
                values.flat[...] = random_set(rng, positive=moment.startswith("v")).flat
        self.before = {moment: values.copy() for moment, values in self.optimizer.moments.items()}
        self.dp, self.dmoments = random_set(rng), {moment: random_set(rng) for moment in self.before}

    def step(self) -> tuple[ParamSet, dict[str, ParamSet]]:
        """p and the moments after the update, from those before."""
        p = self.p.copy()
        for moment, values in self.optimizer.moments.items():
            values.flat[...] = self.before[moment].flat
        self.optimizer.count = self.count
        self.optimizer.step(self.ops, p, self.g, lr=0.05)
        return p, self.optimizer.moments

    def value(self) -> Evaluation:
        p, moments = self.step()
        terms = [(self.dp.flat * p.flat).sum()]
        terms += [(self.dmoments[name].flat * moments[name].flat).sum() for name in moments]
        return Evaluation(float(sum(terms)))

    def check(self) -> Report:
        """In p, in g and, where there were steps before, in the moments; before the first v is 0, and has one side."""
        _, moments = self.step()
        update = Applied(self.g.flat, {name: values.flat.copy() for name, values in moments.items()}, self.count + 1)
        dp, dmoments = self.dp.copy(), {name: values.copy() for name, values in self.dmoments.items()}
        dg = self.p.like()
        flat = {name: values.flat for name, values in dmoments.items()}
        dg.flat[...] = self.optimizer.back(self.ops, update, dp.flat, flat, lr=0.05)
        sets, gradients = [self.p, self.g], [dp, dg]
        if self.count:
            sets, gradients = [*sets, *self.before.values()], [*gradients, *dmoments.values()]
        return check_function(
            "back",
            self.value,
            [view for each in sets for view in each.trainable().values()],
            [view for each in gradients for view in each.trainable().values()],
        )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [0, 1, 10])
@pytest.mark.parametrize("name", BUILD)
def test_back_is_the_adjoint_of_a_step(name: str, count: int, seed: int) -> None:
    Point(name, count, seed).check().require()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", BUILD)
def test_where_no_gradient_ever_came_back_is_finite(name: str, backend: str) -> None:
    """A dead unit's weights, and pads: v = 0, whose root has no derivative. Through v they owe nothing."""
    ops, p = kernels.get_ops(backend), Sequential(Dense(3, 5), Dense(5, 1)).init(0, (3,))
    optimizer, g, dp = BUILD[name](p), p.like(), p.like()
    for view in dp.trainable().values():
        view += 1
    optimizer.step(ops, p, g)
    moments = {moment: values.flat for moment, values in optimizer.moments.items()}
    dmoments = {moment: np.zeros_like(values) for moment, values in moments.items()}
    dg = optimizer.back(ops, Applied(g.flat, moments, 1), dp.flat, dmoments)
    for array in (dg, dp.flat, *dmoments.values()):
        assert np.isfinite(array).all()
    pads = p.like()
    for view in pads.trainable().values():
        view += 1
    assert not dg[pads.flat == 0].any()
    assert all(not values.any() for moment, values in dmoments.items() if moment.startswith("v_"))


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_back_through_a_clipped_gradient(limit: float) -> None:
    rng = np.random.default_rng(0)
    ops, g, direction = kernels.get_ops("numpy", dtype=np.float64), random_set(rng), random_set(rng)

    def value() -> Evaluation:
        clipped = g.flat.copy()
        ops.clip_norm(clipped, limit)
        return Evaluation(float((direction.flat * clipped).sum()))

    clipped = g.flat.copy()
    norm = ops.clip_norm(clipped, limit)
    dg = g.like()
    dg.flat[...] = clip_norm_back(ops, clipped, norm, limit, direction.flat)
    check_function("clip", value, list(g.trainable().values()), list(dg.trainable().values())).require()
