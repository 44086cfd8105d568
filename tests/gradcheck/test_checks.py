"""`check_layer`, `check_loss` and `check_update`: what they cover, and that wrong losses and steps do not pass."""

from dataclasses import replace

import numpy as np
import pytest

import kernels
from minigan.gradcheck import (
    Evaluation,
    GradientError,
    Report,
    check_against_first_order,
    check_layer,
    check_loss,
    check_update,
)
from minigan.layer import NoSecondOrderError
from minigan.layers import BatchNorm, Concat, Conv2d, Dense, Embedding, Flatten, Parallel, ReLU, Sequential, Tanh
from minigan.losses import Loss, get_loss
from minigan.params import ParamSet
from minigan.testing import random_inputs, random_params


class TestLayer:
    def test_says_whether_there_was_a_second_order(self):
        assert check_layer(Dense(3, 2), (3,)).second_order
        assert not check_layer(BatchNorm(3), (3,)).second_order
        assert check_layer(BatchNorm(3), (3,), train=False).second_order
        assert check_layer(Embedding(3, 2), (), inputs=np.array([0, 2, 2])).second_order, "in its table"

    def test_counts_directions_of_both_orders(self):
        assert check_layer(Dense(3, 2), (3,), directions=4).directions == 8
        assert check_layer(BatchNorm(3), (3,), directions=4).directions == 4

    def test_takes_the_point_that_it_is_given(self):
        """Weights of zero have no input gradient, so forgetting it is right at that point, and at no other."""

        class NoInputGradient(Dense):
            def apply_adjoint(self, ops, w, dz, x_shape):
                return np.zeros(x_shape)

            def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
                raise NoSecondOrderError

        layer = NoInputGradient(3, 2)
        p = layer.init(0, (3,), np.float64).like()
        p["b"][...] = 1
        assert check_layer(layer, (3,), params=p).ok
        assert not check_layer(layer, (3,)).ok

    def test_moves_biases_and_gains_off_their_initial_values(self):
        """Mistakes that a bias of 0 or a gain of 1 hides show."""

        class GainForgotten(BatchNorm):
            def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
                return super().backward(ops, {"gamma": np.ones_like(p["gamma"])}, cache, dy, g, extra, need_dx)

        assert check_layer(GainForgotten(3), (3,), params=BatchNorm(3).init(0, (3,), np.float64)).ok
        assert not check_layer(GainForgotten(3), (3,)).ok

    def test_leaves_parameters_and_inputs_as_they_were(self):
        layer = Sequential(Conv2d(2, 3, 3), ReLU(), Flatten(), Dense(36, 1, "tanh"))
        p, x = random_params(layer, (3, 4, 2), seed=0), random_inputs((3, 4, 2), 2, seed=0)
        before = p.flat.tobytes(), x.tobytes()
        check_layer(layer, (3, 4, 2), params=p, inputs=x)
        assert (p.flat.tobytes(), x.tobytes()) == before

    def test_kinks_inside_a_network_are_redrawn(self):
        """An input so close to ReLU's kink that most directions cross it; the right layer is not blamed."""
        x = np.array([[3e-6, 1.0, -1.0]])
        report = check_layer(ReLU(), (3,), inputs=x, directions=10).require()
        assert report.redraws > 0

    def test_a_point_on_the_kink_is_refused(self):
        with pytest.raises(GradientError, match="ReLU: each of 50 directions crosses a kink"):
            check_layer(ReLU(), (3,), inputs=np.zeros((2, 3)))


class TestFirstOrderOracle:
    def test_refuses_a_step_over_a_kink(self):
        net = Sequential(Dense(3, 3), ReLU())
        p = net.init(0, (3,), np.float64)
        p["dense1"]["W"][...] = np.eye(3)
        ops, ones = kernels.get_ops("numpy", dtype=np.float64), np.ones((1, 3))
        with pytest.raises(GradientError, match=r"a kink lies between x - eps ddx and x \+ eps ddx"):
            check_against_first_order(net, ops, p, 1e-6 * ones, ones, ones)

    def test_of_a_tuple_moves_only_what_has_a_ddx(self):
        net = Parallel(Dense(3, 2, "tanh"), Embedding(4, 2))
        shape = ((3,), ())
        p, x = random_params(net, shape, seed=0), random_inputs(shape, 2, seed=0)
        dy, ddx = (np.ones((2, 2)), np.ones((2, 2))), (np.ones((2, 3)), None)
        ops = kernels.get_ops("numpy", dtype=np.float64)
        assert check_against_first_order(net, ops, p, x, dy, ddx).require().second_order


