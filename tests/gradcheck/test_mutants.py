"""The checker is tested by layers that are wrong on purpose; each of these mistakes must be caught.

A mutant is a right layer with one line of it changed. Most of them would train, and some would even look well.
"""

from typing import Any

import numpy as np
import pytest

import kernels
from minigan.gradcheck import GradientError, Report, check_against_first_order, check_layer
from minigan.layer import Layer
from minigan.layers import Conv2d, Dense, Dropout, Embedding, LayerNorm, MaxPool2d, Residual, Sequential, Tanh
from minigan.testing import random_inputs, random_like, random_params

SQUARE = (4,)
IMAGE = (5, 4, 2)


class NaNInputGradient(Dense):
    """One NaN: a comparison written err > tolerance would let it pass."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        dx, tape = super().backward(ops, p, cache, dy, g, extra, need_dx)
        if need_dx:
            dx.flat[0] = np.nan
        return dx, tape


class InfiniteWeightGradient(Dense):
    """Makes the gradient's norm infinite, by which a lenient checker might divide."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        super().weight_grad(ops, dw, x, dz, accumulate)
        dw.flat[0] = np.inf


class TransposedWeightGradient(Dense):
    """dW = dz^T x: no shape gives it away where W is square."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        super().weight_grad(ops, dw, dz, x, accumulate)


class DroppedTail(Dense):
    """The last row of dW is missing, as from a kernel that forgets the rest behind its last full tile."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        last = dw[-1].copy()
        super().weight_grad(ops, dw, x, dz, accumulate)
        dw[-1] = last


class LastSampleForgotten(Dense):
    """dW of all samples but the last."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        super().weight_grad(ops, dw, x[:-1], dz[:-1], accumulate)


class FlippedSign(Dense):
    def apply_adjoint(self, ops, w, dz, x_shape):
        return -super().apply_adjoint(ops, w, dz, x_shape)


class BiasOfTheMean(Dense):
    """db = mean of dz instead of its sum."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        if g is None:
            return super().backward(ops, p, cache, dy, g, extra, need_dx)
        before = g["b"].copy()
        result = super().backward(ops, p, cache, dy, g, extra, need_dx)
        g["b"] = before + (g["b"] - before) / len(cache.x)
        return result


class Overwrites(Dense):
    """dW = instead of dW +=."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        ops.matmul(x, dz, trans_a=True, out=dw)


class WritesIntoItsInput(Dense):
    def forward(self, ops, p, x, train=True):
        y, cache = super().forward(ops, p, x, train)
        x += 0.1
        return y, cache


class NoWeightGradientWithoutInputGradient(Dense):
    """Returns too early when nobody needs dx."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        return super().backward(ops, p, cache, dy, g if need_dx else None, extra, need_dx)


class RemembersItsInput(Dense):
    """Keeps x on the layer instead of in the cache: the last batch's, whichever is asked for."""

    def apply(self, ops, w, x, bias, activation):
        self.x = x
        return super().apply(ops, w, x, bias, activation)

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        super().weight_grad(ops, dw, self.x, dz, accumulate)


class ShiftedInputGradient(Conv2d):
    """The pads of the input gradient are off by one row."""

    def apply_adjoint(self, ops, w, dz, x_shape):
        top, bottom, left, right = self._pads(x_shape[1:3])
        shifted = (top + 1, bottom - 1, left, right)
        return ops.conv2d_input_grad(dz, w, self.stride, shifted, x_shape[1:3])


class UnflippedKernel(Conv2d):
    """The weight gradient of a true convolution, where the forward pass is a cross-correlation."""

    def weight_grad(self, ops, dw, x, dz, accumulate=True):
        fresh = np.zeros_like(dw)
        super().weight_grad(ops, fresh, x, dz)
        dw += fresh[::-1, ::-1]


class FrozenStatistics(LayerNorm):
    """Treats mean and variance as constants: dx = gamma r dz."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        _, tape = super().backward(ops, p, cache, dy, g, extra, need_dx)
        return dy * p["gamma"] / np.sqrt(cache.var + self.eps)[:, None], tape

    double_backward = Layer.double_backward


class WrongWinner(MaxPool2d):
    """The gradient goes to the first entry of the window, whoever won."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        return super().backward(ops, p, cache._replace(where=np.zeros_like(cache.where)), dy, g, extra, need_dx)


