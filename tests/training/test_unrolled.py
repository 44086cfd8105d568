"""The whole gradient of a G that foresees D's updates, against difference quotients of the whole game."""

from typing import Any

import numpy as np
import pytest
from foreseen import DISCRIMINATORS, Foreseen, game
from hypothesis import given, settings

from minigan.gradcheck import Evaluation, check_update
from minigan.losses import LOSSES
from minigan.params import ParamSet
from minigan.testing import seeds

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


def test_the_discriminator_is_as_before() -> None:
    at = game("tanh", 3, amsgrad=True)
    d = at.players["discriminator"]
    arrays = [d.params.flat, d.params.state, d.grads.flat, *(m.flat for m in d.optimizer.moments.values())]
    before = [array.copy() for array in arrays]
    at.play()
    assert d.optimizer.count == 3
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