def flipped(loss: Loss, sign_real: float, sign_fake: float) -> Loss:
    """The loss with the signs of D's gradients changed, its values kept."""

    def d_terms(r, f):
        terms, du_real, du_fake = loss.d_terms(r, f)
        return terms, sign_real * du_real, sign_fake * du_fake

    return replace(loss, d_terms=d_terms)


class TestLoss:
    @pytest.mark.parametrize("seed", range(3))
    def test_right_ones_pass(self, seed: int):
        assert check_loss(get_loss("hinge"), seed=seed).require().directions == 9

    @pytest.mark.parametrize(("sign_real", "sign_fake"), [(-1, 1), (1, -1), (-1, -1)])
    def test_a_flipped_sign(self, sign_real: float, sign_fake: float):
        assert not check_loss(flipped(get_loss("non-saturating"), sign_real, sign_fake)).ok

    def test_real_and_fake_exchanged(self):
        """As where a function documents (fake, real) and returns (real, fake)."""

        def d_terms(r, f):
            terms, du_real, du_fake = get_loss("wasserstein").d_terms(r, f)
            return terms, du_fake, du_real

        assert not check_loss(replace(get_loss("wasserstein"), d_terms=d_terms)).ok

    def test_a_factor_two(self):
        """(u - 1)^2 with the gradient of (u - 1)^2/2."""
        wrong = replace(get_loss("least-squares"), g_terms=lambda _, f: ((f - 1) ** 2, f - 1))
        assert not check_loss(wrong).ok

    def test_the_gradient_through_the_means_forgotten(self):
        """Relativistic average with the other side's mean taken as a constant."""

        def d_terms(r, f):
            terms, du_real, du_fake = get_loss("relativistic-average").d_terms(r, f)
            return terms, du_real - du_real.mean() / 2, du_fake - du_fake.mean() / 2

        assert not check_loss(replace(get_loss("relativistic-average"), d_terms=d_terms)).ok


class TestUpdate:
    """A whole step as a function of the parameters: <x, tanh(x W + b)^2> here."""

    X = random_inputs((3,), 4, seed=1)

    def check(self, mistake: float = 0.0) -> tuple[Report, ParamSet]:
        net = Sequential(Dense(3, 2), Tanh())
        p = random_params(net, (3,), seed=0)
        ops = kernels.get_ops("numpy", dtype=np.float64)

        def gradient(g: ParamSet | None) -> Evaluation:
            ops.begin_step(0)
            y, cache = net.forward(ops, p, self.X)
            if g is not None:
                net.backward(ops, p, cache, 2 * y, g)
                g["dense1"]["b"][-1] += mistake
            return Evaluation(float((y * y).sum()), cache)

        return check_update("D step", gradient, p), p

    def test_a_right_step_passes_under_its_name(self):
        report, _ = self.check()
        assert str(report.require()).startswith("D step: first order")

    def test_a_wrong_one_does_not(self):
        assert not self.check(mistake=1e-3)[0].ok

    def test_the_parameters_are_restored(self):
        _, p = self.check()
        np.testing.assert_array_equal(p.flat, random_params(Sequential(Dense(3, 2), Tanh()), (3,), seed=0).flat)


def test_a_tuple_within_a_tuple_may_get_no_gradient_as_a_whole():
    """Its branch is linear, so the extra of the other one sends nothing back into it."""
    layer = Parallel(Dense(2, 2, "tanh"), Sequential(Parallel(Dense(2, 2), Embedding(3, 2)), Concat()))
    inputs = random_inputs(((2,), ((2,), ())), 3, 0)
    assert check_layer(layer, ((2,), ((2,), ())), inputs=inputs).require().second_order