class SkipForgotten(Residual):
    """The input gradient of the branch alone."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        dxs, tapes = self.backward_branches(ops, p, cache, [dy, dy], g, extra, need_dx)
        return dxs[0], tapes


class DrawsAgain(Dropout):
    """Another mask in backward than in forward."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        return ops.multiply(dy, ops.dropout_mask(dy.shape, self.rate)), cache


class RepeatedLabelsCountOnce(Embedding):
    """g[labels] += dy, which NumPy does once for each different label."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        if g is not None:
            g["W"][cache] += dy
        return None, cache


class ExtraDropped(Dense):
    """The third sweep of a penalty ignores what the second one owes to this layer."""

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        return super().backward(ops, p, cache, np.zeros_like(cache.y) if dy is None else dy, g, None, need_dx)


class ExtraNeverMade(Tanh):
    """double_backward as if the layer were linear."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        return super().double_backward(ops, p, tape, ddx, g, ddp)[0], None


class ExtraWithTheWrongSign(Tanh):
    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        ddy, extra = super().double_backward(ops, p, tape, ddx, g, ddp)
        return ddy, -extra


class SecondWeightGradientForgotten(Dense):
    """dW += ddx^T dz is missing: what public penalties written by hand forget first."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        return super().double_backward(ops, p, tape, ddx, None, ddp)


class BiasAddedToTheTangent(Dense):
    """ddy = ddx W + b: the forward pass of ddx is to run without bias."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        ddy, extra = super().double_backward(ops, p, tape, ddx, g, ddp)
        return ddy + p["b"], extra


class SlopeForgotten(Dense):
    """ddy without f'(y)."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        _, extra = super().double_backward(ops, p, tape, ddx, g, ddp)
        return self.apply(ops, p["W"], ddx, None, None), extra


class ExtraAtTheWrongPlace(LayerNorm):
    """The extra of the input is treated as one before the activation."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        ddy, extra = super().double_backward(ops, p, tape, ddx, g, ddp)
        return ddy, extra._replace(z=extra.x, x=np.zeros_like(extra.x))


