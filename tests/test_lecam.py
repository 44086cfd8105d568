"""LeCam regularisation: its value by hand, its gradient in the whole D step, and averages that a checkpoint holds."""

import numpy as np
import pytest

import kernels
from minigan import TrainConfig, Trainer
from minigan.gradcheck import Evaluation, check_loss, check_update
from minigan.layers import Dense
from minigan.lecam import DECAY, Anchors, with_lecam
from minigan.losses import LOSSES, get_loss
from minigan.params import ParamSet
from minigan.training.gan import Gan
from minigan.training.updates import d_grad


def anchored(real: float, fake: float) -> Anchors:
    anchors = Anchors(kernels.get_ops("numpy", dtype=np.float64))
    anchors.values[...] = real, fake
    return anchors


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_each_loss_with_it(loss: str) -> None:
    check_loss(with_lecam(get_loss(loss), 0.7, anchored(0.4, -0.3))).require()


def test_the_value_by_hand() -> None:
    """Only logits on the far side of the other kind's average count; G's loss has no part in it."""
    plain = get_loss("wasserstein")
    loss = with_lecam(plain, 0.5, anchored(1.0, -1.0))
    u_real, u_fake = np.array([[1.0], [-2.0]]), np.array([[2.0], [0.0]])
    value, du_real, du_fake = loss.d_loss(u_real, u_fake)
    before, dr, df = plain.d_loss(u_real, u_fake)
    assert float(value - before) == pytest.approx(0.5 * (2**2 / 2 + 1**2 / 2))
    np.testing.assert_allclose(du_real - dr, [[2 * 0.5 * 2 / 2], [0]])
    np.testing.assert_allclose(du_fake - df, [[0], [-2 * 0.5 * 1 / 2]])
    assert loss.g_loss(None, u_fake)[0] == plain.g_loss(None, u_fake)[0]


def test_the_whole_d_step() -> None:
    ops, d, g = kernels.get_ops("numpy", dtype=np.float64), Dense(3, 1), Dense(2, 3, "tanh")
    p_d, p_g, rng = d.init(0, (3,), np.float64), g.init(1, (2,), np.float64), np.random.default_rng(0)
    p_d.flat[...] = rng.standard_normal(p_d.flat.shape)
    x, z = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    gan = Gan(g, d, with_lecam(get_loss("hinge"), 2.0, anchored(0.2, -0.1)))

    def gradient(own: ParamSet | None) -> Evaluation:
        outcome = d_grad(ops, gan, p_g, p_d, x, z, own)
        return Evaluation(float(outcome.value), outcome.notes)

    check_update("D step with LeCam", gradient, p_d, directions=5).require()


def test_the_averages_follow_the_logits_and_skip_what_is_not_finite() -> None:
    ops = kernels.get_ops("numpy")
    anchors = Anchors(ops)
    ones = np.ones((4, 1), np.float32)
    anchors.follow(ops, 2 * ones, -ones)
    np.testing.assert_allclose(anchors.values, [2 * (1 - DECAY), DECAY - 1], rtol=1e-5)
    before = anchors.values.copy()
    anchors.follow(ops, np.nan * ones, -ones)
    assert anchors.values[0] == before[0]
    assert anchors.values[1] < before[1]


def test_the_logged_loss_is_without_the_penalty() -> None:
    """As much as the game's loss of the same logits, while the penalty adds to what D lowers."""
    config = TrainConfig("mlp", lecam=1e3, width=0.05, backend="numpy", batch_size=4, lr=0.01)
    trainer = Trainer(config, (4, 4, 1))
    x = np.random.default_rng(0).uniform(-1, 1, (4, 4, 4, 1)).astype(np.float32)
    for _ in range(5):
        whole = with_lecam(get_loss("non-saturating"), 1e3, anchored(*trainer.algorithm.anchors.values))
        losses = trainer.step(x)
    plain, *_ = get_loss("non-saturating").d_loss(*trainer.algorithm.logits)
    assert losses.d == plain
    assert whole.d_loss(*trainer.algorithm.logits)[0] > plain + 1e-3


def test_a_run_that_resumes_has_the_same_averages() -> None:
    config = TrainConfig("mlp", lecam=0.3, width=0.05, backend="numpy", batch_size=4, lr=0.01)
    trainer, other = Trainer(config, (4, 4, 1)), Trainer(config, (4, 4, 1))
    x = np.random.default_rng(0).uniform(-1, 1, (4, 4, 4, 1)).astype(np.float32)
    for _ in range(5):
        trainer.step(x)
    checkpoint = trainer.checkpoint()
    assert checkpoint.tensors["lecam"].any()
    other.restore(checkpoint)
    for own in (trainer, other):
        own.step(x)
    np.testing.assert_array_equal(trainer.checkpoint().tensors["lecam"], other.checkpoint().tensors["lecam"])
    np.testing.assert_array_equal(trainer.params_d.flat, other.params_d.flat)
