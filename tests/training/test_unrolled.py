"""The whole gradient of a G that foresees D's updates, against difference quotients of the whole game."""

from typing import Any

import numpy as np
import pytest
from foreseen import DISCRIMINATORS, Foreseen, game
from hypothesis import given, settings

from minigan.gradcheck import Evaluation, check_update
from minigan.layer import Layer
from minigan.layers import GRU, BatchNorm, Dense, Residual, Sequential
from minigan.losses import LOSSES
from minigan.params import ParamSet
from minigan.testing import seeds
from minigan.training.unrolled import Unrolled, first_order

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam without momentum": {"beta1": 0.0, "beta2": 0.9, "weight_decay": 0.1},
    "amsgrad": {"amsgrad": True},
    "rmsprop": {"optimizer": "rmsprop"},
    "sgd": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd", "momentum": 0.5, "nesterov": True},
    "gradient clipping": {"gradient_clip": 0.05},
    "weight clipping": {"loss": "wasserstein", "weight_clip": 0.5},
    "lecam": {"lecam": 0.3},
    "hinge and lecam": {"loss": "hinge", "lecam": 0.3},
}


def check(at: Foreseen, seed: int = 0) -> None:
    def gradient(g: ParamSet | None) -> Evaluation:
        value, own = at.play()
        if g is not None:
            g.flat[...] = own.flat
        return Evaluation(value)

    check_update("unrolled", gradient, at.players["generator"].params, seed=seed).require()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_through_every_optimizer(optimizer: str, steps: int) -> None:
    check(game("tanh", steps, **OPTIMIZERS[optimizer]))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_with_every_loss(loss: str, steps: int) -> None:
    check(game("tanh", steps, loss=loss, weight_clip=0.0))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
@settings(max_examples=5)
@given(seed=seeds())
def test_through_every_discriminator(discriminator: str, steps: int, seed: int) -> None:
    check(game(discriminator, steps, seed), seed)


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_on_our_own_kernels(discriminator: str) -> None:
    """The same gradient to rounding, on which it is checked too."""
    ours, reference = (game(discriminator, 3, backend=backend, gradient_clip=0.05) for backend in ("numba", "numpy"))
    check(ours)
    (_, g), (_, expected) = ours.play(), reference.play()
    np.testing.assert_allclose(g.flat, expected.flat, rtol=1e-9, atol=1e-12)


def test_the_clips_of_these_tests_do_clip() -> None:
    at = game("tanh", 1, **OPTIMIZERS["gradient clipping"])
    d = at.players["discriminator"]
    norms = []
    apply = d.apply
    d.apply = lambda *a: (norms.append(float(np.linalg.norm(d.grads.flat))), apply(*a))[1]  # type: ignore[method-assign]
    at.play()
    assert norms[0] > 2 * OPTIMIZERS["gradient clipping"]["gradient_clip"]
    limit = OPTIMIZERS["weight clipping"]["weight_clip"]
    weights = game("tanh", 1, **OPTIMIZERS["weight clipping"]).players["discriminator"].params
    assert (abs(weights.flat) > limit).sum() > 3
    assert (abs(weights.flat[weights.flat != 0]) < limit).sum() > 3


def test_the_first_order_alone_is_far_off() -> None:
    """Without the way back through D's updates these tests would not pass."""
    at = game("tanh", 3)
    _, g = at.play()
    whole = g.flat.copy()
    at.algorithm._look_back = lambda *_: None  # type: ignore[method-assign]
    _, partial = at.play()
    assert np.linalg.norm(partial.flat - whole) > 0.1 * np.linalg.norm(whole)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_a_generator_does_not_learn_of_an_update_that_was_left_out(optimizer: str, backend: str) -> None:
    """Data so far off that D's gradient is finite, and its square is not: without NaN it would pass for an update."""
    at = game("relu", 2, backend=backend, loss="wasserstein", weight_clip=0.0, optimizer=optimizer)
    g, d = at.players["generator"], at.players["discriminator"]
    taken = []
    apply = d.apply
    d.apply = lambda *a: (taken.append(d.grads.flat.copy()), apply(*a))[1]  # type: ignore[method-assign]
    value, gradient = at._replace(batch=at.batch._replace(x=1e156 * at.batch.x)).play()
    assert all(np.isfinite(own).all() for own in taken)
    assert np.isfinite(value)
    assert all(np.isnan(view).all() for view in gradient.trainable().values())
    before = g.params.flat.copy()
    g.optimizer.step(g.ops, g.params, gradient)
    np.testing.assert_array_equal(g.params.flat, before)
    assert (g.skipped, d.skipped) == (1, 0)


def test_an_update_that_clipping_saves_is_made() -> None:
    at = game("relu", 2, loss="wasserstein", weight_clip=0.0, gradient_clip=0.05)
    _, gradient = at._replace(batch=at.batch._replace(x=1e100 * at.batch.x)).play()
    assert np.isfinite(gradient.flat).all()


@pytest.mark.parametrize(
    ("layer", "path"),
    [
        (BatchNorm(2), "BatchNorm"),
        (Sequential(Dense(2, 2), BatchNorm(2)), "batchnorm1"),
        (Sequential(Residual(Sequential(Dense(2, 2), BatchNorm(2)))), "residual1/branch/batchnorm1"),
        (Sequential(GRU(2, 2)), "gru1"),
    ],
)
def test_a_refusal_names_the_innermost_layer(layer: Layer, path: str) -> None:
    assert first_order(layer) == path


def test_the_discriminator_is_as_before() -> None:
    at = game("tanh", 3, amsgrad=True)
    d = at.players["discriminator"]
    arrays = [d.params.flat, d.params.state, d.grads.flat, *(m.flat for m in d.optimizer.moments.values())]
    before = [array.copy() for array in arrays]
    at.play()
    assert d.optimizer.count == 3
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_step_ahead_that_ends_half_way_is_taken_back() -> None:
    """The gradient as well, of which nobody has asked for anything since it was cleared."""
    d = game("tanh", 1).players["discriminator"]
    d.grads.flat[...] = np.arange(d.grads.flat.size)
    before = d.grads.flat.copy()

    def step() -> None:
        with Unrolled(d, 1).taken_back():
            d.zero_grad()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step()
    np.testing.assert_array_equal(d.grads.flat, before)