class OwesNothingToItsInput(Dense):
    """W moves along ddp, and x does not learn that it was multiplied by it: no mixed product for unrolled GANs."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        ddy, extra = super().double_backward(ops, p, tape, ddx, g, ddp)
        return ddy, None if extra.z is None else extra._replace(x=None)


class BiasStaysBehind(Dense):
    """ddz = A ddx + B x without ddb."""

    def double_backward(self, ops, p, tape, ddx, g=None, ddp=None):
        return super().double_backward(ops, p, tape, ddx, g, ddp and {"W": ddp["W"], "b": np.zeros_like(ddp["b"])})


FIRST_ORDER: list[tuple[Layer, Any]] = [
    (NaNInputGradient(4, 4), SQUARE),
    (InfiniteWeightGradient(4, 4), SQUARE),
    (TransposedWeightGradient(4, 4), SQUARE),
    (DroppedTail(4, 4), SQUARE),
    (LastSampleForgotten(4, 4), SQUARE),
    (FlippedSign(4, 4), SQUARE),
    (BiasOfTheMean(4, 4), SQUARE),
    (ShiftedInputGradient(2, 3, 3), IMAGE),
    (UnflippedKernel(2, 3, 3), IMAGE),
    (FrozenStatistics(4), SQUARE),
    (WrongWinner(2), IMAGE),
    (SkipForgotten(Dense(4, 4)), SQUARE),
    (RepeatedLabelsCountOnce(3, 2), ()),
]
MISCONDUCT: list[tuple[Layer, Any]] = [
    (Overwrites(4, 4), SQUARE),
    (DrawsAgain(0.5), (20,)),
    (WritesIntoItsInput(4, 4), SQUARE),
    (NoWeightGradientWithoutInputGradient(4, 4), SQUARE),
]
"""What no difference quotient of one run shows, or what makes each run another."""
SECOND_ORDER: list[tuple[Layer, Any]] = [
    (ExtraDropped(4, 4, "tanh"), SQUARE),
    (ExtraNeverMade(), SQUARE),
    (ExtraWithTheWrongSign(), SQUARE),
    (SecondWeightGradientForgotten(4, 4), SQUARE),
    (BiasAddedToTheTangent(4, 4), SQUARE),
    (SlopeForgotten(4, 4, "tanh"), SQUARE),
    (ExtraAtTheWrongPlace(4, activation="tanh"), SQUARE),
]

ALONG_PARAMETERS: list[tuple[Layer, Any]] = [
    (OwesNothingToItsInput(4, 4), SQUARE),
    (OwesNothingToItsInput(4, 4, "tanh"), SQUARE),
    (BiasStaysBehind(4, 4), SQUARE),
]
"""A penalty does not see them: it moves the input alone."""


def check(layer: Layer, shape: Any, batch: int = 5) -> Report:
    return check_layer(layer, shape, inputs=random_inputs(shape, batch, seed=0))


def mutants(cases: list[tuple[Layer, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("mutant", "shape"), cases, ids=[type(layer).__name__ for layer, _ in cases])


@mutants([*FIRST_ORDER, *SECOND_ORDER, *ALONG_PARAMETERS])
def test_is_caught(mutant: Layer, shape: Any):
    report = check(mutant, shape)
    assert not report.ok
    with pytest.raises(GradientError, match=f"^{type(mutant).__name__}: .*WRONG"):
        report.require()


@mutants(MISCONDUCT)
def test_a_breach_of_the_protocol_is_named(mutant: Layer, shape: Any):
    with pytest.raises(GradientError, match=f"^{type(mutant).__name__} (writes|has another|does not add)"):
        check(mutant, shape)


@mutants([*FIRST_ORDER, *SECOND_ORDER, *ALONG_PARAMETERS, *MISCONDUCT])
def test_its_right_parent_passes(mutant: Layer, shape: Any):
    """What was caught is the one changed line, not the point or the shape."""
    right = object.__new__(type(mutant).__mro__[1])
    vars(right).update(vars(mutant))
    check(right, shape).require()


@mutants([case for case in FIRST_ORDER if isinstance(case[0], Dense)])
def test_is_caught_in_the_depth_of_a_network(mutant: Layer, shape: Any):
    net = Sequential(Dense(4, 4), Tanh(), Residual(Sequential(mutant, Tanh())), Dense(4, 1))
    assert not check(net, shape).ok


@mutants([*SECOND_ORDER, *ALONG_PARAMETERS])
def test_mistakes_of_second_order_hide_from_the_first(mutant: Layer, shape: Any):
    """Each of them has a perfect backward: without the second check, a penalty would quietly train on nonsense."""
    backward_alone = type("BackwardAlone", (type(mutant),), {"double_backward": Layer.double_backward})
    layer = object.__new__(backward_alone)
    vars(layer).update(vars(mutant))
    report = check(layer, shape)
    assert report.ok
    assert not report.second_order


@mutants([case for case in SECOND_ORDER if isinstance(case[0], Dense)])
def test_mistakes_of_second_order_are_caught_by_the_other_oracle_too(mutant: Layer, shape: Any):
    """Inside a network, where ddy feeds what follows; `check_against_first_order` uses no double_backward itself."""
    ops = kernels.get_ops("numpy", dtype=np.float64)

    def report(layer: Layer) -> Report:
        net = Sequential(Dense(4, 4, "tanh"), layer, Dense(4, 4, "tanh"))
        p, x = random_params(net, shape, seed=0), random_inputs(shape, 5, seed=0)
        return check_against_first_order(net, ops, p, x, random_like(x, 1), random_like(x, 2))

    right = Dense(4, 4, mutant.activation)
    assert report(right).ok
    assert not report(mutant).ok


class UsedTwice(Layer):
    """y = layer(layer(x)), both with the same parameters."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def spec(self, in_shape):
        return self.layer.spec(in_shape)

    def forward(self, ops, p, x, train=True):
        middle, first = self.layer.forward(ops, p, x, train)
        y, second = self.layer.forward(ops, p, middle, train)
        return y, (first, second)

    def backward(self, ops, p, cache, dy, g=None, extra=None, need_dx=True):
        dmiddle, _ = self.layer.backward(ops, p, cache[1], dy, g)
        return self.layer.backward(ops, p, cache[0], dmiddle, g)[0], None


def test_a_layer_must_be_used_twice_to_show_a_remembered_input():
    """It is right as long as every layer runs once: so the check runs one twice."""
    once = type("Once", (RemembersItsInput,), {"double_backward": Layer.double_backward})(4, 4)
    assert check(once, SQUARE).ok
    assert check(UsedTwice(Dense(4, 4)), SQUARE).ok
    assert not check(UsedTwice(RemembersItsInput(4, 4)), SQUARE).ok
